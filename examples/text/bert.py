"""BERT (Devlin et al., 2018) as an ONNX graph, from its weights: what torch.onnx writes, without torch."""
import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def read_safetensors(path):
    """Tensors of FP32 by name: the length of the header as 8 bytes, the header as JSON, the values (https://github.com/huggingface/safetensors)."""
    contents = path.read_bytes()
    size = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + size])
    values = memoryview(contents)[8 + size :]
    return {
        name: np.frombuffer(values[entry["data_offsets"][0] : entry["data_offsets"][1]], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


class Graph:
    """Nodes and constants as they are added; each method answers the name of what it computes."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, value, name=None):
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, kind, *inputs, output=None, **attributes):
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def floats(self, *values):
        return self.constant(np.array(values if len(values) > 1 else values[0], np.float32))

    def integers(self, *values):
        return self.constant(np.array(values, np.int64))


def encoder(graph, weights, config, output=None):
    """The vectors of the tokens, [batch, tokens, hidden]. Tokens whose mask is 0 are looked at by none."""
    epsilon, heads, hidden = config["layer_norm_eps"], config["num_attention_heads"], config["hidden_size"]
    width = hidden // heads

    def linear(value, name):
        product = graph.node("MatMul", value, graph.constant(weights[f"{name}.weight"].T, f"{name}.weight"))
        return graph.node("Add", product, graph.constant(weights[f"{name}.bias"], f"{name}.bias"))

    def norm(value, name, output=None):
        scale, bias = (graph.constant(weights[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias"))
        return graph.node("LayerNormalization", value, scale, bias, axis=-1, epsilon=epsilon, output=output)

    def looked_up(name, ids):
        return graph.node("Gather", graph.constant(weights[f"embeddings.{name}.weight"], f"embeddings.{name}.weight"), ids)

    length = graph.node("Gather", graph.node("Shape", "input_ids"), graph.integers(1))
    table = graph.constant(weights["embeddings.position_embeddings.weight"], "embeddings.position_embeddings.weight")
    places = graph.node("Slice", table, graph.integers(0), length, graph.integers(0))
    words = graph.node("Add", looked_up("word_embeddings", "input_ids"), looked_up("token_type_embeddings", "token_type_ids"))
    state = norm(graph.node("Add", words, places), "embeddings.LayerNorm")
    mask = graph.node("Unsqueeze", graph.node("Cast", "attention_mask", to=TensorProto.FLOAT), graph.integers(1, 2))
    closed = graph.node("Mul", graph.node("Sub", graph.floats(1.0), mask), graph.floats(-3.0e38))
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"

        def by_head(kind, order):
            split = graph.node("Reshape", linear(state, f"{at}.attention.self.{kind}"), graph.integers(0, 0, heads, width))
            return graph.node("Transpose", split, perm=order)

        likeness = graph.node("MatMul", by_head("query", [0, 2, 1, 3]), by_head("key", [0, 2, 3, 1]))
        scores = graph.node("Add", graph.node("Div", likeness, graph.floats(float(np.sqrt(width)))), closed)
        seen = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), by_head("value", [0, 2, 1, 3]))
        merged = graph.node("Reshape", graph.node("Transpose", seen, perm=[0, 2, 1, 3]), graph.integers(0, 0, hidden))
        attended = norm(graph.node("Add", linear(merged, f"{at}.attention.output.dense"), state), f"{at}.attention.output.LayerNorm")
        wide = linear(attended, f"{at}.intermediate.dense")
        # Gelu (Hendrycks and Gimpel, 2016): x/2 (1 + erf(x / sqrt 2)).
        half = graph.node("Mul", wide, graph.floats(0.5))
        gelu = graph.node("Mul", half, graph.node("Add", graph.node("Erf", graph.node("Div", wide, graph.floats(float(np.sqrt(2))))), graph.floats(1.0)))
        last = layer == config["num_hidden_layers"] - 1
        state = norm(graph.node("Add", linear(gelu, f"{at}.output.dense"), attended), f"{at}.output.LayerNorm", output if last else None)
    return state


def mean_of_tokens(graph, tokens):
    """Mean of the vectors of the tokens whose mask is 1, one long, [batch, hidden]."""
    mask = graph.node("Unsqueeze", graph.node("Cast", "attention_mask", to=TensorProto.FLOAT), graph.integers(2))
    total = graph.node("ReduceSum", graph.node("Mul", tokens, mask), graph.integers(1), keepdims=0)
    mean = graph.node("Div", total, graph.node("ReduceSum", mask, graph.integers(1), keepdims=0))
    length = graph.node("ReduceL2", mean, axes=[-1], keepdims=1)
    return graph.node("Div", mean, graph.node("Max", length, graph.floats(1e-12)))


def model_of(graph, outputs, inputs=INPUTS):
    """@param outputs shapes by name"""
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            list(graph.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
        producer_name="slipway example",
    )
