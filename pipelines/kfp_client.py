"""Asks the KFP API server: what an answer means, and when to ask again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from components.trainjob_patience import NO_ANSWER, Waiting, back_off
from components.trainjob_secrets import masked, secrets_of
from data.errors import AerieError
from pipelines.kfp_endpoint import TOKEN_VARIABLE, Endpoint

Answer = TypeVar("Answer")
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
WAITING = Waiting(poll=5.0, first=0.5, longest=30.0, longest_retry_after=120.0, give_up_after=300.0)
LONGEST_MESSAGE = 600
TOO_MANY = 429
ADVICE = {
    400: "KFP finds the request wrong; change what its message names",
    401: "KFP doesn't accept our token; mount one for the audience pipelines.kubeflow.org, or name its file in "
    f"{TOKEN_VARIABLE}",
    403: "our account may not do this; bind its Role of infra/ (aerie-submitter, aerie-reaper) or ask your admin",
    404: "KFP doesn't know this; check the id, --endpoint and --namespace",
}


class KfpError(AerieError):
    """An error answer, or none (`status` 0); the message says what to do and holds no headers and no secrets."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after

    @property
    def passing(self) -> bool:
        """True when the same request may succeed later."""
        return self.status in {NO_ANSWER, 408, TOO_MANY} or self.status >= 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How time is spent; tests give their own clock. `waiting.poll` seconds lie between two looks at a run."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)
    waiting: Waiting = WAITING


class KfpApi:
    """KFP's REST API (v2beta1): JSON in, JSON out."""

    def __init__(self, endpoint: Endpoint, pace: Pace | None = None, read_seconds: float = READ_SECONDS) -> None:
        self.endpoint, self.pace, self._read_seconds = endpoint, pace or Pace(), read_seconds
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout)

    def get(self, path: str, **query: Any) -> dict[str, Any] | None:
        """Ask until there is an answer; None when KFP says that there is no such thing."""
        try:
            return self.insist("GET", path, query=query)
        except KfpError as error:
            if error.status == 404:
                return None
            raise

    def insist(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Ask until there is an answer: for what may happen twice. `KfpError` as in `patiently`."""
        return self.patiently(lambda: self.ask(method, path, **request))

    def patiently(self, request: Callable[[], Answer]) -> Answer:
        """Repeat a request with growing pauses; `KfpError` when that is hopeless or has lasted too long."""
        failures, since = 0, self.pace.clock()
        while True:
            try:
                return request()
            except KfpError as error:
                if not error.passing:
                    raise
                if self.pace.clock() - since > self.pace.waiting.give_up_after:
                    raise self._given_up(error) from None
                failures += 1
                self.pace.sleep(back_off(failures, self.pace.waiting, self.pace.random, error.retry_after))

    def ask(self, method: str, path: str, query: Any = None, **content: Any) -> dict[str, Any]:
        """One request with a JSON answer. A cut or foreign answer counts as none: nobody knows what it would say."""
        try:
            answer = json.loads(self.fetch(method, path, query, **content) or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise KfpError(NO_ANSWER, f"{method} {self.endpoint.url}{path}: the answer is not KFP's")
        return answer

    def fetch(self, method: str, path: str, query: Any = None, body: Any = None, file: Any = None) -> bytes:
        """The content of one good answer; `body` goes as JSON, `file`, a pair of name and bytes, as a form."""
        query = {name: value for name, value in (query or {}).items() if value not in ("", None)}
        where = f"{method} {self.endpoint.url}{path}"
        content: dict[str, Any] = {"fields": {"uploadfile": file}} if file else {"json": body} if body else {}
        address = f"{self.endpoint.url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._pool.request(method, address, headers=self.headers(), redirect=False, **content)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise KfpError(NO_ANSWER, f"{where}: {self._silence(error)}") from None
        if response.status >= 300:
            raise self._refusal(where, response)
        return response.data

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        token = self.endpoint.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _silence(self, error: Exception) -> str:
        if isinstance(error, NewConnectionError):
            return f"can't connect ({str(error).rpartition(': ')[2]})"
        if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
            return f"no answer within {self._read_seconds:g} s"
        return masked(f"the connection was lost ({type(error).__name__})", self._secrets())

    def _refusal(self, where: str, response: Any) -> KfpError:
        """The error answer in words; a 404 that isn't KFP's own says nothing about runs, so it is another status."""
        status, wait = response.status, response.headers.get("Retry-After", "")
        try:
            answer = json.loads(response.data)
            text = str(answer.get("message") or answer.get("error_message") or answer.get("error") or "")
        except (ValueError, AttributeError):
            text = ""
        if status < 400:
            return KfpError(401, f"{where}: leads to a login page; {ADVICE[401]}")
        if status == 404 and not text:
            return KfpError(400, f"{where}: something else than KFP answers; check --endpoint")
        text = masked(text, self._secrets())[:LONGEST_MESSAGE]
        advice = f"{ADVICE[status]}\n  " if status in ADVICE else ""
        return KfpError(status, f"{where}: {advice}HTTP {status} {text}", float(wait) if wait.isdigit() else 0.0)

    def _given_up(self, last: KfpError) -> KfpError:
        minutes = self.pace.waiting.give_up_after / 60
        return KfpError(
            last.status, f"KFP gave no usable answer for {minutes:.0f} min; is it up? The last one:\n  {last}"
        )

    def _secrets(self) -> set[str]:
        return secrets_of() | {word for word in [self.endpoint.token()] if word}
