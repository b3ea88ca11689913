"""A model of MLServer that runs an ONNX file by ONNX Runtime."""
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor

TYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64", "tensor(int32)": "INT32"}


def described(tensor):
    shape = [dim if isinstance(dim, int) else -1 for dim in tensor.shape]
    return MetadataTensor(name=tensor.name, datatype=TYPES[tensor.type], shape=shape)


class OnnxModel(MLModel):
    async def load(self):
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, providers=["CPUExecutionProvider"])
        self.inputs = [described(tensor) for tensor in self.session.get_inputs()]
        self.outputs = [described(tensor) for tensor in self.session.get_outputs()]
        return True

    async def predict(self, payload):
        given = {tensor.name: self.decode(tensor, default_codec=NumpyCodec) for tensor in payload.inputs}
        wanted = [output.name for output in payload.outputs or self.outputs]
        values = self.session.run(wanted, given)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(wanted, values)]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)
