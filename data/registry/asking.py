"""One question to a server, and what its silence means: unreachable and badly answered are told apart."""

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

ANSWER_BYTES = 64 * 2**20  # the file list of a large repository takes about a tenth
_RETRIES = urllib3.Retry(
    total=3, connect=1, read=1, status=1, redirect=3, backoff_factor=0.2, status_forcelist=[503], raise_on_status=False
)
_TIMES = urllib3.Timeout(connect=5.0, read=10.0)  # seconds; a server that is slower than that isn't there for people


class UnreachableError(Exception):
    """No answer from a server: nothing is known about what it holds. The message names the server."""


class BrokenAnswerError(Exception):
    """A server began to answer and stopped, or answered something else than it promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, or its first bytes when no more was wanted; header names in any case."""

    status: int
    headers: Any
    payload: bytes

    @property
    def total(self) -> int | None:
        """Bytes of the whole thing, when the server tells."""
        text = self.headers.get("Content-Range", "").rpartition("/")[2] or self.headers.get("Content-Length", "")
        return int(text) if text.isdigit() else None

    def document(self, server: str) -> Any:
        """The answer as JSON; `BrokenAnswerError` when it is none, as behind a login page."""
        try:
            return json.loads(self.payload)
        except ValueError as error:
            raise BrokenAnswerError(f"{server} answered with something that is no JSON: {error}") from None


def ask(url: str, headers: dict[str, str] | None = None, send: Any = None, first: int | None = None) -> Answer:
    """GET, or POST of `send` as JSON; proxies and certificates come from the environment.

    With `first` only so many bytes are asked for. Raises `UnreachableError` and `BrokenAnswerError`.
    """
    server = urlsplit(url).netloc
    headers = {"User-Agent": "aerie", "Accept-Encoding": "identity", **(headers or {})}
    if first is not None:
        headers["Range"] = f"bytes=0-{first - 1}"
    method, body = ("GET", None) if send is None else ("POST", json.dumps(send))
    if send is not None:
        headers["Content-Type"] = "application/json"
    try:
        with _pool(url) as pool:
            answer = pool.request(
                method, url, body=body, headers=headers, retries=_RETRIES, timeout=_TIMES, preload_content=False
            )
            payload = answer.read(ANSWER_BYTES + 1 if first is None else first)
    except urllib3.exceptions.MaxRetryError as error:
        if isinstance(error.reason, urllib3.exceptions.ResponseError):
            raise BrokenAnswerError(f"{server}: {error.reason}") from None
        raise UnreachableError(f"{server} ({_words(error.reason)})") from None
    except (urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError) as error:
        raise BrokenAnswerError(f"{server} broke off its answer: {_words(error)}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnreachableError(f"{server} ({_words(error)})") from None
    if len(payload) > ANSWER_BYTES:
        raise BrokenAnswerError(f"{server} answers with more than {ANSWER_BYTES} bytes")
    return Answer(status=answer.status, headers=answer.headers, payload=payload)


def _pool(url: str) -> urllib3.PoolManager:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy is None or urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager()
    return urllib3.ProxyManager(proxy)


def _words(error: BaseException | None) -> str:
    """The reason without the pool or connection that urllib3 puts before it."""
    return re.sub(r"^(<.*?>|\w+\(host=.*?\)): ", "", str(error)) or type(error).__name__
