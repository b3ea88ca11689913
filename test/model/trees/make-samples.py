"""Writes the models in samples/, small ones with what their formats can hold, for tests that train nothing.

    $(scripts/node scripts/python-env.ts trees) test/model/trees/make-samples.py
"""

import json
from pathlib import Path

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb

FOLDER = Path(__file__).parent / "samples"
FOLDER.mkdir(exist_ok=True)
rng = np.random.default_rng(0)
ROWS = 200
usage = rng.normal(size=ROWS).round(2)
age = rng.integers(18, 80, ROWS)
plan = rng.choice(["basic", "plus", "pro"], ROWS)
churned = ((usage < 0) & (plan == "basic")).astype(int)
price = usage * 3 + age / 10 + (plan == "pro")
people = pd.DataFrame({"usage": np.where(rng.random(ROWS) < 0.1, np.nan, usage), "age": age, "plan": pd.Categorical(plan)})
numbers = people[["usage", "age"]].astype(np.float32)

# A table with a column of categories, as both libraries write it.
booster = xgb.train(
    {"objective": "binary:logistic", "max_depth": 3, "max_cat_to_onehot": 1, "nthread": 1},
    xgb.DMatrix(people, churned, enable_categorical=True),
    3,
)
booster.save_model(FOLDER / "churn.ubj")
booster.save_model(FOLDER / "churn.json")
booster = lgb.train(
    {"objective": "binary", "num_leaves": 5, "min_data_per_group": 5, "verbose": -1, "num_threads": 1}, lgb.Dataset(people, churned), 3
)
booster.save_model(FOLDER / "churn.txt")

# Three classes with dropped trees; early stopping by the scikit-learn interface.
booster = xgb.train(
    {"objective": "multi:softprob", "num_class": 3, "booster": "dart", "rate_drop": 0.5, "max_depth": 2, "nthread": 1},
    xgb.DMatrix(numbers.to_numpy(), rng.integers(0, 3, ROWS)),
    2,
)
booster.save_model(FOLDER / "dart.json")
stopped = xgb.XGBRegressor(n_estimators=20, max_depth=2, early_stopping_rounds=2, learning_rate=0.5, n_jobs=1)
noisy = price + 4 * rng.normal(size=ROWS)
stopped.fit(numbers[:100], noisy[:100], eval_set=[(numbers[100:], noisy[100:])], verbose=False)
stopped.save_model(FOLDER / "stopped.ubj")
expected = {"stopped": float(stopped.predict(numbers[numbers["usage"].notna()][:1])[0]), "best": stopped.best_iteration}

model = cb.CatBoostClassifier(iterations=3, depth=2, verbose=0, allow_writing_files=False, thread_count=1)
model.fit(numbers, np.where(churned == 1, "leaves", "stays"))
model.save_model(FOLDER / "churn-cat.json", format="json")
model = cb.CatBoostRegressor(iterations=2, depth=2, grow_policy="Lossguide", verbose=0, allow_writing_files=False, thread_count=1)
model.fit(numbers.to_numpy(), price)
model.save_model(FOLDER / "price-cat.json", format="json")

# What is refused.
xgb.train({"booster": "gblinear", "nthread": 1}, xgb.DMatrix(numbers.fillna(0), price), 1).save_model(FOLDER / "linear.json")
booster = lgb.train(
    {"linear_tree": True, "num_leaves": 3, "verbose": -1, "num_threads": 1}, lgb.Dataset(numbers.to_numpy().astype(float), price), 1
)
booster.save_model(FOLDER / "linear.txt")
model = cb.CatBoostClassifier(iterations=2, depth=2, verbose=0, allow_writing_files=False, thread_count=1, cat_features=["plan"])
model.fit(people.assign(plan=plan, usage=usage), churned)
model.save_model(FOLDER / "categories-cat.json", format="json", pool=cb.Pool(people.assign(plan=plan, usage=usage), churned, cat_features=["plan"]))

# CatBoost's settings take most of its files.
for path in FOLDER.glob("*-cat.json"):
    document = json.loads(path.read_text())
    info = document["model_info"]
    info["params"] = {"loss_function": info["params"]["loss_function"]}
    for key in ("training", "output_options"):
        info.pop(key, None)
    path.write_text(json.dumps(document, indent=1))

row = people[people["usage"].notna()].iloc[:1]
booster = xgb.Booster(model_file=FOLDER / "churn.ubj")
expected["row"] = {"usage": float(row["usage"].iloc[0]), "age": int(row["age"].iloc[0]), "plan": str(row["plan"].iloc[0])}
expected["xgboost"] = float(booster.predict(xgb.DMatrix(row, enable_categorical=True))[0])
expected["lightgbm"] = float(lgb.Booster(model_file=FOLDER / "churn.txt").predict(row)[0])
model = cb.CatBoost().load_model(FOLDER / "churn-cat.json", format="json")
expected["catboost"] = float(model.predict(row[["usage", "age"]].astype(np.float32), prediction_type="Probability")[0][1])
(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
