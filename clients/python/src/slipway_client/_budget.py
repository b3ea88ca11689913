from __future__ import annotations

import threading


class Budget:
    """How often a client may send again, all its calls together.

    Without a bound, clients that repeat turn a short outage into a long one: a bucket of tokens that calls and time fill, and repeats and
    hedges empty.
    """

    def __init__(self, *, ratio: float, per_second: float, burst: float, now_ms: float) -> None:
        self._ratio = ratio
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._filled_ms = now_ms
        self._lock = threading.Lock()

    def earn(self, now_ms: float) -> None:
        """A call has begun."""
        with self._lock:
            self._fill(now_ms, self._ratio)

    def take(self, now_ms: float) -> bool:
        """Whether one more request may be sent; it is then paid for."""
        with self._lock:
            self._fill(now_ms, 0)
            # A tenth ten times is a little less than one.
            if self._tokens < 1 - 1e-9:
                return False
            self._tokens = max(0.0, self._tokens - 1)
            return True

    def _fill(self, now_ms: float, more: float) -> None:
        earned = max(0.0, now_ms - self._filled_ms) / 1000 * self._per_second
        self._tokens = min(self._burst, self._tokens + more + earned)
        self._filled_ms = now_ms
