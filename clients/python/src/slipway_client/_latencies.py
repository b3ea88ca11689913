from __future__ import annotations

import threading
from collections import deque
from typing import Deque, Optional

from ._options import Hedge

KEPT = 100
NEEDED = 20


class Latencies:
    """How long the last answers of a model took."""

    def __init__(self, hedge: Optional[Hedge]) -> None:
        self._hedge = hedge
        self._kept: Deque[float] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def add(self, ms: float) -> None:
        if self._hedge is not None:
            with self._lock:
                self._kept.append(ms)

    def hedge_after_ms(self) -> Optional[float]:
        """Time after which a second request is sent; None where there is none, or not enough is known."""
        if self._hedge is None or self._hedge.after_ms is not None:
            return None if self._hedge is None else self._hedge.after_ms
        with self._lock:
            if len(self._kept) < NEEDED:
                return None
            kept = sorted(self._kept)
        return kept[min(len(kept) - 1, int(self._hedge.percentile * len(kept)))]
