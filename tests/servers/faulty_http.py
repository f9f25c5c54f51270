"""A real HTTP server in a process of its own that fails on a seeded schedule; the servers beside this file stand on it.

A server file defines an application (see `Application`) and ends with `serve(MyApplication())`; a test starts it with
`FaultyServer(my_server.__file__)` and begins each case with `server.reset(...)`, which costs one request, no process.

    GET  /_control/state   {"application": application.state(), "requests": [{method, path, fault}, ...]}
    POST /_control/reset   {"seed", "rates", "script", "methods", "settings"}, see `Schedule` and `Application.reset`
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

PASS = "pass"
REFUSALS = {"throttled": 429, "broken": 500, "unavailable": 503}  # answered without any effect
BEFORE = "dropped_before"  # the connection closes, nothing happened
LOST = ("dropped_after", "slow", "truncated")  # the effect happened, its answer never arrives whole
FAULTS = (*REFUSALS, BEFORE, *LOST)
LONGEST_SECONDS = 20.0  # a slow answer ends when the client gives up, or after this


@dataclass(frozen=True)
class Request:
    """What an application sees of a request; header names are lower case.

    `body` is parsed JSON, None when empty, bytes when the Content-Type says that it is something else.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Response:
    """An answer: JSON, or plain text when `body` is a string."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Application(Protocol):
    """What a server file provides; its methods are called one at a time."""

    def reset(self, settings: dict[str, Any], random: Random) -> None:
        """Forget everything; `random` is this case's own source of chance."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""

    def state(self) -> Any:
        """What tests want to see, as JSON."""


class Schedule:
    """Which fault each request meets, in order: first `script` (names of faults), then by chance at `rates`.

    `rates` maps faults to probabilities, the rest passes. `methods`, when given, limits both to these HTTP methods.
    """

    def __init__(self, seed: int = 0, rates: Any = None, script: Any = (), methods: Any = ()) -> None:
        self.random, self.script, self.methods = Random(seed), list(script), set(methods)
        self.names = [PASS, *(rates or {})]
        self.weights = [1 - sum((rates or {}).values()), *(rates or {}).values()]
        unknown = {*self.names, *self.script} - {PASS, *FAULTS}
        assert not unknown, f"unknown faults {unknown}"

    def draw(self, method: str) -> str:
        """The fault of the next request."""
        if self.methods and method not in self.methods:
            return PASS
        return self.script.pop(0) if self.script else self.random.choices(self.names, self.weights)[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    application: Application
    schedule = Schedule()
    requests: list[dict[str, str]] = []  # noqa: RUF012 - one server a process
    lock = threading.Lock()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        payload = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_json = "json" in headers.get("content-type", "json")
        body = (json.loads(payload) if is_json else payload) if payload else None
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query, True)), headers, body)
        with _Handler.lock:
            control = request.path.startswith("/_control/")
            act = self._control(request) if control else self._meet(request)
        act()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names http.server looks for

    def _control(self, request: Request) -> Callable[[], None]:
        if request.path == "/_control/reset":
            settings = request.body.pop("settings", None) or {}
            _Handler.schedule, _Handler.requests = Schedule(**request.body), []
            self.application.reset(settings, Random(f"application {request.body.get('seed', 0)}"))
            return lambda: self._answer(Response())
        state = {"application": self.application.state(), "requests": _Handler.requests}
        return lambda: self._answer(Response(body=state))

    def _meet(self, request: Request) -> Callable[[], None]:
        """Draw the request's fault and take its effect; what is returned happens outside the lock."""
        fault = self.schedule.draw(request.method)
        self.requests.append({"method": request.method, "path": request.path, "fault": fault})
        if fault in REFUSALS:
            wait = {} if fault == "broken" else {"Retry-After": str(self.schedule.random.randint(1, 5))}
            status = REFUSALS[fault]
            return lambda: self._answer(Response(status, {"kind": "Status", "code": status, "message": fault}, wait))
        if fault == BEFORE:
            return self._hang_up
        response = self.application.handle(request)
        lost = {"dropped_after": self._hang_up, "slow": self._stay_silent}
        lost["truncated"] = lambda: self._answer(response, cut=1)
        return lost.get(fault, lambda: self._answer(response))

    def _answer(self, response: Response, cut: int = 0) -> None:
        text = isinstance(response.body, str)
        payload = (response.body if text else json.dumps(response.body)).encode()
        head = [f"HTTP/1.1 {response.status} {http.client.responses[response.status]}"]
        head += [f"{name}: {value}" for name, value in response.headers.items()]
        head += [f"Content-Type: {'text/plain' if text else 'application/json'}", f"Content-Length: {len(payload)}"]
        # One write: a header and a body apart would meet Nagle's algorithm and cost 40 ms.
        self.wfile.write("\r\n".join([*head, "", ""]).encode() + payload[: len(payload) - cut])
        self.close_connection = self.close_connection or bool(cut)

    def _stay_silent(self) -> None:
        self.connection.settimeout(LONGEST_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.recv(1)  # returns when the client has closed its end
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def serve(application: Application) -> None:
    """Serve on a free loopback port, printed on the first line of stdout, until stdin closes."""
    _Handler.application = application
    application.reset({}, Random(0))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


class FaultyServer:
    """A running server process, seen from a test."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def reset(self, seed: int = 0, rates: Any = None, script: Any = (), methods: Any = (), **settings: Any) -> None:
        """Begin a case; `settings` go to the application."""
        values = {"seed": seed, "rates": rates, "script": list(script), "methods": list(methods)}
        self._control("POST", "reset", {**values, "settings": settings})

    def state(self) -> Any:
        """What the application tells about itself."""
        return self._control("GET", "state")["application"]

    def requests(self) -> list[dict[str, str]]:
        """Every request since the reset, with the fault that it met."""
        return self._control("GET", "state")["requests"]

    def stop(self) -> None:
        """End the process and wait for it."""
        self._connection.close()
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def __enter__(self) -> "FaultyServer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def _control(self, method: str, name: str, body: Any = None) -> Any:
        self._connection.request(method, f"/_control/{name}", json.dumps(body) if body else None)
        response = self._connection.getresponse()
        payload = response.read()
        assert response.status == 200, payload.decode()
        return json.loads(payload)
