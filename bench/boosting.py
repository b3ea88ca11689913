"""The other side of bench/boosting.ts: trains models, and predicts with their libraries and with ONNX Runtime on what onnxmltools makes of them.

A line of JSON on stdin ({"model", "way", "rows", "ms"}) is answered by one with the microseconds of a call.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import lightgbm as lgb
import numpy as np
import onnxmltools
import onnxruntime as ort
import xgboost as xgb
from onnxmltools.convert.common.data_types import FloatTensorType

FOLDER = Path(sys.argv[1])
COLUMNS = 20
rng = np.random.default_rng(0)
x = rng.normal(size=(5000, COLUMNS)).astype(np.float32)
y = (x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=len(x)) > 0).astype(int)
(FOLDER / "rows.f32").write_bytes(x.tobytes())

boosters = {}
for name, trees, depth in (("small", 100, 4), ("large", 500, 7)):
    booster = xgb.train({"objective": "binary:logistic", "max_depth": depth, "nthread": 1}, xgb.DMatrix(x, y), trees)
    booster.save_model(FOLDER / f"xgboost-{name}.ubj")
    boosters[f"xgboost-{name}"] = xgb.Booster({"nthread": 1}, model_file=FOLDER / f"xgboost-{name}.ubj")
    leaves = 2**depth - 1
    booster = lgb.train({"objective": "binary", "num_leaves": leaves, "verbose": -1, "num_threads": 1}, lgb.Dataset(x.astype(float), y), trees)
    booster.save_model(FOLDER / f"lightgbm-{name}.txt")
    boosters[f"lightgbm-{name}"] = lgb.Booster(model_file=FOLDER / f"lightgbm-{name}.txt")

# Every fourth column holds one of thirty categories; onnxmltools converts such models of LightGBM alone.
CATEGORIES = list(range(0, COLUMNS, 4))
mixed = x.copy()
mixed[:, CATEGORIES] = rng.integers(0, 30, (len(x), len(CATEGORIES)))
(FOLDER / "mixed.f32").write_bytes(mixed.tobytes())
z = (mixed[:, 1] * mixed[:, 2] + (mixed[:, 0] % 3) + rng.normal(size=len(x)) > 1).astype(int)
types = ["c" if column in CATEGORIES else "q" for column in range(COLUMNS)]
params = {"objective": "binary:logistic", "max_depth": 5, "max_cat_to_onehot": 1, "nthread": 1}
booster = xgb.train(params, xgb.DMatrix(mixed, z, feature_types=types, enable_categorical=True), 100)
booster.save_model(FOLDER / "xgboost-categories.ubj")
boosters["xgboost-categories"] = xgb.Booster({"nthread": 1}, model_file=FOLDER / "xgboost-categories.ubj")
booster = lgb.train(
    {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1},
    lgb.Dataset(mixed.astype(float), z, categorical_feature=CATEGORIES),
    100,
)
booster.save_model(FOLDER / "lightgbm-categories.txt")
boosters["lightgbm-categories"] = lgb.Booster(model_file=FOLDER / "lightgbm-categories.txt")

sessions = {}
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
for name, booster in boosters.items():
    if name == "xgboost-categories":
        continue
    convert = onnxmltools.convert_xgboost if name.startswith("xgboost") else onnxmltools.convert_lightgbm
    extra = {} if name.startswith("xgboost") else {"zipmap": False}
    converted = convert(booster, initial_types=[("x", FloatTensorType([None, COLUMNS]))], target_opset=15, **extra)
    sessions[name] = ort.InferenceSession(converted.SerializeToString(), options)


def call(model, way, rows):
    values = (mixed if model.endswith("categories") else x)[:rows]
    if way == "onnxmltools":
        session = sessions[model]
        return lambda: session.run(None, {"x": values})
    booster = boosters[model]
    if model.startswith("xgboost"):
        if model.endswith("categories"):
            # Numbers predicted in place have no categories, and what was predicted for a matrix once is kept with it.
            return lambda: booster.predict(xgb.DMatrix(values, feature_types=types, enable_categorical=True))
        return lambda: booster.inplace_predict(values)
    wide = values.astype(float)
    return lambda: booster.predict(wide, num_threads=1)


print(json.dumps({"models": sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".ubj", ".txt"))}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["way"] == "onnxmltools" and asked["model"] not in sessions:
        print(json.dumps({"us": None}), flush=True)
        continue
    predict = call(asked["model"], asked["way"], asked["rows"])
    predict()
    calls, began = 0, time.perf_counter()
    while (time.perf_counter() - began) * 1000 < asked["ms"]:
        predict()
        calls += 1
    print(json.dumps({"us": (time.perf_counter() - began) * 1e6 / calls}), flush=True)
