"""One paid question at a time: POST, patience, and words for what went wrong.

Plain urllib3, which the object store uses too: each try has to pass the pace and be counted, so the retries of a
ready-made client would go unseen.
"""

import json
import os
import random
import threading
import time
from typing import Any

import urllib3

from data.curation.endpoint.chat import Answer, ChatRequest, read_answer
from data.curation.endpoint.connections import connections
from data.curation.endpoint.pace import Pace
from data.curation.endpoint.problems import EndpointFailedError, RequestRefusedError, TryAgainError
from data.curation.endpoint.responses import MAX_ANSWER_BYTES, read_body, retry_after, transport_problem
from data.curation.endpoint.traffic import Traffic
from data.errors import AerieError
from data.settings.endpoint import EndpointSettings

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
REFUSED = frozenset({400, 413, 415, 422})
CONNECT_SECONDS = 10.0
SHORTEST_KEY = 8  # a shorter one is no secret, and to blank it out of answers would garble them
SNIPPET_CHARS = 200


def api_key(settings: EndpointSettings) -> str:
    """The key from the environment, "" when the recipe names none; `AerieError` when it is not there."""
    if settings.api_key_env is None:
        return ""
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise AerieError(
            f"the endpoint's key is missing: set the environment variable {settings.api_key_env}, "
            "or take api_key_env out of the recipe"
        )
    if not key.isascii() or not key.isprintable():
        raise AerieError(f"the key in {settings.api_key_env} has characters that no HTTP header may have")
    return key


class EndpointClient:
    """Sends requests from any number of threads. `stop` ends every wait."""

    def __init__(self, settings: EndpointSettings, pace: Pace, traffic: Traffic, stop: threading.Event) -> None:
        self.settings, self.pace, self.traffic, self._stop = settings, pace, traffic, stop
        self._key = api_key(settings)
        self._http = connections(settings.url, settings.concurrency)

    def complete(self, request: ChatRequest) -> Answer:
        """The endpoint's answer.

        Raises `EndpointFailedError` when all tries came to nothing, `RequestRefusedError` when this request can't be
        answered.
        """
        body, asked = request.body(self.settings), request.tokens(self.settings)
        guess = asked + self.settings.max_tokens
        for number in range(1, self.settings.tries + 1):
            self.pace.take(guess)
            if self._stop.is_set():
                raise EndpointFailedError("stopped")
            self.traffic.add("requests")
            try:
                answer = self._once(body, asked)
            except TryAgainError as problem:
                self._count(problem, asked)
                self._wait(problem, number)
                continue
            self.pace.correct(guess, answer.prompt_tokens + answer.completion_tokens)
            return answer
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def _count(self, problem: TryAgainError, asked: int) -> None:
        self.traffic.add(f"failed_{str(problem).replace(' ', '_')}")
        if problem.perhaps_paid:
            self.traffic.add("lost_prompt_tokens", asked)
            self.traffic.add("lost_completion_tokens", self.settings.max_tokens)

    def _wait(self, problem: TryAgainError, number: int) -> None:
        settings, asked_for = self.settings, problem.retry_after
        if number == settings.tries or (asked_for or 0.0) > settings.longest_retry_after_seconds:
            wait = f" and asks to come back in {asked_for:.0f} s" if asked_for else ""
            raise EndpointFailedError(
                f"endpoint {settings.host} (model {settings.model}): {problem}, {number} time(s) in a row{wait}; "
                "see that it runs and what it allows, then run the step again: paid answers are kept in "
                f"{settings.cache_uri}"
            ) from None
        self.traffic.add("retries")
        if asked_for:
            self.pace.hold(asked_for)
        pause = min(settings.longest_pause_seconds, settings.first_pause_seconds * 2 ** (number - 1))
        self._stop.wait(pause * random.uniform(0.5, 1))  # jitter: threads that failed together don't return together

    def _once(self, body: bytes, asked: int) -> Answer:
        deadline = time.monotonic() + self.settings.timeout_seconds
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=self.settings.timeout_seconds)
        try:
            response = self._http.request(
                "POST",
                f"{self.settings.url}/chat/completions",
                body=body,
                headers=headers,
                timeout=timeout,
                redirect=False,  # another host must not see the key
                preload_content=False,
            )
            payload = read_body(response, deadline)
        except urllib3.exceptions.HTTPError as error:
            raise transport_problem(error) from None
        if response.status != 200:
            raise self._problem(response, payload)
        return self._parse(payload, asked)

    def _parse(self, payload: bytes, asked: int) -> Answer:
        if len(payload) > MAX_ANSWER_BYTES:
            return Answer(
                text="",
                finish_reason="too_large",  # paid: kept, so that nobody asks again
                prompt_tokens=asked,
                completion_tokens=self.settings.max_tokens,
                estimated=True,
                host=self.settings.host,
                model=self.settings.model,
            )
        try:
            document = json.loads(self._blanked(payload.decode(errors="replace")))
        except (ValueError, RecursionError):
            raise TryAgainError("answer is no JSON", perhaps_paid=True) from None
        answer = read_answer(document, asked, self.settings)
        if answer is None:
            raise TryAgainError("answer has no choices", perhaps_paid=True)
        return answer

    def _problem(self, response: Any, payload: bytes) -> Exception:
        """What a status other than 200 means."""
        settings, status = self.settings, response.status
        if status in BUSY:
            return TryAgainError(f"status {status}", retry_after=retry_after(response.headers.get("Retry-After")))
        if status in REFUSED:
            words = " ".join(self._blanked(payload.decode(errors="replace")).split())
            return RequestRefusedError(f"status {status}: {words[:SNIPPET_CHARS]}")
        where = f"endpoint {settings.host} (model {settings.model})"
        if status in {401, 403}:
            named = f"the key in {settings.api_key_env}" if settings.api_key_env else "requests without a key"
            return EndpointFailedError(
                f"{where} refuses {named} (status {status}); correct it or `api_key_env`", hopeless=True
            )
        if status == 402:
            return EndpointFailedError(f"{where} wants to be paid first (status 402)", hopeless=True)
        return EndpointFailedError(
            f"{where} answers status {status} at {settings.url}/chat/completions; correct `url` and `model`",
            hopeless=True,
        )

    def _blanked(self, text: str) -> str:
        """A text without the key, should an endpoint repeat it."""
        return text.replace(self._key, "***") if len(self._key) >= SHORTEST_KEY else text
