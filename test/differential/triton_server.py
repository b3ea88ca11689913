"""
Triton, as nvidia-pytriton carries it, with ONNX models run by ONNX Runtime.
Arguments: HTTP port, gRPC port, metrics port, rows of a batch (0: none are formed), NAME=PATH...
"""
import sys

import numpy
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig

TYPES = {
    "tensor(float)": numpy.float32,
    "tensor(double)": numpy.float64,
    "tensor(int64)": numpy.int64,
    "tensor(int32)": numpy.int32,
    "tensor(bool)": numpy.bool_,
    "tensor(string)": bytes,
}


def tensor(described, batching):
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in described.shape)
    # Beside the rows of a batch Triton wants a dimension.
    return Tensor(name=described.name, dtype=TYPES[described.type], shape=(shape[1:] or (1,)) if batching else shape)


def bind(triton, rows, name, path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def infer(requests):
        return [dict(zip(outputs, session.run(outputs, dict(request.data)))) for request in requests]

    @batch
    def infer_batch(**inputs):
        values = session.run(outputs, inputs)
        return {name: value.reshape(len(value), -1) for name, value in zip(outputs, values)}

    batched = ModelConfig(max_batch_size=rows, batcher=DynamicBatcher())
    triton.bind(
        model_name=name,
        infer_func=infer_batch if rows > 0 else infer,
        inputs=[tensor(described, rows > 0) for described in session.get_inputs()],
        outputs=[tensor(described, rows > 0) for described in session.get_outputs()],
        config=batched if rows > 0 else ModelConfig(batching=False),
    )


def main():
    http, grpc, metrics, rows = (int(argument) for argument in sys.argv[1:5])
    loopback = {"http_address": "127.0.0.1", "grpc_address": "127.0.0.1", "metrics_address": "127.0.0.1"}
    config = TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, **loopback)
    # Statistics are for those who know it.
    with Triton(config=config, security_config=TritonSecurityConfig(access_token="measured")) as triton:
        for model in sys.argv[5:]:
            bind(triton, rows, *model.split("=", 1))
        triton.serve()


main()
