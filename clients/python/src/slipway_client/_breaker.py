from __future__ import annotations

import math
import threading
from typing import List, Literal, Optional

from ._options import Breaker

BreakerState = Literal["closed", "open", "half-open"]

SLICES = 10
"""The window is looked back over in so many parts: it forgets a tenth at a time."""


class _Slice:
    def __init__(self) -> None:
        self.number = -math.inf
        self.succeeded = 0
        self.failed = 0


class Permit:
    """Leave to send one request, whose end is told to it once."""

    def __init__(self, circuit: Optional[Circuit], era: int, probe: bool) -> None:
        self._circuit = circuit
        self._era = era
        self._probe = probe

    def succeeded(self, now_ms: float) -> None:
        if self._circuit is not None:
            self._circuit._succeeded(now_ms, self._era, self._probe)

    def failed(self, now_ms: float) -> None:
        if self._circuit is not None:
            self._circuit._failed(now_ms, self._era, self._probe)

    def released(self) -> None:
        """Nobody waits for the answer any more: it says nothing."""
        if self._circuit is not None:
            self._circuit._released(self._era, self._probe)


class Circuit:
    """Holds back requests to a model that fails: its callers need not wait, and it need not answer while it recovers."""

    def __init__(self, rules: Optional[Breaker]) -> None:
        self._rules = rules
        self._slices: List[_Slice] = [_Slice() for _ in range(SLICES)]
        self._opened_ms: Optional[float] = None
        self._probing = False
        # Grows with each change of state: what began before it says nothing of now.
        self._era = 0
        self._lock = threading.Lock()

    def state(self, now_ms: float) -> BreakerState:
        with self._lock:
            if self._opened_ms is None:
                return "closed"
            return "half-open" if self._may_probe(now_ms) else "open"

    def permit(self, now_ms: float) -> Optional[Permit]:
        """None: the request must not be sent."""
        if self._rules is None:
            return Permit(None, 0, False)
        with self._lock:
            if self._opened_ms is None:
                return Permit(self, self._era, False)
            if self._probing or not self._may_probe(now_ms):
                return None
            self._probing = True
            return Permit(self, self._era, True)

    def _may_probe(self, now_ms: float) -> bool:
        return self._opened_ms is not None and self._rules is not None and now_ms - self._opened_ms >= self._rules.open_ms

    def _succeeded(self, now_ms: float, era: int, probe: bool) -> None:
        with self._lock:
            if era != self._era:
                return
            if probe:
                self._turn(None)
            else:
                self._slice_at(now_ms).succeeded += 1

    def _failed(self, now_ms: float, era: int, probe: bool) -> None:
        with self._lock:
            if era != self._era:
                return
            if not probe:
                self._slice_at(now_ms).failed += 1
            if probe or self._too_many_failed(now_ms):
                self._turn(now_ms)

    def _released(self, era: int, probe: bool) -> None:
        with self._lock:
            if probe and era == self._era:
                self._probing = False

    def _turn(self, opened_ms: Optional[float]) -> None:
        self._opened_ms = opened_ms
        self._probing = False
        self._era += 1
        self._slices = [_Slice() for _ in range(SLICES)]

    def _slice_at(self, now_ms: float) -> _Slice:
        assert self._rules is not None
        number = math.floor(now_ms * SLICES / self._rules.window_ms)
        slice_ = self._slices[number % SLICES]
        if slice_.number != number:
            slice_.number, slice_.succeeded, slice_.failed = number, 0, 0
        return slice_

    def _too_many_failed(self, now_ms: float) -> bool:
        assert self._rules is not None
        current = self._slice_at(now_ms).number
        seen = [one for one in self._slices if one.number > current - SLICES]
        failed = sum(one.failed for one in seen)
        total = failed + sum(one.succeeded for one in seen)
        return total >= self._rules.minimum_requests and failed > 0 and failed / total >= self._rules.failure_ratio
