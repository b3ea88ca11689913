from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple, Union

from ._errors import invalid

if TYPE_CHECKING:
    import numpy

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"
]

_FORMATS: Dict[str, str] = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "BF16": "H",
    "FP32": "f",
    "FP64": "d",
}
"""As the module struct names them; BYTES has none, as its elements vary in length."""

_DTYPES: Dict[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "u2",
    "UINT32": "u4",
    "UINT64": "u8",
    "INT8": "i1",
    "INT16": "i2",
    "INT32": "i4",
    "INT64": "i8",
    "FP16": "f2",
    "BF16": "u2",
    "FP32": "f4",
    "FP64": "f8",
}
_OF_DTYPES: Dict[str, Datatype] = {
    "b1": "BOOL",
    "u1": "UINT8",
    "u2": "UINT16",
    "u4": "UINT32",
    "u8": "UINT64",
    "i1": "INT8",
    "i2": "INT16",
    "i4": "INT32",
    "i8": "INT64",
    "f2": "FP16",
    "f4": "FP32",
    "f8": "FP64",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor as it travels."""

    name: str
    datatype: Datatype
    shape: Tuple[int, ...]
    raw: bytes
    """Elements one after the other, row by row: little-endian, BOOL one byte, BYTES with a 4-byte length before each."""

    @staticmethod
    def of(name: str, values: Any, datatype: Optional[Datatype] = None, shape: Optional[Sequence[int]] = None) -> Tensor:
        """A tensor of an array of numpy, or of a flat list of values. Raises SLW_CONFIG_INVALID.

        An array says its own datatype and shape; bits of BF16 in an array of uint16 need ``datatype="BF16"``. A list needs ``datatype``;
        its shape is by default that of a list.
        """
        if hasattr(values, "dtype") and hasattr(values, "shape"):
            return _of_array(name, values, datatype)
        if datatype is None:
            raise invalid(f'input "{name}": a list of values needs a datatype')
        return _of_list(name, list(values), datatype, shape)

    def values(self) -> List[Union[bool, int, float, str]]:
        """The values as a flat list. Halves are floats."""
        count = math.prod(self.shape)
        if self.datatype == "BYTES":
            return [*texts_of(self.raw, self.name, count)]
        numbers = list(struct.unpack(f"<{count}{_FORMATS[self.datatype]}", self.raw))
        return [bfloat_to_number(bits) for bits in numbers] if self.datatype == "BF16" else numbers

    def numpy(self) -> numpy.ndarray[Any, Any]:
        """The values as an array of numpy, which must not be written to: BYTES as objects, BF16 as its bits in uint16."""
        import numpy as np

        if self.datatype == "BYTES":
            texts = texts_of(self.raw, self.name, math.prod(self.shape))
            array = np.empty(len(texts), dtype=object)
            array[:] = texts
            return array.reshape(self.shape)
        return np.frombuffer(self.raw, dtype=np.dtype("<" + _DTYPES[self.datatype])).reshape(self.shape)


def _of_array(name: str, array: Any, datatype: Optional[Datatype]) -> Tensor:
    import numpy as np

    shape = tuple(int(dimension) for dimension in array.shape)
    kind = array.dtype.kind
    if kind in "OSU":
        return _of_list(name, list(array.reshape(-1)), datatype or "BYTES", shape)
    found = _OF_DTYPES.get(f"{kind}{array.dtype.itemsize}")
    if datatype is None:
        datatype = found
    if datatype is None or datatype == "BYTES" or found != ("UINT16" if datatype == "BF16" else datatype):
        raise invalid(f'input "{name}": an array of {array.dtype} is no {datatype or "tensor"}')
    little = array if sys.byteorder == "little" and array.dtype.byteorder in "=|<" else array.astype(array.dtype.newbyteorder("<"))
    return Tensor(name, datatype, shape, np.ascontiguousarray(little).tobytes())


def _of_list(name: str, values: List[Any], datatype: Datatype, shape: Optional[Sequence[int]]) -> Tensor:
    dimensions = (len(values),) if shape is None else tuple(shape)
    if math.prod(dimensions) != len(values):
        raise invalid(f'input "{name}": {datatype} {list(dimensions)} takes {math.prod(dimensions)} values, found {len(values)}')
    return Tensor(name, datatype, dimensions, _packed(name, values, datatype))


def _packed(name: str, values: List[Any], datatype: Datatype) -> bytes:
    if datatype == "BYTES":
        parts: List[bytes] = []
        for value in values:
            content = value if isinstance(value, bytes) else str(value).encode("utf-8")
            parts += [struct.pack("<I", len(content)), content]
        return b"".join(parts)
    if datatype not in _FORMATS:
        raise invalid(f'input "{name}": there is no datatype "{datatype}"')
    if datatype == "FP16":
        values = [_in_half(value) for value in values]
    if datatype == "BF16":
        values = [number_to_bfloat(value) for value in values]
    try:
        return struct.pack(f"<{len(values)}{_FORMATS[datatype]}", *values)
    except (struct.error, OverflowError) as error:
        raise invalid(f'input "{name}": {datatype}: {error}') from error


def _in_half(value: float) -> float:
    # struct refuses what is rounded to infinity.
    return math.copysign(math.inf, value) if abs(value) >= 65520 else value


def number_to_bfloat(value: float) -> int:
    """A number as bits of bfloat16, the upper half of a float32: rounded to nearest, ties to even."""
    if math.isnan(value):
        return 0x7FC0
    try:
        packed = struct.pack(">f", value)
    except OverflowError:
        packed = struct.pack(">f", math.copysign(math.inf, value))
    (bits,) = struct.unpack(">I", packed)
    # A float32 just between two of them: what was lost on the way to it decides.
    lost = abs(value) - abs(struct.unpack(">f", packed)[0])
    if bits & 0xFFFF == 0x8000 and lost != 0:
        bits += 1 if lost > 0 else -1
    return ((int(bits) + 0x7FFF + ((int(bits) >> 16) & 1)) >> 16) & 0xFFFF


def bfloat_to_number(bits: int) -> float:
    return float(struct.unpack(">f", struct.pack(">I", bits << 16))[0])


def texts_of(raw: bytes, name: str, count: int) -> List[str]:
    texts: List[str] = []
    at = 0
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            break
        texts.append(raw[at + 4 : at + 4 + length].decode("utf-8", "replace"))
        at += 4 + length
    if len(texts) != count or at != len(raw):
        raise ValueError(f'output "{name}": expected {count} texts in {len(raw)} bytes')
    return texts


def tensor_from(head: Mapping[str, Any], raw: bytes) -> Tensor:
    """A tensor of an answer. Raises ValueError saying what does not fit."""
    name, datatype, shape = str(head["name"]), head["datatype"], tuple(int(dimension) for dimension in head["shape"])
    if datatype == "BYTES":
        texts_of(raw, name, math.prod(shape))
    elif datatype not in _FORMATS:
        raise ValueError(f'output "{name}": there is no datatype "{datatype}"')
    elif len(raw) != math.prod(shape) * struct.calcsize("<" + _FORMATS[datatype]):
        raise ValueError(f'output "{name}": {datatype} {list(shape)} does not fit in {len(raw)} bytes')
    return Tensor(name, datatype, shape, raw)


def tensors_of(inputs: Union[Mapping[str, Any], Sequence[Tensor]]) -> List[Tensor]:
    if isinstance(inputs, Mapping):
        return [Tensor.of(name, values) for name, values in inputs.items()]
    return list(inputs)
