"""
An instance of a model that is a Python object: confined, asked over descriptor 3, its file on descriptor 4.

Messages, both ways: the length of what follows (4 bytes), the length of the header (4 bytes), both little-endian; the header, JSON;
then the tensors, of as many bytes as the header lists, as the binary extension of the Open Inference Protocol has them. See engine/python-frames.ts.
"""

import json
import os
import struct
import sys
import time

# Isolated mode (-I) leaves the folder of the script out, so that nothing beside it is imported unasked.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import confinement  # noqa: E402
import unpickling  # noqa: E402

sys.path.pop(0)

PIPE = 3
MODEL = 4
VERSION = 1
HEADERS = struct.Struct("<II")
LENGTH = struct.Struct("<I")
DTYPES = {
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "UINT16": "uint16",
    "UINT32": "uint32", "UINT64": "uint64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")


class Refused(Exception):
    """Not the fault of this process: the model or its inputs. The code is one of core/errors.ts."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def read_exactly(count):
    parts = bytearray()
    while len(parts) < count:
        piece = os.read(PIPE, min(count - len(parts), 1 << 20))
        if not piece:
            # The server is gone, however it ended: nobody is left to answer.
            os._exit(0)
        parts += piece
    return bytes(parts)


def receive():
    total, header_length = HEADERS.unpack(read_exactly(8))
    return json.loads(read_exactly(header_length)), read_exactly(total - 4 - header_length)


def send(header, blobs=()):
    text = json.dumps(header, separators=(",", ":")).encode()
    frame = memoryview(b"".join([HEADERS.pack(4 + len(text) + sum(map(len, blobs)), len(text)), text, *blobs]))
    while frame:
        frame = frame[os.write(PIPE, frame) :]


def wire_error(error, code):
    # A header is short: some errors name all values that they did not know.
    return {"code": getattr(error, "code", code), "message": (str(error) or type(error).__name__)[:2000]}


class Model:
    def __init__(self, spec):
        self.inputs = spec["inputs"]
        self.outputs = spec["outputs"]
        how = spec["python"]
        self.columns = how["columns"]
        self.wrong = None
        if how["method"] not in METHODS:
            raise Refused("SLW_LOAD_FAILED", f'predict_fn "{how["method"]}" is none of {", ".join(METHODS)}')
        import sklearn

        # Pickles of another release may load and answer wrongly, says scikit-learn's guide on persistence.
        if release(how["sklearnVersion"]) != release(sklearn.__version__):
            raise Refused(
                "SLW_LOAD_FAILED",
                f"it was saved with scikit-learn {how['sklearnVersion']}, and the Python of this server has {sklearn.__version__}; "
                f"install scikit-learn=={how['sklearnVersion']} there",
            )
        # It would look into /proc for the libraries of threads, which nobody can read here.
        try:
            import threadpoolctl

            threadpoolctl._HAS_PROCFS = False
        except (ImportError, AttributeError):
            pass
        if self.columns:
            import pandas  # noqa: F401
        read = unpickling.read_skops if how["format"] == "skops" else unpickling.read_pickle
        with os.fdopen(MODEL, "rb") as file:
            estimator = read(file)
        self.predict = getattr(estimator, how["method"], None)
        if not callable(self.predict):
            raise Refused("SLW_LOAD_FAILED", f"{type(estimator).__name__} has no {how['method']}")

    def run(self, sizes, shapes, blob):
        import numpy

        if self.wrong is not None:
            raise Refused("SLW_RUN_FAILED", self.wrong)
        arrays = []
        offset = 0
        for spec, size, shape in zip(self.inputs, sizes, shapes):
            piece = memoryview(blob)[offset : offset + size]
            offset += size
            array = texts_of(piece) if spec["datatype"] == "BYTES" else numpy.frombuffer(piece, DTYPES[spec["datatype"]])
            arrays.append(array.reshape(shape))
        if self.columns:
            import pandas

            question = pandas.DataFrame({spec["name"]: array for spec, array in zip(self.inputs, arrays)})
        else:
            question = arrays[0]
        started = time.perf_counter()
        try:
            answer = self.predict(question)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            # What fits the signature and the model does not take.
            raise Refused("SLW_RUN_REJECTED", f"the model refused the inputs: {error}") from None
        compute_us = (time.perf_counter() - started) * 1e6
        return self.split(answer, shapes[0][0]), compute_us

    def split(self, answer, rows):
        """The outputs that the signature promises. raises Refused where the model gives others"""
        import numpy

        if hasattr(answer, "toarray"):
            answer = answer.toarray()
        answer = numpy.asarray(answer)
        if answer.ndim == 0 or answer.shape[0] != rows:
            # It has read the question otherwise than row by row, so its other answers are as wrong.
            self.wrong = f"the model gave an answer of shape {list(answer.shape)} for {rows} rows"
            raise Refused("SLW_RUN_FAILED", self.wrong)
        if len(self.outputs) == 1:
            arrays = [answer]
        elif answer.ndim == 2 and answer.shape[1] == len(self.outputs):
            arrays = [answer[:, index] for index in range(len(self.outputs))]
        else:
            raise Refused("SLW_RUN_FAILED", f"the model gave {list(answer.shape)}, its signature promises {len(self.outputs)} outputs")
        return [self.convert(spec, array) for spec, array in zip(self.outputs, arrays)]

    @staticmethod
    def convert(spec, array):
        import numpy

        name, datatype = spec["name"], spec["datatype"]
        if len(array.shape) != len(spec["shape"]) or any(want not in (-1, have) for want, have in zip(spec["shape"], array.shape)):
            raise Refused("SLW_RUN_FAILED", f'output "{name}" has shape {list(array.shape)}, its signature promises {spec["shape"]}')
        if datatype == "BYTES":
            texts = array.ravel().tolist() if array.dtype.kind in "OU" else [None]
            if any(not isinstance(text, str) or "\0" in text for text in texts):
                raise Refused("SLW_RUN_FAILED", f'output "{name}" is {array.dtype}, its signature promises text')
            return array
        wanted = numpy.dtype(DTYPES[datatype])
        if not numpy.can_cast(array.dtype, wanted, "same_kind"):
            raise Refused("SLW_RUN_FAILED", f'output "{name}" is {array.dtype}, its signature promises {wanted}')
        return numpy.ascontiguousarray(array, wanted)


def release(version):
    return str(version).split(".")[:2]


def texts_of(piece):
    """Each has its length before it, 4 bytes."""
    import numpy

    texts = []
    at = 0
    while at < len(piece):
        (length,) = LENGTH.unpack_from(piece, at)
        texts.append(str(piece[at + 4 : at + 4 + length], "utf-8"))
        at += 4 + length
    array = numpy.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def bytes_of(array):
    if array.dtype.kind not in "OU":
        return array.tobytes()
    texts = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(piece for text in texts for piece in (LENGTH.pack(len(text)), text))


def answer_run(model, message, blob):
    if model is None:
        raise Refused("SLW_RUN_FAILED", "no model is loaded")
    arrays, compute_us = model.run(message["data"], message["shapes"], blob)
    wanted = message.get("outputs")
    if wanted is not None:
        arrays = [arrays[index] for index in wanted]
    blobs = [bytes_of(array) for array in arrays]
    sizes = [len(blob) for blob in blobs]
    shapes = [list(array.shape) for array in arrays]
    send({"type": "result", "id": message["id"], "data": sizes, "shapes": shapes, "computeUs": compute_us}, blobs)


def load(message):
    if message["v"] != VERSION:
        raise Refused("SLW_LOAD_FAILED", f"the worker speaks version {VERSION}, was sent {message['v']}")
    spec = message["spec"]
    confinement.confine(spec["python"]["memoryBytes"])
    return Model(spec)


def main():
    model = None
    while True:
        message, blob = receive()
        kind = message["type"]
        if kind == "load":
            try:
                model = load(message)
                send({"type": "loaded"})
            except ModuleNotFoundError as error:
                missing = f"the Python of this server ({sys.executable}) has no module {error.name}"
                send({"type": "load-failed", "error": {"code": "SLW_DEPENDENCY_MISSING", "message": missing}})
            except Exception as error:
                send({"type": "load-failed", "error": wire_error(error, "SLW_LOAD_FAILED")})
        elif kind == "run":
            try:
                answer_run(model, message, blob)
            except MemoryError:
                send({"type": "run-failed", "id": message["id"], "error": {"code": "SLW_RUN_FAILED", "message": "the model ran out of memory"}})
            except Exception as error:
                send({"type": "run-failed", "id": message["id"], "error": wire_error(error, "SLW_RUN_FAILED")})
        elif kind == "close":
            model = None
            send({"type": "closed"})
        elif kind == "exit":
            os._exit(0)


main()
