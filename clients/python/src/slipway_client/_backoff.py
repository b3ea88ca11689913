from __future__ import annotations

from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Optional

from ._options import Retry


def pause_ms(attempt: int, random: float, retry: Retry, retry_after_ms: Optional[float] = None) -> float:
    """Pause before the next request, in milliseconds: chance chooses from 0 to a bound that doubles, on top of what the server asked for.

    ``attempt`` is the number of the request that failed, from 1; ``random`` is from 0 to below 1. (M. Brooker, "Exponential Backoff And
    Jitter", 2015: full jitter.)
    """
    return (retry_after_ms or 0) + random * min(retry.max_ms, retry.base_ms * 2.0 ** (attempt - 1))


def retry_after_of(header: Optional[str], epoch_ms: float) -> Optional[float]:
    """The header Retry-After (RFC 9110, section 10.2.3), in milliseconds; None where it says nothing."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text) * 1000
    if not text.endswith(" GMT"):
        return None
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.replace(tzinfo=timezone.utc).timestamp() * 1000 - epoch_ms)
