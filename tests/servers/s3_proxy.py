"""A proxy in front of an S3 server that spoils requests on a seeded schedule, and can kill a client in mid-request.

It runs as a process of its own. Requests pass unchanged, so signatures stay valid (the Host header is signed).

    GET  /_control/state   [{method, path, fault}, ...], every request since the reset
    POST /_control/reset   {"seed", "rates", "script", "methods", "kill"}, see `Schedule` and `Kill`
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

PASS = "pass"
REFUSALS = {"internal_error": (500, "InternalError"), "slow_down": (503, "SlowDown")}  # nothing happened
BEFORE = ("reset_before", "silent")  # nothing happened and nothing is answered
TORN_UPLOAD = "torn_upload"  # half of the body reaches the server, then both connections end
AFTER = ("error_after", "reset_after", "torn_answer", "torn_head")  # it happened; the answer is wrong, lost or cut
HOLLOW = "hollow_success"  # nothing happened, yet status 200 around an error: S3 may end a multipart upload so
FORGOTTEN = "forgotten_upload"  # it happened, and the answer is that of a second try: MinIO has no such upload any more
FAULTS = (*REFUSALS, *BEFORE, TORN_UPLOAD, *AFTER)
WRITES = ("PUT", "POST", "DELETE")
LONGEST_SILENCE = 30.0  # seconds; a client gives up sooner
ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """SIGKILL for process `pid` at its `write`-th write (from 1): `before` it, at `half` of its body, or `after` it."""

    pid: int
    write: int
    moment: str


class Schedule:
    """Which fault each request meets: first `script`, then by chance at `rates`; only requests of `methods` count."""

    def __init__(
        self,
        seed: int = 0,
        rates: Mapping[str, float] | None = None,
        script: Sequence[str] = (),
        methods: Sequence[str] = (),
    ) -> None:
        self.random, self.script, self.methods = Random(seed), list(script), set(methods)
        self.names = [PASS, *(rates or {})]
        self.weights = [1 - sum((rates or {}).values()), *(rates or {}).values()]
        assert {*self.names, *self.script} <= {PASS, HOLLOW, FORGOTTEN, *FAULTS}

    def draw(self, method: str) -> str:
        """The next request's fault."""
        if self.methods and method not in self.methods:
            return PASS
        return self.script.pop(0) if self.script else self.random.choices(self.names, self.weights)[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_at: str
    schedule = Schedule()
    kill: Kill | None = None
    writes = 0
    seen: list[dict[str, str]] = []  # noqa: RUF012 - one proxy a process
    lock = threading.Lock()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_control/"):
            self._control(body)
            return
        with _Handler.lock:
            fault, moment = self.schedule.draw(self.command), self._moment()
            self.seen.append({"method": self.command, "path": self.path, "fault": moment or fault})
        if moment:
            self._kill(moment, body)
        else:
            self._meet(fault, body)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names http.server looks for

    def _control(self, body: bytes) -> None:
        with _Handler.lock:
            answer = json.dumps(_Handler.seen).encode()
            if self.path == "/_control/reset":
                settings = json.loads(body)
                kill = settings.pop("kill", None)
                _Handler.kill = Kill(**kill) if kill else None
                _Handler.schedule, _Handler.seen, _Handler.writes = Schedule(**settings), [], 0
        self._send(200, {}, answer)

    def _moment(self) -> str:
        """When to kill the client in this request; empty when it may live."""
        _Handler.writes += self.command in WRITES
        due = self.kill and self.command in WRITES and self.kill.write == self.writes
        return self.kill.moment if self.kill and due else ""

    def _kill(self, moment: str, body: bytes) -> None:
        assert self.kill
        if moment == "half":
            self._tear_upload(body)
        elif moment == "after":
            self._forward(body)
        os.kill(self.kill.pid, signal.SIGKILL)
        self._reset()

    def _meet(self, fault: str, body: bytes) -> None:
        if fault in REFUSALS:
            self._refuse(*REFUSALS[fault])
        elif fault == HOLLOW:
            self._refuse(200, "InternalError")
        elif fault == "silent":
            self._stay_silent()
        elif fault == TORN_UPLOAD:
            self._tear_upload(body)
            self._reset()
        elif fault == "reset_before":
            self._reset()
        else:
            self._answer(fault, *self._forward(body))

    def _answer(self, fault: str, status: int, headers: dict[str, str], payload: bytes) -> None:
        if fault == "error_after":
            self._refuse(500, "InternalError")
        elif fault == FORGOTTEN:
            self._refuse(404, "NoSuchUpload")
        elif fault == "reset_after":
            self._reset()
        else:
            self._send(status, headers, payload, fault)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(self.server_at)
        with contextlib.closing(upstream):
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            payload = response.read()
        dropped = {"transfer-encoding", "connection", "content-length"}
        headers = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
        length = response.getheader("Content-Length") if self.command == "HEAD" else len(payload)
        return response.status, {**headers, "Content-Length": str(length or 0)}, payload

    def _tear_upload(self, body: bytes) -> None:
        """The server gets all headers and half of the body."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        host, port = self.server_at.split(":")
        with socket.create_connection((host, int(port))) as upstream:
            upstream.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])
            upstream.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                upstream.recv(1)  # until the server has decided what to do with it

    def _refuse(self, status: int, code: str) -> None:
        payload = b"" if self.command == "HEAD" else ERROR.format(code).encode()
        self._send(status, {"Content-Type": "application/xml", "Content-Length": str(len(payload))}, payload)

    def _send(self, status: int, headers: dict[str, str], payload: bytes, fault: str = PASS) -> None:
        headers = {"Content-Length": str(len(payload)), **headers}
        head = f"HTTP/1.1 {status} {http.client.responses[status]}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Content-Length")
        # The length stands last, so that half a head lacks it.
        answer = f"{head}Content-Length: {headers['Content-Length']}\r\n\r\n".encode() + payload
        ends = {"torn_answer": len(answer) - (len(payload) + 1) // 2, "torn_head": len(head) // 2}
        self.wfile.write(answer[: ends.get(fault, len(answer))])  # one write: two would meet Nagle's algorithm
        self.close_connection = self.close_connection or fault in ends

    def _stay_silent(self) -> None:
        self.connection.settimeout(LONGEST_SILENCE)
        with contextlib.suppress(OSError):
            self.connection.recv(1)  # returns when the client has closed its end
        self.close_connection = True

    def _reset(self) -> None:
        """Close with a TCP reset, as a load balancer does that loses its server."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        """Close at once: a polite goodbye would turn a reset into an end."""
        self.close_request(request)


class FaultyProxy:
    """A running proxy process, seen from a test."""

    def __init__(self, server_at: str) -> None:
        command = [sys.executable, __file__, server_at]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(
        self,
        seed: int = 0,
        rates: Mapping[str, float] | None = None,
        script: Sequence[str] = (),
        methods: Sequence[str] = (),
        kill: Kill | None = None,
    ) -> None:
        """Begin a case: a new schedule, an empty log."""
        settings = {"seed": seed, "rates": rates, "script": list(script), "methods": list(methods)}
        control(self.url, "reset", {**settings, "kill": asdict(kill) if kill else None})

    def requests(self) -> list[dict[str, str]]:
        """Every request since the reset, with the fault that it met or the moment of its client's death."""
        return control(self.url, "state")

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def control(url: str, name: str, body: Any = None) -> Any:
    """One request to a proxy's control; any process may send it."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        connection.request("POST" if body is not None else "GET", f"/_control/{name}", json.dumps(body))
        return json.loads(connection.getresponse().read())


def main() -> None:
    """Serve on a free loopback port, printed on the first line of stdout, until stdin closes."""
    _Handler.server_at = sys.argv[1]
    proxy = _Proxy(("127.0.0.1", 0), _Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(proxy.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
