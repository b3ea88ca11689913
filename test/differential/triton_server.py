"""Triton, as nvidia-pytriton carries it, with ONNX models run by ONNX Runtime. Arguments: HTTP port, gRPC port, metrics port, NAME=PATH..."""
import sys

import numpy
import onnxruntime
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

TYPES = {
    "tensor(float)": numpy.float32,
    "tensor(double)": numpy.float64,
    "tensor(int64)": numpy.int64,
    "tensor(int32)": numpy.int32,
    "tensor(bool)": numpy.bool_,
    "tensor(string)": bytes,
}


def tensor(described):
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in described.shape)
    return Tensor(name=described.name, dtype=TYPES[described.type], shape=shape)


def bind(triton, name, path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def infer(requests):
        return [dict(zip(outputs, session.run(outputs, dict(request.data)))) for request in requests]

    triton.bind(
        model_name=name,
        infer_func=infer,
        inputs=[tensor(described) for described in session.get_inputs()],
        outputs=[tensor(described) for described in session.get_outputs()],
        config=ModelConfig(batching=False),
    )


def main():
    http, grpc, metrics = (int(port) for port in sys.argv[1:4])
    loopback = {"http_address": "127.0.0.1", "grpc_address": "127.0.0.1", "metrics_address": "127.0.0.1"}
    with Triton(config=TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, **loopback)) as triton:
        for model in sys.argv[4:]:
            bind(triton, *model.split("=", 1))
        triton.serve()


main()
