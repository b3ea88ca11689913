"""The gRPC service of the Open Inference Protocol, over grpcio where that is installed."""

from __future__ import annotations

import importlib
import random as chance
import struct
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, Union
from urllib.parse import urlsplit

from ._breaker import BreakerState
from ._connections import GivenUp, Late, Limit
from ._errors import SlipwayClientError, invalid
from ._model import Asked, Call, Outputs, Predicted, answered, instead
from ._options import LONGEST_MS, Breaker, Hedge, Retry, within
from ._persist import Course, Standing, now_ms, persist
from ._standings import Standings
from ._tensors import Tensor, tensor_from, tensors_of

SERVICE = "/inference.GRPCInferenceService/"
Parameter = Union[str, int, float, bool]

STATUSES: Dict[int, Tuple[str, int]] = {
    1: ("SLW_INTERNAL", 499),
    3: ("SLW_BAD_REQUEST", 400),
    4: ("SLW_DEADLINE_EXCEEDED", 504),
    5: ("SLW_NOT_FOUND", 404),
    6: ("SLW_ALREADY_EXISTS", 409),
    7: ("SLW_FORBIDDEN", 403),
    8: ("SLW_RATE_LIMITED", 429),
    9: ("SLW_CONFLICT", 409),
    10: ("SLW_CONFLICT", 409),
    11: ("SLW_BAD_REQUEST", 400),
    12: ("SLW_NOT_IMPLEMENTED", 501),
    13: ("SLW_INTERNAL", 500),
    14: ("SLW_UNREACHABLE", 503),
    15: ("SLW_INTERNAL", 500),
    16: ("SLW_UNAUTHENTICATED", 401),
}
"""Codes of errors that came without one, and their status as in HTTP, by the status of gRPC."""


class GrpcModel:
    """A model over gRPC: tensors, as ``Model.infer`` has them. Safe to use from several threads."""

    def __init__(self, client: GrpcClient, name: str, version: Optional[str], standing: Standing) -> None:
        self.name = name
        self._client = client
        self._version = version or ""
        self._standing = standing

    def infer(
        self,
        inputs: Union[Mapping[str, Any], Sequence[Tensor]],
        *,
        outputs: Optional[Sequence[str]] = None,
        parameters: Optional[Mapping[str, Parameter]] = None,
        fallback: Union[Outputs, Callable[[SlipwayClientError, Any], Outputs], None] = None,
        deadline_ms: Optional[float] = None,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        priority: Optional[int] = None,
        request_id: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Predicted[Outputs]:
        """Tensors in, tensors out by name. Raises SlipwayClientError."""
        message = write_request(self.name, self._version, tensors_of(inputs), outputs or (), parameters or {})

        def ask(told: Mapping[str, str], limit: Limit) -> Asked[Outputs]:
            found, answer = self._client._ask("ModelInfer", message, told, limit)
            try:
                return found, read_response(answer)
            except (ValueError, IndexError, KeyError, struct.error) as error:
                raise SlipwayClientError("SLW_ANSWER_INVALID", f"ModelInfer: {error}", request_id=found.get("x-request-id")) from error

        call = Call("", {}, b"", deadline_ms, unit, variant, priority, request_id, headers)
        taken = None if fallback is None else lambda error: instead(fallback, error, inputs)
        return answered(ask, call, self._standing, self._client._deadline_ms, taken)

    def ready(self, *, deadline_ms: Optional[float] = None) -> bool:
        """Whether it can answer; False also where the server does not."""
        return self._client._is_ready("ModelReady", _text(1, self.name) + _text(2, self._version), deadline_ms)


class GrpcClient:
    """A server over gRPC. Calls share one connection; what holds for calls of ``connect`` holds for these."""

    def __init__(self, channel: Any, grpc: Any, url: str, metadata: Mapping[str, str], deadline_ms: float, standings: Standings) -> None:
        self._channel = channel
        self._grpc = grpc
        self._url = url
        self._metadata = metadata
        self._deadline_ms = deadline_ms
        self._standings = standings

    def model(self, name: str, *, version: Optional[str] = None) -> GrpcModel:
        """A model of the server. Nothing is sent."""
        return GrpcModel(self, name, version, self._standings.of(name))

    def ready(self, *, deadline_ms: Optional[float] = None) -> bool:
        """Whether the server is ready for all its models; False also where it does not answer."""
        return self._is_ready("ServerReady", b"", deadline_ms)

    def breaker_of(self, name: str) -> BreakerState:
        """State of the breaker of a model."""
        return self._standings.of(name).circuit.state(now_ms())

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _is_ready(self, method: str, message: bytes, deadline_ms: Optional[float]) -> bool:
        end_ms = self._deadline_ms if deadline_ms is None else within("deadline_ms", deadline_ms, 1, LONGEST_MS)
        try:
            _, answer = persist(lambda limit: self._ask(method, message, {}, limit), self._standings.once(), end_ms, Course())
            return any(field == 1 and value == 1 for field, value in _fields(answer))
        except (SlipwayClientError, ValueError, IndexError, KeyError):
            return False

    def _ask(self, method: str, message: bytes, headers: Mapping[str, str], limit: Limit) -> Tuple[Dict[str, str], bytes]:
        metadata = [(name.lower(), value) for name, value in {**self._metadata, **headers}.items()]
        for name, value in metadata:
            # grpcio says so in its log, and not which.
            if not (value.isascii() and value.isprintable()):
                raise invalid(f"headers: {name} has {value!r}, which no header can hold")
        call = self._channel.unary_unary(SERVICE + method, request_serializer=None, response_deserializer=None)
        try:
            pending = call.future(message, timeout=limit.left_s(), metadata=metadata)
        except (TypeError, ValueError) as error:
            raise invalid(f"headers: {error}") from error
        try:
            limit.waits_on(_Pending(pending))
            answer: bytes = pending.result()
        except self._grpc.FutureCancelledError:
            raise GivenUp from None
        except self._grpc.RpcError as error:
            if limit.given_up:
                raise GivenUp from None
            # Late by our own clock, not by that of the server.
            if error.code().value[0] == 4 and "slipway-code" not in dict(error.trailing_metadata() or ()):
                raise Late from None
            raise self._refusal(error, method) from error
        finally:
            limit.waits_on(None)
        return {**_told(pending.initial_metadata()), **_told(pending.trailing_metadata())}, answer

    def _refusal(self, error: Any, method: str) -> SlipwayClientError:
        number = error.code().value[0]
        code, status = STATUSES.get(number, ("SLW_INTERNAL", 500))
        told = {**_told(error.initial_metadata()), **_told(error.trailing_metadata())}
        pushback = told.get("grpc-retry-pushback-ms")
        retry_after_ms = float(pushback) if pushback is not None and pushback.isdigit() else None
        again = pushback is None or retry_after_ms is not None
        retryable = again and (number == 14 or (number == 8 and retry_after_ms is not None))
        own = told.get("slipway-code")
        message = error.details() or f"{method} ended with the status {number} of gRPC"
        if own is None and number == 14:
            return self._absent(message)
        return SlipwayClientError(
            own or code,
            message,
            status=413 if own in ("SLW_BODY_TOO_LARGE", "SLW_OUTPUT_TOO_LARGE") else status,
            retryable=retryable and own != "SLW_CLOSED",
            request_id=told.get("x-request-id"),
            retry_after_ms=retry_after_ms,
        )

    def _absent(self, message: str) -> SlipwayClientError:
        """What grpcio says where there is no connection."""
        if any(word in message for word in ("CERTIFICATE", "certificate", "SSL", "TLS", "handshake")):
            cure = "check the address and whose certificates are trusted"
            return SlipwayClientError("SLW_UNREACHABLE", f"{self._url}: TLS failed: {message}; {cure}")
        if "refused" in message:
            return SlipwayClientError("SLW_UNREACHABLE", f"{self._url}: nothing listens there; is the server running?", retryable=True)
        return SlipwayClientError("SLW_UNREACHABLE", f"{self._url}: the connection broke before the answer: {message}", retryable=True)


class _Pending:
    def __init__(self, pending: Any) -> None:
        self._pending = pending

    def abort(self) -> None:
        self._pending.cancel()


def connect_grpc(
    url: str,
    *,
    api_key: Optional[str] = None,
    deadline_ms: float = 10_000,
    retry: Optional[Retry] = Retry(),
    breaker: Optional[Breaker] = Breaker(),
    hedge: Optional[Hedge] = None,
    headers: Optional[Mapping[str, str]] = None,
    ca: Optional[bytes] = None,
    random: Callable[[], float] = chance.random,
) -> GrpcClient:
    """A client of the gRPC service of the Open Inference Protocol, ``http://127.0.0.1:8471``, or ``https://`` for TLS.

    It needs grpcio. ``ca`` has the authorities that are trusted, in PEM; the rest is as in ``connect``. Raises SLW_CONFIG_INVALID, and
    SLW_DEPENDENCY_MISSING without grpcio.
    """
    try:
        grpc: Any = importlib.import_module("grpc")
    except ImportError as error:
        raise SlipwayClientError("SLW_DEPENDENCY_MISSING", "gRPC needs grpcio: pip install grpcio") from error
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise invalid(f'address of the server: expected http://HOST:PORT or https://HOST, found "{url}"')
    # Repeats are made here, within the budget.
    options = [
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if parts.scheme == "https":
        channel = grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(root_certificates=ca), options=options)
    else:
        channel = grpc.insecure_channel(parts.netloc, options=options)
    metadata = {**(headers or {}), **({} if api_key is None else {"authorization": f"Bearer {api_key}"})}
    standings = Standings(url.rstrip("/"), retry or Retry(attempts=1), breaker, hedge, random)
    return GrpcClient(channel, grpc, url.rstrip("/"), metadata, within("deadline_ms", deadline_ms, 1, LONGEST_MS), standings)


def _told(metadata: Any) -> Dict[str, str]:
    return {name: value for name, value in (metadata or ()) if isinstance(value, str)}


# The encoding of protobuf (protobuf.dev, "Encoding"), as far as the messages of inference need it.


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode("utf-8")) if text else b""


def _parameter(value: Parameter) -> bytes:
    if isinstance(value, bool):
        return _varint(1 << 3) + _varint(int(value))
    if isinstance(value, int):
        return _varint(2 << 3) + _varint(value)
    if isinstance(value, str):
        return _bytes(3, value.encode("utf-8"))
    return _varint(4 << 3 | 1) + struct.pack("<d", value)


def write_request(
    model: str, version: str, inputs: List[Tensor], outputs: Sequence[str], parameters: Mapping[str, Parameter]
) -> bytes:
    """``inference.ModelInferRequest``, its tensors as raw contents."""
    parts = [_text(1, model), _text(2, version)]
    parts += [_bytes(4, _text(1, name) + _bytes(2, _parameter(value))) for name, value in parameters.items()]
    for one in inputs:
        shape = b"".join(_varint(dimension) for dimension in one.shape)
        parts.append(_bytes(5, _text(1, one.name) + _text(2, one.datatype) + (_bytes(3, shape) if shape else b"")))
    parts += [_bytes(6, _text(1, name)) for name in outputs]
    for one in inputs:
        parts += [_varint(7 << 3 | 2) + _varint(len(one.raw)), one.raw]
    return b"".join(parts)


def _read_varint(message: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(message: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield field, value
            continue
        length, at = _read_varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + length > len(message):
            raise ValueError("the message breaks off")
        if kind == 2:
            yield field, message[at : at + length]
        at += length


def read_response(message: bytes) -> Tuple[Outputs, Optional[str], Optional[str]]:
    """``inference.ModelInferResponse``. Raises ValueError, IndexError or KeyError for what does not fit."""
    model = version = None
    heads: List[Dict[str, Any]] = []
    raw: List[bytes] = []
    for field, value in _fields(message):
        if isinstance(value, int):
            continue
        if field == 1:
            model = value.decode("utf-8")
        elif field == 2:
            version = value.decode("utf-8")
        elif field == 5:
            heads.append(_output(value))
        elif field == 6:
            raw.append(value)
    if len(raw) != len(heads):
        raise ValueError(f"{len(heads)} outputs have {len(raw)} raw contents")
    return {head["name"]: tensor_from(head, content) for head, content in zip(heads, raw)}, model, version


def _output(message: bytes) -> Dict[str, Any]:
    head: Dict[str, Any] = {"name": "", "datatype": "", "shape": []}
    for field, value in _fields(message):
        if isinstance(value, int):
            if field == 3:
                head["shape"].append(value)
        elif field == 3:
            at = 0
            while at < len(value):
                dimension, at = _read_varint(value, at)
                head["shape"].append(dimension)
        elif field in (1, 2):
            head["name" if field == 1 else "datatype"] = value.decode("utf-8")
    return head
