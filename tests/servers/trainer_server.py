"""Kubeflow Trainer's status endpoint in a process of its own: TLS, bearer token, strict about the document.

It answers as kubeflow/trainer's pkg/statusserver does: 403 for a wrong token, 404 for another path, 422 for a document
that the TrainJob's schema refuses, else 200 and the document. What it took stands in FOLDER/taken.jsonl.
"""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from hub_api import certificate, serve

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs/aerie-stage-1/status"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class TrainerServer:
    """The server's process; `url`, `ca_cert` and `token` are what the Trainer would inject."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.token = folder, folder / "token"
        self.ca_cert, key = certificate(folder)
        self.renew("first")
        command = [sys.executable, __file__, str(folder), str(self.ca_cert), str(key)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.url = f"https://localhost:{self._process.stdout.readline().strip()}{PATH}"

    def renew(self, token: str) -> None:
        """Change the token, as the kubelet does every hour."""
        self.token.write_text(token + "\n")

    def taken(self) -> list[dict]:
        """The `trainerStatus` documents that were accepted, in order."""
        file = self.folder / "taken.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        folder = Path(sys.argv[1])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != PATH:
            self._answer(404, b"{}")
        elif self.headers["Authorization"] != f"Bearer {(folder / 'token').read_text().strip()}":
            self._answer(403, b"{}")
        elif not fits(status := json.loads(body).get("trainerStatus", {})):
            self._answer(422, b"{}")
        else:
            with (folder / "taken.jsonl").open("a") as stream:
                stream.write(json.dumps(status) + "\n")
            self._answer(200, body)

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def fits(status: dict) -> bool:
    """The TrainJob's schema of `trainerStatus` (v1alpha1): types, limits, and a time that Go reads."""
    metrics = status.get("metrics", [])
    texts = [metric[name] for metric in metrics for name in ("name", "value")]
    try:
        datetime.fromisoformat(status["lastUpdatedTime"])
    except (KeyError, ValueError):
        return False
    return (
        isinstance(status.get("progressPercentage"), int)
        and 0 <= status["progressPercentage"] <= 100
        and isinstance(status.get("estimatedRemainingSeconds"), int)
        and 0 <= status["estimatedRemainingSeconds"] < 1 << 31
        and len(metrics) <= 256
        and all(isinstance(text, str) and 1 <= len(text) <= 64 for text in texts)
        and RFC_3339.fullmatch(status["lastUpdatedTime"]) is not None
    )


if __name__ == "__main__":
    serve(_Handler)
