from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ._errors import invalid

LONGEST_MS = 2_147_483_647


@dataclass(frozen=True)
class Retry:
    """When a request that failed is sent again. Predictions change nothing, so each of them may be."""

    attempts: int = 3
    """Requests for one call, the first included."""
    base_ms: float = 50
    """Longest pause before the second request; it doubles with each, and chance chooses from 0 to it."""
    max_ms: float = 2000
    """Bound of the doubling."""
    budget_ratio: float = 0.1
    """Share of the calls of the client that may be sent again."""
    budget_per_second: float = 1
    """Repeats in each second that need no calls to earn them."""
    budget_burst: float = 10
    """Repeats that can be saved up; a client begins with so many."""

    def __post_init__(self) -> None:
        within("retry.attempts", self.attempts, 1, 100)
        within("retry.base_ms", self.base_ms, 0, LONGEST_MS)
        within("retry.max_ms", self.max_ms, 0, LONGEST_MS)
        within("retry.budget_ratio", self.budget_ratio, 0, 1)
        within("retry.budget_per_second", self.budget_per_second, 0, 1e6)
        within("retry.budget_burst", self.budget_burst, 0, 1e6)


@dataclass(frozen=True)
class Breaker:
    """When a model is not asked for a while, because it does not answer anyhow."""

    window_ms: float = 10_000
    """Time that is looked back over."""
    failure_ratio: float = 0.5
    """Share of the requests that have to have failed."""
    minimum_requests: int = 20
    """Requests that there have to have been."""
    open_ms: float = 5000
    """Time after which one request is let through to see."""

    def __post_init__(self) -> None:
        within("breaker.window_ms", self.window_ms, 1, LONGEST_MS)
        within("breaker.failure_ratio", self.failure_ratio, 0, 1)
        within("breaker.minimum_requests", self.minimum_requests, 1, 1e6)
        within("breaker.open_ms", self.open_ms, 0, LONGEST_MS)


@dataclass(frozen=True)
class Hedge:
    """When a second request is sent while the first one has not been answered; the first answer counts, the other request is given up."""

    after_ms: Optional[float] = None
    """Time to wait for the first. None: as long as ``percentile`` of the last 100 answers of the model took, once there have been 20."""
    percentile: float = 0.95

    def __post_init__(self) -> None:
        if self.after_ms is not None:
            within("hedge.after_ms", self.after_ms, 0, LONGEST_MS)
        within("hedge.percentile", self.percentile, 0, 1)


def within(name: str, value: float, minimum: float, maximum: float) -> float:
    """A number in its bounds. Raises SLW_CONFIG_INVALID."""
    if not isinstance(value, bool) and isinstance(value, (int, float)) and minimum <= value <= maximum:
        return value
    raise invalid(f"{name}: expected a number from {minimum:g} to {maximum:g}, found {value!r}")
