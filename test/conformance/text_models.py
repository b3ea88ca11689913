"""Small encoders of texts with random weights, in the folders that Hugging Face's tools write, and what their answers are, one text at a time.

    python text_models.py FOLDER
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "text"))
from bert import Graph, encoder, mean_of_tokens, model_of  # noqa: E402

folder = Path(sys.argv[1])
random = np.random.default_rng(5)
CONFIG = {"layer_norm_eps": 1e-12, "num_attention_heads": 4, "hidden_size": 32, "num_hidden_layers": 2}
WORDS = "the parcel came on time nobody answers phone a table for two please how is weather in river mountain snow train late again thanks very much".split()
TEXTS = [" ".join(random.choice(WORDS, size)) for size in (1, 2, 3, 5, 8, 13, 21, 34, 55, 90, 4, 4, 7, 100)]


def random_weights(hidden=32, inner=64, vocabulary=400, positions=128, layers=2):
    def dense(name, shape, scale=0.5):
        weights[f"{name}.weight"] = (random.standard_normal(shape) * scale).astype(np.float32)
        weights[f"{name}.bias"] = (random.standard_normal(shape[0]) * 0.1).astype(np.float32)

    weights = {f"embeddings.{kind}_embeddings.weight": random.standard_normal((count, hidden)).astype(np.float32) for kind, count in (("word", vocabulary), ("position", positions), ("token_type", 2))}
    norms = ["embeddings.LayerNorm"] + [f"encoder.layer.{layer}.{part}.LayerNorm" for layer in range(layers) for part in ("attention.output", "output")]
    for name in norms:
        weights[f"{name}.weight"] = (1 + random.standard_normal(hidden) * 0.1).astype(np.float32)
        weights[f"{name}.bias"] = (random.standard_normal(hidden) * 0.1).astype(np.float32)
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            dense(f"{at}.attention.self.{part}", (hidden, hidden))
        dense(f"{at}.attention.output.dense", (hidden, hidden))
        dense(f"{at}.intermediate.dense", (inner, hidden))
        dense(f"{at}.output.dense", (hidden, inner))
    return weights


tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.train_from_iterator(TEXTS * 3 + ["Zürich, 東京 & ☂️!"], trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
tokenizer.enable_truncation(120)
weights = random_weights()


def save(name, model, files, side="right", tokenizer=tokenizer):
    (folder / name).mkdir(parents=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(folder / name / "model.onnx"))
    tokenizer.no_padding()
    if side == "left":
        tokenizer.enable_padding(direction="left", pad_id=7, pad_token="[PAD]")
    (folder / name / "tokenizer.json").write_text(tokenizer.to_str())
    tokenizer.no_padding()
    for path, content in files.items():
        (folder / name / path).parent.mkdir(exist_ok=True)
        (folder / name / path).write_text(content if isinstance(content, str) else json.dumps(content))


def answers(name, texts=TEXTS, limit=120):
    """Outputs of the graph by the ids of the package tokenizers, for one text at a time."""
    session = onnxruntime.InferenceSession(str(folder / name / "model.onnx"))
    tokenizer.enable_truncation(limit)
    results = []
    for text in texts:
        encoded = tokenizer.encode(*text) if isinstance(text, tuple) else tokenizer.encode(text)
        feeds = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        names = {item.name for item in session.get_inputs()}
        results.append(session.run(None, {key: np.array([value]) for key, value in feeds.items() if key in names}))
    return results


def unit(vector):
    return (vector / np.linalg.norm(vector)).tolist()


# An encoder, as sentence-transformers exports it: tokens out, the pooling in files.
graph = Graph()
encoder(graph, weights, CONFIG, "last_hidden_state")
hidden = model_of(graph, {"last_hidden_state": ["batch", "tokens", 32]})
save("encoder", hidden, {"1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "modules.json": [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}, {"type": "sentence_transformers.models.Normalize"}]})
save("encoder-cls", hidden, {"slipway.yaml": "answer: { task: embedding, pooling: cls, normalize: false }\n"})
save("encoder-max", hidden, {"slipway.yaml": "answer: { pooling: max }\n"})
save("encoder-tokens", hidden, {"slipway.yaml": "answer: { pooling: none }\n"})
save("encoder-short", hidden, {"slipway.yaml": "text: { maxLength: 9 }\n"})
save("encoder-refusing", hidden, {"slipway.yaml": "text: { maxLength: 9, truncation: refuse, bytesMax: 200 }\n"})

# A classifier, as transformers exports it: logits out, the labels in config.json.
graph = Graph()
pooled = mean_of_tokens(graph, encoder(graph, weights, CONFIG))
graph.node("Gemm", pooled, graph.constant(random.standard_normal((32, 3)).astype(np.float32) * 3), graph.floats(0.1, 0.2, 0.3), output="logits")
logits = model_of(graph, {"logits": ["batch", 3]})
save("classifier", logits, {"config.json": {"id2label": {"0": "late", "1": "thanks", "2": "other"}, "max_position_embeddings": 128}, "tokenizer_config.json": {"model_max_length": 10**30, "pad_token": "[PAD]"}})

# One that pads on the left, which places without a mask would make another model of.
left = Graph()
left_weights = {**weights, "embeddings.position_embeddings.weight": np.zeros((128, 32), np.float32)}
encoder(left, left_weights, CONFIG, "last_hidden_state")
save("left", model_of(left, {"last_hidden_state": ["batch", "tokens", 32]}), {}, side="left")

# One that does not heed its mask.
careless = Graph()
vectors = careless.node("Gather", careless.constant(weights["embeddings.word_embeddings.weight"]), "input_ids")
careless.node("ReduceMean", vectors, axes=[1], keepdims=0, output="sentence_embedding")
careless.node("Identity", "attention_mask", output="mask_as_it_was")
save("careless", model_of(careless, {"sentence_embedding": ["batch", 32]}, ["input_ids", "attention_mask"]), {})

# One that takes more than texts.
other = Graph()
other.node("Gather", other.constant(weights["embeddings.word_embeddings.weight"]), "input_ids", output="words")
other.node("Add", other.node("Cast", "weights_of_words", to=1), other.floats(1.0), output="sums")
save("mixed", model_of(other, {"words": ["batch", "tokens", 32], "sums": ["batch", "tokens"]}, ["input_ids", "weights_of_words"]), {})

told = {"texts": TEXTS}
for name, pool in {
    "encoder": lambda out: unit(out[0][0].mean(0)),
    "encoder-cls": lambda out: out[0][0][0].tolist(),
    "encoder-max": lambda out: out[0][0].max(0).tolist(),
    "encoder-tokens": lambda out: out[0][0].tolist(),
    "left": lambda out: out[0][0].mean(0).tolist(),
    "classifier": lambda out: (np.exp(out[0][0]) / np.exp(out[0][0]).sum()).tolist(),
    "careless": lambda out: out[0][0].tolist(),
}.items():
    told[name] = [pool(out) for out in answers(name)]
told["encoder-short"] = [out[0][0].mean(0).tolist() for out in answers("encoder-short", limit=9)]
told["pairs"] = [["the parcel came", "nobody answers"], ["snow", "a table for two please"]]
told["of pairs"] = [(np.exp(out[0][0]) / np.exp(out[0][0]).sum()).tolist() for out in answers("classifier", [tuple(pair) for pair in told["pairs"]])]
(folder / "told.json").write_text(json.dumps(told))
