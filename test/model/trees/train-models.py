"""Trains models of trees with parameters drawn at random, and predicts with the libraries themselves.

    train-models.py LIBRARY SEED COUNT FOLDER [FIRST]

Writes into FOLDER for each model its file, NAME.rows and NAME.expected (doubles, little-endian), and a line of JSON to stdout.
The leaves of many models get new values, so different that a wrong branch shows in every sum.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")

ROWS = 72
LIBRARY, SEED, COUNT, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
FIRST = int(sys.argv[5]) if len(sys.argv) > 5 else 0
ZERO = float(np.float32(1e-35))


def pick(rng, *options):
    return options[int(rng.integers(len(options)))]


def table(rng, rows, columns, categories, missing, zeros):
    """Numbers of several kinds: normal ones, few different ones, many zeros, very small and very large ones."""
    x = np.empty((rows, columns))
    for column in range(columns):
        if column in categories:
            values = rng.integers(0, categories[column], rows).astype(float)
        else:
            kind = int(rng.integers(6))
            values = rng.normal(size=rows)
            if kind == 1:
                values = np.round(values * 2)
            elif kind == 2:
                values = values * 10.0 ** rng.integers(-42, 36)
            elif kind == 3:
                values = rng.choice([0.0, 1e-36, -1e-36, 1e-30, -1e-30, 1.0, -1.0], rows)
            elif kind == 4:
                values = np.exp(8 * values)
            if zeros:
                values = np.where(rng.random(rows) < 0.4, 0.0, values)
        x[:, column] = np.where(rng.random(rows) < missing, np.nan, values)
    return x


def edges(rng, x, thresholds, categories, single, infinite):
    """Rows of what is on a threshold, beside it, missing, tiny, huge, or in no category."""
    step = (lambda v, to: float(np.nextafter(np.float32(v), np.float32(to)))) if single else (lambda v, to: float(np.nextafter(v, to)))
    common = [np.nan, 0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, ZERO, -ZERO, step(ZERO, 1), step(-ZERO, -1), 1e-36, -1e-36, 3e38, -3e38, 1.0]
    common += [] if single else [5e-324, -5e-324, 1e308, -1e308]
    common += [np.inf, -np.inf] if infinite else []
    rows = np.empty((ROWS, x.shape[1]))
    for column in range(x.shape[1]):
        mine = list(thresholds.get(column, []))
        if column in categories:
            count = categories[column]
            values = list(range(count)) + [count, count + 40, -1.0, np.nan, 1e6, 2.0**24, 2.0**31, -(2.0**33), 0.5, -0.5, count - 0.25, -0.0]
            if infinite:
                values += [np.inf, -np.inf]
            rows[:, column] = rng.choice(values, ROWS)
            continue
        near = [value for t in mine for value in (t, step(t, np.inf), step(t, -np.inf))]
        near = [v for v in near if infinite or np.isfinite(v)]
        seen = x[rng.integers(len(x), size=ROWS), column]
        drawn = rng.random(ROWS)
        rows[:, column] = np.where(drawn < 0.25, seen, rng.choice(common, ROWS))
        if near:
            rows[:, column] = np.where(drawn > 0.5, rng.choice(near, ROWS), rows[:, column])
    return rows


def marks(rng, count):
    return [float(np.float32(v)) for v in rng.uniform(-1, 1, count)]


def write(name, extension, rows, expected, **facts):
    expected = np.asarray(expected, dtype=float).reshape(len(rows), -1)
    (FOLDER / f"{name}.rows").write_bytes(np.ascontiguousarray(rows, dtype="<f8").tobytes())
    (FOLDER / f"{name}.expected").write_bytes(np.ascontiguousarray(expected, dtype="<f8").tobytes())
    line = {"name": name, "file": f"{name}{extension}", "rows": len(rows), "features": rows.shape[1], "outputs": expected.shape[1], **facts}
    print(json.dumps(line), flush=True)


def xgboost_model(rng, name):
    import xgboost as xgb

    objective = pick(
        rng, "reg:squarederror", "reg:squarederror", "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror", "reg:logistic",
        "binary:logistic", "binary:logitraw", "binary:hinge", "multi:softmax", "multi:softprob", "count:poisson", "reg:gamma", "reg:tweedie",
        "survival:cox", "survival:aft", "rank:pairwise", "rank:ndcg", "rank:map",
    )  # fmt: skip
    columns = int(rng.integers(1, 7))
    method = pick(rng, "hist", "hist", "approx", "exact")
    categories = {} if method == "exact" else {c: int(pick(rng, 2, 3, 9, 40, 100)) for c in range(columns) if rng.random() < 0.3}
    rows = int(pick(rng, 30, 120, 300))
    x = table(rng, rows, columns, categories, pick(rng, 0.0, 0.2), rng.random() < 0.3).astype(np.float32)
    params = {
        "objective": objective, "tree_method": method, "max_depth": int(rng.integers(1, 7)), "eta": float(pick(rng, 0.1, 0.3, 1.0)),
        "min_child_weight": 0, "lambda": float(pick(rng, 0.0, 1.0)), "max_cat_to_onehot": int(pick(rng, 1, 5)), "seed": int(rng.integers(1 << 30)),
        "nthread": 1, "verbosity": 0, "max_bin": int(pick(rng, 4, 256)),
    }  # fmt: skip
    if method != "exact" and rng.random() < 0.3:
        params |= {"grow_policy": "lossguide", "max_leaves": int(rng.integers(2, 20)), "max_depth": 0}
    if rng.random() < 0.25:
        params |= {"booster": "dart", "rate_drop": 0.5, "one_drop": 1, "normalize_type": pick(rng, "tree", "forest")}
    elif rng.random() < 0.25:
        params |= {"num_parallel_tree": 3, "subsample": 0.7, "colsample_bylevel": 0.7}
    label, group, extra = rng.random(rows), None, {}
    targets = 1
    if objective.startswith("multi:"):
        params["num_class"] = int(rng.integers(2, 6))
        label = rng.integers(0, params["num_class"], rows)
    elif objective.startswith("binary:"):
        label = rng.integers(0, 2, rows)
        if objective == "binary:logistic" and rng.random() < 0.2:
            targets = 2
    elif objective.startswith("rank:"):
        label = rng.integers(0, 2 if objective == "rank:map" else 4, rows)
        group = [rows // 2, rows - rows // 2]
        params["lambdarank_pair_method"] = "topk"
    elif objective == "survival:aft":
        extra = {"label_lower_bound": label + 0.1, "label_upper_bound": label + rng.choice([0.1, 1.0, np.inf], rows)}
        label = None
    elif objective == "survival:cox":
        label = np.where(rng.random(rows) < 0.3, -1, 1) * (label + 0.1)
    elif objective == "reg:quantileerror":
        params["quantile_alpha"] = pick(rng, 0.3, [0.1, 0.5, 0.9])
    elif objective in ("reg:gamma",):
        label = label + 0.1
    elif objective == "reg:squarederror" and rng.random() < 0.7:
        targets = int(rng.integers(2, 4))
    if targets > 1:
        label = rng.random((rows, targets)) if objective == "reg:squarederror" else rng.integers(0, 2, (rows, targets))
        if objective == "reg:squarederror" and not categories and rng.random() < 0.6:
            params = {k: v for k, v in params.items() if k in ("objective", "max_depth", "eta", "lambda", "seed", "nthread", "verbosity", "max_bin")}
            params |= {"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": max(1, params["max_depth"])}
    if rng.random() < 0.3 and not objective.startswith(("multi:", "rank:")) and objective != "reg:quantileerror":
        params["base_score"] = float(pick(rng, 0.2, 0.5, 0.9))
    named = rng.random() < 0.5
    types = ["c" if c in categories else "q" for c in range(columns)]
    names = [f"feature {c}" for c in range(columns)] if named else None

    def matrix(values, **rest):
        return xgb.DMatrix(values, feature_names=names, feature_types=types, enable_categorical=True, **rest)

    data = matrix(x, label=label, **extra)
    if group is not None:
        data.set_group(group)
    booster = xgb.train(params, data, int(rng.integers(1, 9)))
    extension = pick(rng, ".json", ".ubj")
    path = FOLDER / f"{name}{extension}"
    saved = json.loads(bytes(booster.save_raw("json")))
    gradient = saved["learner"]["gradient_booster"]
    trees = (gradient["gbtree"] if "gbtree" in gradient else gradient)["model"]["trees"]
    marked = "multi_strategy" not in params and rng.random() < 0.6
    thresholds = {}
    for tree in trees:
        leaves = [i for i, child in enumerate(tree["left_children"]) if child == -1]
        if marked:
            for leaf, value in zip(leaves, marks(rng, len(leaves))):
                tree["split_conditions"][leaf] = value
        for i, feature in enumerate(tree["split_indices"]):
            if tree["left_children"][i] != -1 and not tree["split_type"][i]:
                thresholds.setdefault(feature, []).append(tree["split_conditions"][i])
    if marked:
        booster = xgb.Booster(model_file=bytearray(json.dumps(saved).encode()))
    booster.set_param({"nthread": 1})
    booster.save_model(path)
    rows = edges(rng, x, thresholds, categories, True, False).astype(np.float32)
    expected = booster.predict(matrix(rows))
    write(name, extension, rows, expected, objective=objective, params=params, marked=marked, categories=len(categories))


def lightgbm_model(rng, name):
    import lightgbm as lgb

    objective = pick(
        rng, "regression", "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie", "binary", "cross_entropy",
        "cross_entropy_lambda", "multiclass", "multiclassova", "lambdarank", "rank_xendcg", "none",
    )  # fmt: skip
    columns = int(rng.integers(1, 7))
    categories = {c: int(pick(rng, 2, 3, 9, 40, 100)) for c in range(columns) if rng.random() < 0.3}
    rows = int(pick(rng, 60, 150, 400))
    x = table(rng, rows, columns, categories, pick(rng, 0.0, 0.2), rng.random() < 0.4)
    params = {
        "objective": objective, "num_leaves": int(rng.integers(2, 32)), "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0,
        "min_data_in_bin": 1, "learning_rate": float(pick(rng, 0.1, 1.0)), "max_bin": int(pick(rng, 4, 255)), "verbose": -1, "num_threads": 1,
        "seed": int(rng.integers(1 << 30)), "min_data_per_group": 1, "cat_smooth": 1.0, "cat_l2": float(pick(rng, 0.0, 10.0)),
        "max_cat_to_onehot": int(pick(rng, 1, 4)), "max_cat_threshold": int(pick(rng, 4, 64)), "use_missing": bool(rng.random() < 0.85),
        "zero_as_missing": bool(rng.random() < 0.4), "extra_trees": bool(rng.random() < 0.2), "feature_pre_filter": False,
    }  # fmt: skip
    boosting = pick(rng, "gbdt", "gbdt", "dart", "gbdt" if objective == "none" else "rf")
    params["boosting"] = boosting
    if boosting == "rf":
        params |= {"bagging_freq": 1, "bagging_fraction": 0.7}
    if boosting == "dart":
        params |= {"drop_rate": 0.5, "skip_drop": 0.0}
    label, group = rng.random(rows) + 0.1, None
    if objective == "binary":
        label = rng.integers(0, 2, rows)
        params["sigmoid"] = float(pick(rng, 1.0, 0.5, 2.0))
    elif objective.startswith("multiclass"):
        params["num_class"] = int(rng.integers(2, 5))
        label = rng.integers(0, params["num_class"], rows)
        params["sigmoid"] = float(pick(rng, 1.0, 0.5, 2.0))
    elif objective.startswith("cross"):
        label = rng.random(rows)
    elif objective in ("lambdarank", "rank_xendcg"):
        label = rng.integers(0, 4, rows)
        group = [rows // 2, rows - rows // 2]
    elif objective == "regression" and rng.random() < 0.4:
        params["reg_sqrt"] = True
    if objective == "none":
        params["objective"] = lambda predictions, data: (predictions - data.get_label(), np.ones(len(predictions)))
    named = rng.random() < 0.5
    data = lgb.Dataset(
        x, label, group=group, categorical_feature=sorted(categories),
        feature_name=[f"feature_{c}" for c in range(columns)] if named else "auto", params={"verbose": -1},
    )  # fmt: skip
    try:
        booster = lgb.train(params, data, int(rng.integers(1, 9)))
    except lgb.basic.LightGBMError as error:
        # Its own checks of splits without weights, and of tables without a column that says anything, fail at times.
        if "Check failed" in str(error):
            return
        raise
    text = booster.model_to_string()
    marked = rng.random() < 0.6
    if marked:
        lines = text.split("\n")
        for index, line in enumerate(lines):
            if line.startswith("leaf_value="):
                lines[index] = "leaf_value=" + " ".join(repr(float(v)) for v in rng.uniform(-1, 1, len(line.split(" "))))
            elif line.startswith("threshold="):
                # Thresholds among what counts as 0, which training does not make.
                kinds = [int(v) for v in lines[index + 1].removeprefix("decision_type=").split()]
                values = line.removeprefix("threshold=").split()
                tiny = rng.choice(["0", "1e-36", "-1e-36", "5e-324", "1.0000000180025095e-35", "-1.0000000180025095e-35"], len(values))
                drawn = rng.random(len(values)) < 0.1
                lines[index] = "threshold=" + " ".join(t if d and not k & 1 else v for v, t, d, k in zip(values, tiny, drawn, kinds))
        lines = [line for line in lines if not line.startswith("tree_sizes=")]
        text = "\n".join(lines)
        booster = lgb.Booster(model_str=text)
    (FOLDER / f"{name}.txt").write_text(text)
    thresholds = {}
    features = None
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key == "split_feature":
            features = [int(v) for v in value.split()]
        elif key == "threshold":
            for feature, threshold in zip(features, value.split()):
                thresholds.setdefault(feature, []).append(float(threshold))
    rows = edges(rng, x, thresholds, categories, False, True)
    expected = booster.predict(rows)
    params["objective"] = objective
    write(name, ".txt", rows, expected, objective=objective, params=params, marked=marked, categories=len(categories))


def catboost_model(rng, name):
    import catboost as cb

    loss = pick(rng, "RMSE", "MAE", "Quantile:alpha=0.3", "LogCosh", "Huber:delta=0.5", "Poisson", "Tweedie:variance_power=1.5", "Logloss",
                "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiRMSE", "MultiLogloss", "QueryRMSE", "YetiRank")  # fmt: skip
    columns = int(rng.integers(1, 7))
    rows = int(pick(rng, 30, 120, 300))
    missing = pick(rng, 0.0, 0.2)
    x = table(rng, rows, columns, {}, missing, rng.random() < 0.3).astype(np.float32)
    params = {"loss_function": loss, "iterations": int(rng.integers(1, 9)), "depth": int(rng.integers(1, 6)), "random_seed": int(rng.integers(1 << 30)),
              "border_count": int(pick(rng, 3, 32, 254)), "nan_mode": pick(rng, "Min", "Max"), "thread_count": 1, "learning_rate": 0.5}  # fmt: skip
    if loss not in ("MultiRMSE", "MultiLogloss", "YetiRank") and rng.random() < 0.5:
        params["grow_policy"] = pick(rng, "Depthwise", "Lossguide")
    label, group = rng.random(rows) + 0.1, None
    if loss == "Logloss":
        label = rng.choice(["no", "yes"], rows)
        label[:2] = ["no", "yes"]
    elif loss == "CrossEntropy":
        label = rng.random(rows)
    elif loss.startswith("MultiClass"):
        label = np.arange(rows) % int(rng.integers(3, 6))
    elif loss == "MultiRMSE":
        label = rng.random((rows, 2))
    elif loss == "MultiLogloss":
        label = rng.integers(0, 2, (rows, 2))
        label[0], label[1] = [0, 1], [1, 0]
    elif loss in ("QueryRMSE", "YetiRank"):
        group = np.repeat([0, 1], [rows // 2, rows - rows // 2])
    try:
        model = cb.CatBoost(params | {"verbose": 0, "allow_writing_files": False})
        model.fit(cb.Pool(x, label, group_id=group))
    except cb.CatBoostError as error:
        # All columns may be the same everywhere.
        if "constant" in str(error) or "empty" in str(error):
            return
        raise
    path = FOLDER / f"{name}.json"
    model.save_model(path, format="json")
    thresholds = {c: [float(b) for b in borders] for c, borders in (model.get_borders() or {}).items()}
    rows = edges(rng, x, thresholds, {}, True, True).astype(np.float32)
    if missing == 0.0:
        # Columns that had nothing missing refuse it later.
        rows = np.where(np.isnan(rows), np.float32(0.25), rows)
    else:
        seen = np.isnan(x).any(axis=0)
        rows = np.where(np.isnan(rows) & ~seen, np.float32(0.25), rows)
    name_of_loss = loss.split(":")[0]
    kind = "Probability" if name_of_loss in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll") else (
        "Exponent" if name_of_loss in ("Poisson", "Tweedie") else "RawFormulaVal")  # fmt: skip
    expected = np.asarray(model.predict(rows, prediction_type=kind))
    if name_of_loss == "MultiLogloss":
        expected = 1 / (1 + np.exp(-expected))
    write(name, ".json", rows, expected, objective=name_of_loss, params=params, marked=False, categories=0)


for number in range(FIRST, FIRST + COUNT):
    # Each model has a seed of its own, so that one can be made again alone.
    generator = np.random.default_rng([SEED, number])
    {"xgboost": xgboost_model, "lightgbm": lightgbm_model, "catboost": catboost_model}[LIBRARY](generator, f"{LIBRARY}-{number}")
