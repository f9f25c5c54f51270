"""A web server in a process of its own with raw files: plain files, and the Hub's interface for one data set.

python raw_web.py FOLDER      prints its port, serves until stdin closes

/files/PATH            a file of FOLDER, with an ETag (under /weak/ a weak one, under /bare/ none)
/cut/PATH              the same, but the first answer breaks off in the middle
/hop/N/PATH            N redirects to /files/PATH
/api/datasets/aerie/mini/revision/REV, /datasets/aerie/mini/resolve/COMMIT/PATH      as on the Hub
/requests              every request so far
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = {"main", "v1", COMMIT, COMMIT[:12]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()
    seen: list[str] = []  # noqa: RUF012 - one server a process

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if path == "/requests":
            return self._send(200, json.dumps(self.seen).encode())
        self.seen.append(f"{self.command} {path}")
        kind, _, rest = path.strip("/").partition("/")
        if kind == "hop":
            left, _, name = rest.partition("/")
            target = quote(f"/hop/{int(left) - 1}/{name}" if int(left) > 1 else f"/files/{name}")
            return self._send(302, b"", Location=target)
        if kind == "api":
            return self._about(rest)
        if kind == "datasets":
            return self._resolve(rest)
        return self._file(kind, rest)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _about(self, rest: str) -> None:
        _, owner, name, *revision = rest.split("/")
        if (owner, name) != ("aerie", "mini"):
            return self._send(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        if revision and revision[1] not in REVISIONS:
            return self._send(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        files = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        about = {"id": "aerie/mini", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
        return self._send(200, json.dumps(about).encode(), **{"Content-Type": "application/json"})

    def _resolve(self, rest: str) -> None:
        commit, _, name = rest.removeprefix("aerie/mini/resolve/").partition("/")
        path = self.folder / name
        if not path.is_file():
            return self._send(404, b"", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        payload = path.read_bytes()
        tag = hashlib.sha1(payload).hexdigest()
        return self._send(200, payload, **{"ETag": f'"{tag}"', "X-Repo-Commit": commit})

    def _file(self, kind: str, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            return self._send(404, b"")
        payload = path.read_bytes()
        tag = f'"{hashlib.md5(payload).hexdigest()}"'
        head = {"files": {"ETag": tag}, "weak": {"ETag": f"W/{tag}"}, "cut": {"ETag": tag}}.get(kind, {})
        first = self.seen.count(f"GET /{kind}/{name}") == 1
        return self._send(200, payload, cut=kind == "cut" and self.command == "GET" and first, **head)

    def _send(self, status: int, payload: bytes, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload[: len(payload) // 2] if cut else payload)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        pass


class RawWeb:
    """A running server process, seen from a test."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def requests(self) -> list[str]:
        """`METHOD PATH` of each request so far."""
        with urllib.request.urlopen(f"{self.url}/requests") as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the process and wait for it."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(30)
            self._process.stdout.close()


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)
