"""Trains the churn model of the example beside as XGBoost, and writes model.ubj beside this file: nothing is converted.

    $(scripts/node scripts/python-env.ts trees) examples/churn-xgboost/train.py
"""

import sys
from pathlib import Path

import xgboost as xgb

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "churn"))

from generate_data import FEATURES, customers  # noqa: E402

frame = customers(4000, seed=11)
table = frame[FEATURES].astype({"plan": "category", "contract": "category"})
data = xgb.DMatrix(table, frame["churned"], enable_categorical=True)
booster = xgb.train({"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "nthread": 1}, data, 60)
booster.save_model(HERE / "model.ubj")
