from __future__ import annotations

import http.client
import json
import math
import socket
import time
from typing import Any, List, Mapping, Optional

from ._backoff import retry_after_of
from ._connections import Connections, Late, Limit, Reply, TlsFailed
from ._errors import Issue, SlipwayClientError, invalid

BY_STATUS = {
    400: "SLW_BAD_REQUEST",
    401: "SLW_UNAUTHENTICATED",
    403: "SLW_FORBIDDEN",
    404: "SLW_NOT_FOUND",
    405: "SLW_METHOD_NOT_ALLOWED",
    408: "SLW_REQUEST_TIMEOUT",
    413: "SLW_BODY_TOO_LARGE",
    415: "SLW_UNSUPPORTED_MEDIA_TYPE",
    429: "SLW_RATE_LIMITED",
    500: "SLW_INTERNAL",
    501: "SLW_NOT_IMPLEMENTED",
    502: "SLW_UNREACHABLE",
    503: "SLW_UNREACHABLE",
    504: "SLW_DEADLINE_EXCEEDED",
    507: "SLW_MEMORY_EXCEEDED",
}
"""Codes of errors that came without one: from routes whose dialect has none, and from what stands in between."""


def send(connections: Connections, method: str, path: str, headers: Mapping[str, str], body: Optional[bytes], limit: Limit) -> Reply:
    """Sends one request. Raises SlipwayClientError; Late and GivenUp for what its limit says."""
    url = connections.url
    told = {**headers, "slipway-timeout-ms": str(math.ceil(limit.left_s() * 1000))}
    try:
        reply = connections.ask(method, path, told, body, limit)
    except (socket.timeout, TimeoutError) as error:
        # The system may give up a connection before.
        if limit.left_s() < 0.01:
            raise Late from None
        raise SlipwayClientError("SLW_UNREACHABLE", f"{url}: {error}", retryable=True) from error
    except TlsFailed as error:
        message = f"{url}: TLS failed: {error}; check the address and whose certificates are trusted"
        raise SlipwayClientError("SLW_UNREACHABLE", message) from error
    except socket.gaierror as error:
        again = error.errno == socket.EAI_AGAIN
        message = f"{url}: there is no host of that name ({error.strerror})"
        raise SlipwayClientError("SLW_UNREACHABLE", message, retryable=again) from error
    except ConnectionRefusedError as error:
        message = f"{url}: nothing listens there; is the server running?"
        raise SlipwayClientError("SLW_UNREACHABLE", message, retryable=True) from error
    except (OSError, http.client.HTTPException) as error:
        limit.left_s()
        message = f"{url}: the connection broke before the answer: {error or type(error).__name__}"
        raise SlipwayClientError("SLW_UNREACHABLE", message, retryable=True) from error
    except (ValueError, UnicodeEncodeError) as error:
        raise invalid(f"headers: {error}") from error
    if not 200 <= reply.status < 300:
        raise _refusal(reply, path)
    return reply


def _refusal(reply: Reply, path: str) -> SlipwayClientError:
    text = reply.body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    said: Mapping[str, Any] = parsed if isinstance(parsed, dict) else {}
    message = said.get("error")
    code = said.get("code")
    if not isinstance(message, str):
        message = f"{path} was answered {reply.status}: {text[:500].strip() or 'without a word'}"
    if not isinstance(code, str):
        code = BY_STATUS.get(reply.status, "SLW_ANSWER_INVALID")
    retry_after_ms = retry_after_of(reply.headers.get("retry-after"), time.time() * 1000)
    # 502 is what a gateway says of a server that it cannot reach, 503 what one says that is too busy or not ready.
    worth_another = reply.status in (502, 503) or (reply.status == 429 and retry_after_ms is not None)
    return SlipwayClientError(
        code,
        message,
        status=reply.status,
        retryable=worth_another and said.get("retryable") is not False,
        request_id=reply.headers.get("x-request-id"),
        retry_after_ms=retry_after_ms,
        issues=_issues(said.get("issues")),
    )


def _issues(found: Any) -> List[Issue]:
    if not isinstance(found, list):
        return []
    return [Issue(str(one.get("path", "")), str(one.get("message", ""))) for one in found if isinstance(one, dict)]


def json_of(body: bytes, reply: Reply, path: str) -> Any:
    """The body of an answer as JSON. Raises SLW_ANSWER_INVALID."""
    try:
        return json.loads(body.decode("utf-8"))
    except ValueError as error:
        shown = body[:200].decode("utf-8", "replace")
        raise invalid_answer(f"{path} was answered with what is no JSON: {shown}", reply) from error


def invalid_answer(message: str, reply: Reply) -> SlipwayClientError:
    return SlipwayClientError("SLW_ANSWER_INVALID", message, status=reply.status, request_id=reply.headers.get("x-request-id"))


def _plain(value: Any) -> Any:
    # Scalars and arrays of numpy, and what else has a list.
    for way in ("tolist", "item", "isoformat"):
        if hasattr(value, way):
            return getattr(value, way)()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def write_json(value: Any) -> bytes:
    """JSON in which NaN and the infinities are bare words, as the server reads them. Raises SLW_CONFIG_INVALID."""
    try:
        return json.dumps(value, default=_plain, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise invalid(f"rows: {error}") from error
