"""Trains a small network on the handwritten digits that scikit-learn ships and writes model.onnx and three pictures beside this file.

The digits are the test part of the UCI "Optical Recognition of Handwritten Digits" set: 1,797 pictures of 8x8 pixels with
ink from 0 to 16. The same versions of the packages (scripts/python/train.txt) on the same kind of processor give the same bytes.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
INK = 16
SAMPLES = (3, 7, 9)


def train(pixels: np.ndarray, digits: np.ndarray) -> MLPClassifier:
    model = MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-2, learning_rate_init=2e-3, max_iter=500, random_state=7)
    return model.fit(pixels, digits)


def export(model: MLPClassifier) -> onnx.ModelProto:
    """The network as two matrix products. Its input is the ink of a picture from 0 (none) to 1, row by row."""
    weights = {}
    nodes = []
    layer = "pixels"
    last = len(model.coefs_) - 1
    for index, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_)):
        weights[f"weight{index}"], weights[f"bias{index}"] = weight, bias
        nodes.append(helper.make_node("Gemm", [layer, f"weight{index}", f"bias{index}"], [f"sum{index}"]))
        layer = f"layer{index}" if index < last else "probabilities"
        nodes.append(helper.make_node("Relu", [f"sum{index}"], [layer]) if index < last else helper.make_node("Softmax", [f"sum{index}"], [layer], axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", model.coefs_[0].shape[0]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", model.coefs_[-1].shape[1]])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="examples/digits/train.py")
    onnx.checker.check_model(made)
    return made


def main() -> None:
    data = load_digits()
    pixels, digits = data.data, data.target
    training, held_out = train_test_split(np.arange(len(digits)), test_size=0.25, random_state=7, stratify=digits)
    model = train(pixels[training] / INK, digits[training])
    path = HERE / "model.onnx"
    path.write_bytes(export(model).SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    # Measured on the bytes that a PNG holds, because they are what is served.
    grey = np.rint(pixels * 255 / INK).astype(np.uint8)
    (probabilities,) = session.run(None, {"pixels": (grey[held_out] / 255).astype(np.float32)})
    guesses = probabilities.argmax(1)
    off = np.abs(probabilities - model.predict_proba(grey[held_out] / 255)).max()
    right = int((guesses == digits[held_out]).sum())
    print(f"trained on {len(training)} pictures; held out: {right} of {len(held_out)} right, accuracy {right / len(held_out):.4f}")
    print(f"ONNX differs from scikit-learn by at most {off:.1e}")
    assert off < 1e-5, "the exported model does not answer as the trained one"

    for digit in SAMPLES:
        # The first of the held-out pictures of this digit, right or wrong.
        index = int(np.flatnonzero(digits[held_out] == digit)[0])
        Image.fromarray(grey[held_out[index]].reshape(8, 8)).save(HERE / f"digit-{digit}.png")
        print(f"digit-{digit}.png -> {guesses[index]} {probabilities[index, guesses[index]]:.6f}")


if __name__ == "__main__":
    main()
