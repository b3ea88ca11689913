from __future__ import annotations

import threading
from typing import Callable, Dict, Optional

from ._breaker import Circuit
from ._budget import Budget
from ._latencies import Latencies
from ._options import Breaker, Hedge, Retry
from ._persist import Standing, now_ms


class Standings:
    """What is shared by the calls of each model; those of none have the name ''."""

    def __init__(
        self, url: str, retry: Retry, breaker: Optional[Breaker], hedge: Optional[Hedge], random: Callable[[], float]
    ) -> None:
        self._url = url
        self._retry = retry
        self._breaker = breaker
        self._hedge = hedge
        self._random = random
        self._budget = Budget(
            ratio=retry.budget_ratio, per_second=retry.budget_per_second, burst=retry.budget_burst, now_ms=now_ms()
        )
        self._known: Dict[str, Standing] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Standing:
        subject = self._url if name == "" else f"{name} at {self._url}"
        with self._lock:
            if name not in self._known:
                circuit, latencies = Circuit(self._breaker), Latencies(self._hedge)
                self._known[name] = Standing(self._retry, self._random, self._budget, circuit, latencies, subject)
            return self._known[name]

    def once(self) -> Standing:
        """For a question that is asked once, whatever the breaker says."""
        return Standing(Retry(attempts=1), self._random, self._budget, Circuit(None), Latencies(None), self._url)
