from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Callable, Generic, List, Optional, TypeVar

from ._backoff import pause_ms
from ._breaker import Circuit, Permit
from ._budget import Budget
from ._connections import GivenUp, Late, Limit
from ._errors import SlipwayClientError, is_outage
from ._latencies import Latencies
from ._options import Retry

T = TypeVar("T")
Attempt = Callable[[Limit], T]


@dataclass
class Standing:
    """What the calls of one model share."""

    retry: Retry
    random: Callable[[], float]
    budget: Budget
    circuit: Circuit
    latencies: Latencies
    subject: str


@dataclass
class Course:
    attempts: int = 0
    hedged: bool = False


def now_ms() -> float:
    return time.monotonic() * 1000


def persist(attempt: Attempt[T], standing: Standing, deadline_ms: float, course: Course) -> T:
    """Makes a call of one or several requests: within its deadline, within the budget of the client, and only while the breaker lets it.

    Raises SlipwayClientError: that of the last request, SLW_DEADLINE_EXCEEDED, or SLW_CIRCUIT_OPEN.
    """
    end_s = time.monotonic() + deadline_ms / 1000
    standing.budget.earn(now_ms())
    last: Optional[SlipwayClientError] = None
    try:
        while True:
            permit = standing.circuit.permit(now_ms())
            if permit is None:
                raise last or _open(standing.subject)
            try:
                return _round(attempt, standing, permit, end_s, deadline_ms, course)
            except SlipwayClientError as error:
                last = error
            pause = pause_ms(course.attempts, standing.random(), standing.retry, last.retry_after_ms)
            in_time = now_ms() + pause < end_s * 1000
            again = last.retryable and course.attempts < standing.retry.attempts and in_time
            if not again or not standing.budget.take(now_ms()):
                raise last
            time.sleep(pause / 1000)
    except SlipwayClientError as error:
        error.attempts = course.attempts
        raise


def _open(subject: str) -> SlipwayClientError:
    message = f"{subject} failed too often a moment ago, and is not asked for the time being"
    return SlipwayClientError("SLW_CIRCUIT_OPEN", message, retryable=True)


def _one(attempt: Attempt[T], standing: Standing, permit: Permit, limit: Limit, deadline_ms: float) -> T:
    started_ms = now_ms()
    try:
        value = attempt(limit)
    except GivenUp:
        permit.released()
        raise
    except BaseException as thrown:
        if limit.given_up:
            permit.released()
            raise GivenUp from thrown
        if isinstance(thrown, Late):
            message = f"{standing.subject} has not answered within {deadline_ms:g} ms"
            thrown = SlipwayClientError("SLW_DEADLINE_EXCEEDED", message, retryable=True)
        if not isinstance(thrown, SlipwayClientError):
            # Such as an interrupt of the program: it says nothing of the service.
            permit.released()
            raise
        if is_outage(thrown) and thrown.status != 429:
            permit.failed(now_ms())
        else:
            permit.succeeded(now_ms())
        raise thrown
    permit.succeeded(now_ms())
    standing.latencies.add(now_ms() - started_ms)
    return value


def _round(attempt: Attempt[T], standing: Standing, permit: Permit, end_s: float, deadline_ms: float, course: Course) -> T:
    """One request, or two where the first is slow."""
    after_ms = standing.latencies.hedge_after_ms()
    course.attempts += 1
    if after_ms is None or standing.retry.attempts < 2:
        return _one(attempt, standing, permit, Limit(end_s), deadline_ms)
    bell = threading.Condition()
    first = _Sent(attempt, standing, permit, end_s, deadline_ms, bell)
    with bell:
        bell.wait_for(lambda: first.done, timeout=min(after_ms / 1000, max(0.0, end_s - time.monotonic())))
        slow = not first.done and time.monotonic() < end_s
    leave = standing.circuit.permit(now_ms()) if slow else None
    if leave is not None and not standing.budget.take(now_ms()):
        leave.released()
        leave = None
    if leave is None:
        with bell:
            bell.wait_for(lambda: first.done)
        return first.result()
    course.attempts += 1
    second = _Sent(attempt, standing, leave, end_s, deadline_ms, bell)
    both = [first, second]
    try:
        with bell:
            bell.wait_for(lambda: _decisive(both) is not None)
            decisive = _decisive(both)
        assert decisive is not None
        course.hedged = decisive is second and second.error is None
        return decisive.result()
    finally:
        first.limit.give_up()
        second.limit.give_up()


class _Sent(Generic[T]):
    """A request in a thread of its own."""

    def __init__(
        self, attempt: Attempt[T], standing: Standing, permit: Permit, end_s: float, deadline_ms: float, bell: threading.Condition
    ) -> None:
        self.limit = Limit(end_s)
        self.done = False
        self.error: Optional[BaseException] = None
        self._values: List[T] = []

        def run() -> None:
            try:
                self._values.append(_one(attempt, standing, permit, self.limit, deadline_ms))
            except BaseException as error:
                self.error = error
            with bell:
                self.done = True
                bell.notify_all()

        threading.Thread(target=run, name="slipway-client", daemon=True).start()

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._values[0]


def _decisive(both: List[_Sent[T]]) -> Optional[_Sent[T]]:
    """The first answer. An error counts once both have failed, or where it says that the request is wrong."""
    done = [one for one in both if one.done]
    for one in done:
        if one.error is None:
            return one
    for one in done:
        if not (isinstance(one.error, SlipwayClientError) and one.error.retryable):
            return one
    return done[-1] if len(done) == len(both) else None
