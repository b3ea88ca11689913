"""Trains the churn model on synthetic customers and writes model.onnx, customers.csv and requests.json beside this file.

The same versions of the packages (scripts/python/train.txt) on the same kind of processor give the same bytes.
"""

import json
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pandas as pd
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import accuracy_score, roc_auc_score

from generate_data import CONTRACTS, FEATURES, PLANS, customers

HERE = Path(__file__).parent
LABELS = ["stays", "churn"]


def encode(frame: pd.DataFrame) -> np.ndarray:
    """The columns of the input tensor: features in the order of slipway.yaml, one column for each category."""
    columns = [frame[name].to_numpy() for name in ("tenure_months", "monthly_charges", "support_calls")]
    columns += [frame["plan"] == plan for plan in PLANS]
    columns += [frame["contract"] == contract for contract in CONTRACTS]
    columns.append(frame["paperless"])
    # float32 before training too: thresholds are then learnt from the very numbers that are served.
    return np.stack(columns, axis=1).astype(np.float32)


def train(frame: pd.DataFrame) -> lightgbm.LGBMClassifier:
    model = lightgbm.LGBMClassifier(
        n_estimators=100,
        num_leaves=12,
        learning_rate=0.05,
        min_child_samples=40,
        random_state=7,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return model.fit(encode(frame), frame["churned"])


def export(model: lightgbm.LGBMClassifier, columns: int) -> onnx.ModelProto:
    converted = onnxmltools.convert_lightgbm(
        model,
        name="churn",
        initial_types=[("customers", FloatTensorType(["N", columns]))],
        zipmap=False,
        target_opset=15,
    )
    converted.ir_version = min(converted.ir_version, 9)
    # The converter lists the operator sets in an order that changes from run to run.
    opsets = sorted(converted.opset_import, key=lambda opset: opset.domain)
    del converted.opset_import[:]
    converted.opset_import.extend(opsets)
    # It also declares a single label where there is one a row, of which the runtime would warn at every run.
    for output in converted.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(converted)
    return converted


def rows_of(frame: pd.DataFrame) -> list[dict]:
    return json.loads(frame[FEATURES].to_json(orient="records"))


def main() -> None:
    training, held_out = customers(12_000, seed=1), customers(4_000, seed=2)
    model = train(training)
    path = HERE / "model.onnx"
    path.write_bytes(export(model, encode(training).shape[1]).SerializeToString(deterministic=True))

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    _, probabilities = session.run(None, {"customers": encode(held_out)})
    truth = held_out["churned"]
    off = np.abs(probabilities - model.predict_proba(encode(held_out))).max()
    print(f"held out: {len(held_out)} customers, {truth.mean():.1%} of them churned")
    print(f"accuracy {accuracy_score(truth, probabilities.argmax(1)):.4f} (always \"stays\": {1 - truth.mean():.4f}), AUC {roc_auc_score(truth, probabilities[:, 1]):.4f}")
    print(f"ONNX differs from LightGBM by at most {off:.1e}")
    assert off < 1e-5, "the exported model does not answer as the trained one"

    samples = customers(20, seed=3)
    samples[FEATURES].replace({True: "true", False: "false"}).to_csv(HERE / "customers.csv", index=False, lineterminator="\n")
    rows = rows_of(samples.head(5))
    text = ",\n".join("    " + json.dumps(row) for row in rows)
    (HERE / "requests.json").write_text('{\n  "inputs": [\n' + text + "\n  ]\n}\n")
    for row, (_, churn) in zip(rows, session.run(None, {"customers": encode(samples.head(5))})[1]):
        print(json.dumps(row), "->", LABELS[int(churn > 0.5)], f"{max(churn, 1 - churn):.6f}")


if __name__ == "__main__":
    main()
