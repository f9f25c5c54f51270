"""An OpenAI-compatible `/v1/chat/completions` that answers by rule, and misbehaves on demand.

It runs as a process of its own and wants a bearer key. Its answers are true as far as rules go: a sum in the question
is computed; a prediction is graded by the ground truth; else the answer that the prompt tells is argued for. Asked as a
proxy, it answers for the host itself.

    GET  /_control/state   [{fault, text, images, at, path, login}, ...], every request since the reset, as they came
    POST /_control/reset   {"script", "match", "usage", "seconds"}, see `FakeEndpoint.reset`
"""

import contextlib
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KEY, KEY_NAME = "sk-planted-key-0123456789", "AERIE_TEST_ENDPOINT_KEY"  # of the fixture `llm`, and its variable
PASS = "pass"
STATUS = {"error": 500, "refuse": 400, "bad_key": 401, "no_model": 404, "redirect": 307, "no_credit": 402, "busy": 429}
BROKEN = ("drop", "truncated", "cut_json", "no_json", "empty_choices", "odd_choices", "silent", "drip", "flood")
TEXTS = (
    "wrong",
    "refusal",
    "refusal_field",
    "length",
    "huge",
    "loop",
    "leak",
    "placeholder",
    "empty",
    "think",
    "bold",
    "surrogate",
)
OTHER = ("no_usage", "echo_key", "slow", "surrogate")
FAULTS = {PASS, *STATUS, *BROKEN, *TEXTS, *OTHER}
SUM = re.compile(r"(\d+) \+ (\d+)")


def told(text: str, name: str) -> str:
    """A line `NAME: value` of the prompt."""
    found = re.search(rf"^{name}: (.*)$", text, re.M)
    return found.group(1).strip() if found else ""


def grade(truth: str, prediction: str) -> str:
    """The share of the parts of the truth, joined by <AND>, that the prediction holds."""
    parts = [part.strip().lower() for part in truth.split("<AND>")]
    return f"{sum(part in prediction.lower() for part in parts) / len(parts):.1f}"


def write_answer(system: str, text: str, fault: str) -> str:
    """What a model would say."""
    if fault == PASS and (truth := told(text, "Ground truth")):
        return grade(truth, told(text, "Prediction"))
    question, known = told(text, "Question"), told(text, "Correct answer")
    added = SUM.search(question)
    answer = str(int(added.group(1)) + int(added.group(2))) if added else known or "unknown"
    if fault == "wrong":
        answer = "17" if answer != "17" else "18"
    special = {
        "refusal": "I'm sorry, but I can't help with this image.",
        "empty": "",
        "huge": "very " * 400_000 + f"large.\nAnswer: {answer}",
        "loop": "It is here. " * 40 + f"\nAnswer: {answer}",
        "surrogate": f"The parts are \ud800 compared with each other one by one.\nAnswer: {answer}",
        "leak": f"The correct answer was given as {answer}, so I explain it.\nAnswer: {answer}",
        "placeholder": f"In <image> one can look for what the question wants to know.\nAnswer: {answer}",
    }
    if fault in special:
        return special[fault]
    if "Answer:" not in system:
        lead = f"{answer.capitalize()}, that is so" if answer in {"yes", "no"} else f"What is asked for is {answer}"
        return f"{lead}, which can be told from the parts that are shown here."
    steps = f"First I look for what is asked: {question} Then I compare the parts and see that only one fits."
    final = f"**Answer: {answer}.**" if fault == "bold" else f"Answer: {answer}"
    thought = "<think>What do they want?</think>\n" if fault == "think" else ""
    return f"{thought}{steps}\n{final}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    key = ""
    script: list[str] = []  # noqa: RUF012 - one server a process
    match: dict[str, str] = {}  # noqa: RUF012
    seen: list[dict[str, Any]] = []  # noqa: RUF012
    seconds = 0.2
    retry_after = "0"
    lock = threading.Lock()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_control/"):
            self._control(body)
            return
        if urlsplit(self.path).path != "/v1/chat/completions" or self.command != "POST":
            self._send(404, {"error": {"message": "unknown path"}})
            return
        document = json.loads(body)
        system, text, images = _prompt(document)
        with _Handler.lock:
            by_text = next((fault for part, fault in self.match.items() if part in text), PASS)
            fault = self.script.pop(0) if self.script else by_text
            entry = {"fault": fault, "text": text, "images": images, "at": time.monotonic(), "path": self.path}
            self.seen.append(entry | {"login": self.headers.get("Proxy-Authorization", "")})
        if self.key and self.headers.get("Authorization") != f"Bearer {self.key}":
            self._send(401, {"error": {"message": f"Incorrect API key: {self.headers.get('Authorization')}"}})
            return
        self._meet(fault, system, text, document)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def _control(self, body: bytes) -> None:
        with _Handler.lock:
            answer = list(_Handler.seen)
            if self.path == "/_control/reset":
                settings = json.loads(body)
                assert {*settings["script"], *settings["match"].values()} <= FAULTS
                _Handler.script, _Handler.match, _Handler.seen = settings["script"], settings["match"], []
                _Handler.seconds, _Handler.retry_after = settings["seconds"], settings["retry_after"]
        self._send(200, answer)

    def _meet(self, fault: str, system: str, text: str, document: dict[str, Any]) -> None:
        if fault in STATUS:
            self._refuse(fault)
            return
        if fault in {"slow", "silent"}:
            time.sleep(self.seconds)
        if fault in {"drop", "silent"}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        answer = self._answer(fault, system, text, document)
        if fault in {"truncated", "drip"}:
            self._send_in_part(fault, json.dumps(answer).encode())
        elif fault == "flood":
            self._send(200, {**answer, "filler": "x" * (5 << 20)})
        elif fault in {"no_json", "cut_json"}:
            whole = json.dumps(answer).encode()
            self._send_bytes(200, b"<html>busy</html>" if fault == "no_json" else whole[: len(whole) // 2])
        else:
            self._send(200, answer)

    def _answer(self, fault: str, system: str, text: str, document: dict[str, Any]) -> dict[str, Any]:
        said = write_answer(system, text, fault)
        if fault == "echo_key":
            said = f"Your header was {self.headers.get('Authorization')}.\n{said}"
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if fault == "refusal_field":
            message = {"role": "assistant", "content": None, "refusal": "No."}
        choice = {"index": 0, "message": message, "finish_reason": "length" if fault == "length" else "stop"}
        choices: Any = {"empty_choices": [], "odd_choices": ["text"]}.get(fault, [choice])
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(said.split())}
        answer = {"id": "c", "object": "chat.completion", "model": document["model"], "choices": choices}
        return answer if fault == "no_usage" else {**answer, "usage": usage}

    def _refuse(self, fault: str) -> None:
        words = {"error": {"message": f"{fault}: your key is {self.headers.get('Authorization')}"}}
        extra = {"Location": "http://127.0.0.1:1/v1/chat/completions"} if fault == "redirect" else {}
        extra |= {"Retry-After": self.retry_after} if fault == "busy" and self.retry_after else {}
        self._send(STATUS[fault], words, extra)

    def _send(self, status: int, document: Any, headers: Mapping[str, str] = {}) -> None:
        self._send_bytes(status, json.dumps(document).encode(), headers)

    def _send_bytes(self, status: int, payload: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # a client that has had enough
            self.wfile.write(payload)

    def _send_in_part(self, fault: str, payload: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            if fault == "truncated":
                self.wfile.write(payload[: len(payload) // 2])
                return
            for at in range(0, len(payload), 8):
                self.wfile.write(payload[at : at + 8])
                self.wfile.flush()
                time.sleep(self.seconds)

    def log_message(self, *_: Any) -> None:
        pass


def _prompt(document: dict[str, Any]) -> tuple[str, str, int]:
    """(system, text of the user, number of images) of a request body."""
    system = " ".join(m["content"] for m in document["messages"] if m["role"] == "system")
    content = next(m["content"] for m in document["messages"] if m["role"] == "user")
    if isinstance(content, str):
        return system, content, 0
    images = [part for part in content if part["type"] == "image_url"]
    assert all(image["image_url"]["url"].startswith("data:image/") for image in images)
    return system, "\n".join(part["text"] for part in content if part["type"] == "text"), len(images)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # connections that come at once are not reset


class OpenAiServer:
    """A running server process, seen from a test."""

    def __init__(self, key: str = "") -> None:
        command = [sys.executable, __file__, key]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.at = f"127.0.0.1:{int(self._process.stdout.readline())}"
        self.key, self.url = key, f"http://{self.at}/v1"

    def reset(
        self,
        script: Sequence[str] = (),
        match: Mapping[str, str] | None = None,
        *,
        seconds: float = 0.2,
        retry_after: str = "0",
    ) -> None:
        """Begin a case with an empty log.

        `script` are the faults of the first requests by arrival; `match` gives the fault of every prompt that holds a
        text; `seconds` is how slow `slow`, `silent` and each piece of `drip` are; `retry_after` goes with `busy`.
        """
        document = {"script": list(script), "match": dict(match or {}), "seconds": seconds, "retry_after": retry_after}
        control(self.at, "reset", document)

    def requests(self) -> list[dict[str, Any]]:
        """Every request since the reset."""
        return control(self.at, "state")

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def control(at: str, name: str, body: Any = None) -> Any:
    """One request to a server's control; any process may send it."""
    with contextlib.closing(http.client.HTTPConnection(at, timeout=60)) as connection:
        connection.request("POST" if body is not None else "GET", f"/_control/{name}", json.dumps(body))
        return json.loads(connection.getresponse().read())


def main() -> None:
    """Serve on a free loopback port, printed on the first line of stdout, until stdin closes."""
    _Handler.key = sys.argv[1]
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
