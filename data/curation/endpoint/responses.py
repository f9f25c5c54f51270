"""What comes over a connection: bodies within limits, and the meaning of broken ones."""

import math
import time
from contextlib import suppress
from typing import Any

import urllib3

from data.curation.endpoint.problems import TryAgainError

MAX_ANSWER_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16


def read_body(response: Any, deadline: float) -> bytes:
    """The body, up to the size limit; raises urllib3's errors when it is cut, or too slow as a whole."""
    parts, size = [], 0
    try:
        while part := response.read1(CHUNK_BYTES):  # as it comes, so that the deadline is looked at
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                break
            if time.monotonic() > deadline:
                raise urllib3.exceptions.TimeoutError
    except BaseException:
        response.close()
        raise
    if size > MAX_ANSWER_BYTES:
        response.close()
    response.release_conn()
    return b"".join(parts)


def transport_problem(error: Exception) -> TryAgainError:
    """What one of urllib3's errors says about the try that ended with it."""
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return TryAgainError("can't be reached")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return TryAgainError("the proxy of the environment does not let requests through")
    if isinstance(error, urllib3.exceptions.SSLError):
        return TryAgainError("has no certificate that is trusted here, or speaks no TLS")
    late = isinstance(error, urllib3.exceptions.TimeoutError)
    return TryAgainError("timed out" if late else "breaks off", perhaps_paid=True)


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, for some servers with a fraction, or a date."""
    if not value:
        return None
    with suppress(ValueError):
        return max(float(value), 0.0) if math.isfinite(float(value)) else None
    try:
        return float(urllib3.Retry().parse_retry_after(value))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None
