from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple


class Issue(NamedTuple):
    """One fault of a request: its place, such as ``inputs[3].plan``, and what is wrong."""

    path: str
    message: str


class SlipwayClientError(Exception):
    """What every call of a client fails with. Programs decide by ``code``, people read the message."""

    code: str
    status: Optional[int]
    """HTTP status of the answer; None where there was no answer."""
    retryable: bool
    """Whether the same request may succeed later."""
    request_id: Optional[str]
    """Id of the request, which the log of the server has too."""
    retry_after_ms: Optional[float]
    issues: Tuple[Issue, ...]
    attempts: int
    """Requests that were sent for the call, hedges included; 0 where the breaker let none through."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: Optional[int] = None,
        retryable: bool = False,
        request_id: Optional[str] = None,
        retry_after_ms: Optional[float] = None,
        issues: Sequence[Issue] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.request_id = request_id
        self.retry_after_ms = retry_after_ms
        self.issues = tuple(issues)
        self.attempts = 0


def is_outage(error: SlipwayClientError) -> bool:
    """Whether an error says that the service was not there for the caller, rather than that the request was wrong."""
    if error.code in ("SLW_CANCELLED", "SLW_CONFIG_INVALID"):
        return False
    if error.code == "SLW_ANSWER_INVALID" or error.status is None:
        return True
    return error.status >= 500 or error.status in (408, 429)


def invalid(message: str) -> SlipwayClientError:
    return SlipwayClientError("SLW_CONFIG_INVALID", message)
