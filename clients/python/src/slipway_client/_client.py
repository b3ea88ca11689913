from __future__ import annotations

import random as chance
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Type, Union

from ._breaker import BreakerState
from ._connections import Connections, Limit
from ._errors import SlipwayClientError, invalid
from ._model import Model
from ._options import LONGEST_MS, Breaker, Hedge, Retry, within
from ._persist import Course, now_ms, persist
from ._send import json_of, send, write_json
from ._standings import Standings

LABELS_MAX = 10_000
"""Labels of one request."""


@dataclass(frozen=True)
class Feedback:
    """What was true of a prediction."""

    id: str
    """``prediction_id`` of the answer."""
    label: Union[str, float, bool]
    time: Optional[int] = None
    """When it was known, UTC epoch milliseconds. None: when it arrives."""
    weight: Optional[float] = None
    """None: 1."""


@dataclass(frozen=True)
class Refused:
    """A label that the server did not sign, by its place in what was sent."""

    index: int
    message: str


@dataclass(frozen=True)
class FeedbackAnswer:
    accepted: int
    refused: List[Refused]


class Client:
    """A server. Its calls share one budget of repeats, and those of a model one breaker. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        api_key: Optional[str],
        deadline_ms: float,
        retry: Optional[Retry],
        breaker: Optional[Breaker],
        hedge: Optional[Hedge],
        headers: Optional[Mapping[str, str]],
        ssl_context: Optional[ssl.SSLContext],
        random: Callable[[], float],
    ) -> None:
        self._connections = Connections(url, ssl_context)
        self._deadline_ms = within("deadline_ms", deadline_ms, 1, LONGEST_MS)
        self._headers: Dict[str, str] = {**(headers or {})}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._standings = Standings(self._connections.url, retry or Retry(attempts=1), breaker, hedge, random)

    def model(self, name: str, *, version: Optional[str] = None, fallback: Any = None) -> Model[Any, Any]:
        """A model of the server. Nothing is sent.

        ``fallback`` is the answer for each row where the service is not there (it cannot be reached, fails, is too busy or too late, or the
        breaker is open): a value, or a function of the error and the row. A request that is wrong fails all the same.
        """
        return Model(self, name, version, fallback, self._standings.of(name))

    def feedback(
        self, labels: Union[Feedback, Sequence[Feedback]], *, deadline_ms: Optional[float] = None
    ) -> FeedbackAnswer:
        """Tells what was true. The same again changes nothing, so it is repeated as predictions are. Raises SlipwayClientError."""
        items = [labels] if isinstance(labels, Feedback) else list(labels)
        if not items:
            return FeedbackAnswer(0, [])
        if len(items) > LABELS_MAX:
            raise invalid(f"feedback: {len(items)} labels; a call takes up to {LABELS_MAX}")
        listed = [{name: value for name, value in vars(item).items() if value is not None} for item in items]
        body = write_json({"feedback": listed})
        headers = {**self._headers, "content-type": "application/json"}

        def attempt(limit: Limit) -> Any:
            reply = send(self._connections, "POST", "/feedback", headers, body, limit)
            return json_of(reply.body, reply, "/feedback")

        end = self._deadline_ms if deadline_ms is None else within("deadline_ms", deadline_ms, 1, LONGEST_MS)
        found = persist(attempt, self._standings.of(""), end, Course())
        return FeedbackAnswer(found["accepted"], [Refused(one["index"], one["message"]) for one in found["refused"]])

    def ready(self, *, deadline_ms: Optional[float] = None) -> bool:
        """Whether the server is ready for all its models; False also where it does not answer."""
        return self._is_ready("/v2/health/ready", deadline_ms)

    def breaker_of(self, name: str) -> BreakerState:
        """State of the breaker of a model."""
        return self._standings.of(name).circuit.state(now_ms())

    def close(self) -> None:
        """Closes the connections that are idle; those in use once they are not."""
        self._connections.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _is_ready(self, path: str, deadline_ms: Optional[float]) -> bool:
        once = self._standings.once()
        end = self._deadline_ms if deadline_ms is None else within("deadline_ms", deadline_ms, 1, LONGEST_MS)
        try:
            persist(lambda limit: send(self._connections, "GET", path, self._headers, None, limit), once, end, Course())
        except SlipwayClientError:
            return False
        return True


def connect(
    url: str,
    *,
    api_key: Optional[str] = None,
    deadline_ms: float = 10_000,
    retry: Optional[Retry] = Retry(),
    breaker: Optional[Breaker] = Breaker(),
    hedge: Optional[Hedge] = None,
    headers: Optional[Mapping[str, str]] = None,
    ssl_context: Optional[ssl.SSLContext] = None,
    random: Callable[[], float] = chance.random,
) -> Client:
    """A client of a server, ``http://127.0.0.1:8470``; nothing is sent before the first call. Raises SLW_CONFIG_INVALID.

    ``api_key`` is sent as ``Authorization: Bearer``. ``deadline_ms`` is the time for a call, repeats and pauses included; the server is told
    what is left of it. ``retry=None`` sends nothing again, ``breaker=None`` sends every request, ``hedge`` is off by default. ``headers`` go
    with each request. ``ssl_context`` says whose certificates are trusted. ``random``, from 0 to below 1, makes pauses repeatable in tests.
    """
    return Client(
        url,
        api_key=api_key,
        deadline_ms=deadline_ms,
        retry=retry,
        breaker=breaker,
        hedge=hedge,
        headers=headers,
        ssl_context=ssl_context,
        random=random,
    )
