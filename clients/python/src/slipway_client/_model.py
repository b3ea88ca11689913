from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union, cast
from urllib.parse import quote

from ._connections import Limit, Reply
from ._errors import SlipwayClientError, is_outage
from ._options import LONGEST_MS, within
from ._persist import Course, Standing, persist
from ._send import invalid_answer, json_of, send, write_json
from ._tensors import Tensor, tensor_from, tensors_of

if TYPE_CHECKING:
    from ._client import Client

Row = TypeVar("Row")
Answer = TypeVar("Answer")
T = TypeVar("T")

Outputs = Dict[str, Tensor]
HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Predicted(Generic[T]):
    """An answer of the service, or what takes its place: ``fallback`` says which, and then ``reason`` says why."""

    answer: T
    fallback: bool
    reason: Optional[SlipwayClientError]
    request_id: str
    prediction_id: Optional[str] = None
    """Names the prediction in feedback; the rows of one request share one."""
    model: Optional[str] = None
    version: Optional[str] = None
    variant: Optional[str] = None
    """The variant that answered."""
    assigned: Optional[str] = None
    """The variant that was meant, where another one answered."""
    cache: Optional[str] = None
    """hit, miss or shared; None where the model has no cache."""
    warnings: Optional[str] = None
    """What guards have warned of."""
    attempts: int = 0
    """Requests that were sent for it."""
    hedged: bool = False
    """Whether a second request was answered while the first one was not."""


class Model(Generic[Row, Answer]):
    """A model of a server. Safe to use from several threads."""

    def __init__(self, client: Client, name: str, version: Optional[str], fallback: Any, standing: Standing) -> None:
        self.name = name
        self._client = client
        self._fallback = fallback
        self._standing = standing
        self._path = f"/models/{quote(name, safe='')}" + ("" if version is None else f"/versions/{quote(version, safe='')}")

    def predict(
        self,
        row: Row,
        *,
        deadline_ms: Optional[float] = None,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        priority: Optional[int] = None,
        request_id: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Predicted[Answer]:
        """One row in, its answer out. Raises SlipwayClientError.

        ``unit`` says whom the request is for: the same one always meets the same variant. ``variant`` is a tester's choice, ``priority``
        from 1, the most urgent, to 9, ``request_id`` the id in the log of the server; by default one is made up.
        """
        path = f"{self._path}/predict"
        single = isinstance(row, Mapping)

        def read(reply: Reply) -> Tuple[Answer, None, None]:
            found = json_of(reply.body, reply, path) if single else _predictions(reply, path, 1)[0]
            return cast(Answer, found), None, None

        call = Call(path, _JSON, write_json(row if single else {"inputs": [row]}), deadline_ms, unit, variant, priority, request_id, headers)
        fallback = self._fallback
        return self._answered(call, read, None if fallback is None else lambda error: instead(fallback, error, row))

    def predict_many(
        self,
        rows: Sequence[Row],
        *,
        deadline_ms: Optional[float] = None,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        priority: Optional[int] = None,
        request_id: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Predicted[List[Answer]]:
        """Rows in, an answer for each out, in their order. Raises SlipwayClientError."""
        path = f"{self._path}/predict"
        asked = list(rows)

        def read(reply: Reply) -> Tuple[List[Answer], None, None]:
            return _predictions(reply, path, len(asked)), None, None

        call = Call(path, _JSON, write_json(asked), deadline_ms, unit, variant, priority, request_id, headers)
        fallback = self._fallback
        many = lambda error: [instead(fallback, error, row) for row in asked]  # noqa: E731
        return self._answered(call, read, None if fallback is None else many)

    def infer(
        self,
        inputs: Union[Mapping[str, Any], Sequence[Tensor]],
        *,
        outputs: Optional[Sequence[str]] = None,
        parameters: Optional[Mapping[str, Union[str, int, float, bool]]] = None,
        fallback: Union[Outputs, Callable[[SlipwayClientError, Any], Outputs], None] = None,
        deadline_ms: Optional[float] = None,
        unit: Optional[str] = None,
        variant: Optional[str] = None,
        priority: Optional[int] = None,
        request_id: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Predicted[Outputs]:
        """Tensors in, tensors out by name, in binary. Raises SlipwayClientError.

        ``inputs`` are arrays of numpy by name, or tensors; ``outputs`` names those that are wanted, by default all.
        """
        path = f"/v2{self._path}/infer"
        tensors = tensors_of(inputs)
        head: Dict[str, Any] = {
            "parameters": {**(parameters or {}), "binary_data_output": True},
            "inputs": [
                {
                    "name": one.name,
                    "datatype": one.datatype,
                    "shape": list(one.shape),
                    "parameters": {"binary_data_size": len(one.raw)},
                }
                for one in tensors
            ],
            **({} if outputs is None else {"outputs": [{"name": name} for name in outputs]}),
        }
        written = write_json(head)
        body = b"".join([written, *(one.raw for one in tensors)])
        types = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(written))}

        def read(reply: Reply) -> Tuple[Outputs, Optional[str], Optional[str]]:
            return _tensors_in(reply, path)

        call = Call(path, types, body, deadline_ms, unit, variant, priority, request_id, headers)
        return self._answered(call, read, None if fallback is None else lambda error: instead(fallback, error, inputs))

    def ready(self, *, deadline_ms: Optional[float] = None) -> bool:
        """Whether it can answer; False also where the server does not."""
        return self._client._is_ready(f"/v2{self._path}/ready", deadline_ms)

    def _answered(
        self,
        call: Call,
        read: Callable[[Reply], Tuple[T, Optional[str], Optional[str]]],
        fallback: Optional[Callable[[SlipwayClientError], T]],
    ) -> Predicted[T]:
        client = self._client

        def ask(headers: Mapping[str, str], limit: Limit) -> Asked[T]:
            reply = send(client._connections, "POST", call.path, {**client._headers, **call.types, **headers}, call.body, limit)
            return reply.headers, read(reply)

        return answered(ask, call, self._standing, client._deadline_ms, fallback)


Asked = Tuple[Mapping[str, str], Tuple[T, Optional[str], Optional[str]]]
"""Headers of an answer; and the answer, its model and version, where these are not in the headers."""


def answered(
    ask: Callable[[Mapping[str, str], Limit], Asked[T]],
    call: Call,
    standing: Standing,
    deadline_ms: float,
    fallback: Optional[Callable[[SlipwayClientError], T]],
) -> Predicted[T]:
    """Makes a call, and has the fallback answer where the service does not. Raises SlipwayClientError."""
    # One id for all requests of a call: where no unit is named it decides the variant, which a repeat should meet again.
    request_id = call.request_id or secrets.token_hex(16)
    headers = {**call.own_headers(), "x-request-id": request_id}
    end_ms = deadline_ms if call.deadline_ms is None else within("deadline_ms", call.deadline_ms, 1, LONGEST_MS)
    course = Course()
    try:
        found, (answer, model, version) = persist(lambda limit: ask(headers, limit), standing, end_ms, course)
    except SlipwayClientError as error:
        if fallback is None or not is_outage(error):
            raise
        return Predicted(fallback(error), True, error, request_id, attempts=error.attempts)
    given = found.get
    return Predicted(
        answer,
        False,
        None,
        given("x-request-id", request_id),
        prediction_id=given("slipway-prediction-id"),
        model=model or given("slipway-model"),
        version=version or given("slipway-version"),
        variant=given("slipway-variant"),
        assigned=given("slipway-assigned"),
        cache=given("slipway-cache"),
        warnings=given("slipway-warnings"),
        attempts=course.attempts,
        hedged=course.hedged,
    )


_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Call:
    path: str
    types: Mapping[str, str]
    body: bytes
    deadline_ms: Optional[float]
    unit: Optional[str]
    variant: Optional[str]
    priority: Optional[int]
    request_id: Optional[str]
    headers: Optional[Mapping[str, str]]

    def own_headers(self) -> Dict[str, str]:
        priority = None if self.priority is None else str(self.priority)
        named = {"slipway-unit": self.unit, "slipway-variant": self.variant, "slipway-priority": priority}
        return {**(self.headers or {}), **{name: value for name, value in named.items() if value is not None}}


def _predictions(reply: Reply, path: str, count: int) -> List[Any]:
    """Raises SLW_ANSWER_INVALID where there is not one answer for each row."""
    body = json_of(reply.body, reply, path)
    predictions = body.get("predictions") if isinstance(body, dict) else None
    if isinstance(predictions, list) and len(predictions) == count:
        return predictions
    raise invalid_answer(f"{path}: expected {count} predictions", reply)


def _tensors_in(reply: Reply, path: str) -> Tuple[Outputs, Optional[str], Optional[str]]:
    """Raises SLW_ANSWER_INVALID."""
    try:
        length = int(reply.headers.get(HEADER_LENGTH, str(len(reply.body))))
        head = json_of(reply.body[:length], reply, path)
        found: Outputs = {}
        at = length
        for output in head["outputs"]:
            size = int(output["parameters"]["binary_data_size"])
            found[output["name"]] = tensor_from(output, reply.body[at : at + size])
            at += size
        return found, head.get("model_name"), head.get("model_version")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid_answer(f"{path}: {error}", reply) from error


def instead(fallback: Any, error: SlipwayClientError, asked: Any) -> Any:
    return fallback(error, asked) if callable(fallback) else fallback
