"""A hub of data sets over HTTP or HTTPS, in a process of its own: the part of huggingface.co that reads a data set.

    python hub_api.py FOLDER [CERTIFICATE KEY]

serves FOLDER on a free loopback port, printed on the first line of stdout, until stdin closes. FOLDER/hub.json is read
anew for each request:

    {"sets": {"owner/name": {"sha": "…", "licence": "mit" | [..] | null, "gated": false}},
     "page": 1000,                          files a page of a tree
     "faults": [["/path/prefix", fault]]}   truncated, late, silent, dropped, html, a status, or ["redirect", "URL"]

Files of a set lie in FOLDER/owner/name/; FOLDER/plain/x answers to /plain/x, with ranges. Every request is written to
FOLDER/requests.log as `METHOD PATH [authorized]`.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SILENT_SECONDS = 60.0
FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else Path()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.log(path)
        self.hub = json.loads((FOLDER / "hub.json").read_text())
        fault = next((fault for prefix, fault in self.hub.get("faults", ()) if path.startswith(prefix)), None)
        if fault is None:
            self.route(path, query, body)
        elif isinstance(fault, int):
            self.send(fault, b'{"error": "broken"}')
        elif isinstance(fault, list):
            self.send(302, b"", {"Location": fault[1]})
        elif fault == "silent":
            time.sleep(SILENT_SECONDS)
        elif fault == "dropped":
            self.close_connection = True
        elif fault == "html":
            self.send(200, b"<html>Please log in to this network</html>")
        else:  # `late`: the first bytes of a file are given whole, the file isn't
            self.cut = fault == "truncated" or "Range" not in self.headers
            self.route(path, query, body)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names http.server looks for
    cut = False

    def log(self, path: str) -> None:
        mark = " authorized" if self.headers.get("Authorization") else ""
        with (FOLDER / "requests.log").open("a") as stream:
            stream.write(f"{self.command} {path}{mark}\n")

    def route(self, path: str, query: dict[str, str], body: bytes) -> None:
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "datasets"] and len(parts) >= 4:
            self.api("/".join(parts[2:4]), parts[4:], query, body)
        elif parts[0] == "datasets" and parts[3:4] == ["resolve"]:
            self.resolve("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        elif parts[0] == "plain":
            self.file(FOLDER / path.strip("/"))
        else:
            self.send(404, b"")

    def entry(self, name: str, revision: str) -> dict[str, Any] | None:
        found = self.hub["sets"].get(name)
        if found is None:
            self.refuse(401, "RepoNotFound", "Repository Not Found")
        elif found.get("gated") and not self.headers.get("Authorization"):
            self.refuse(401, "GatedRepo", "Access to this dataset is restricted")
        elif revision not in ("main", found["sha"]):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return found
        return None

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def api(self, name: str, rest: list[str], query: dict[str, str], body: bytes) -> None:
        kind, revision = (rest[0], rest[1]) if len(rest) > 1 else ("revision", "main")
        found = self.entry(name, revision)
        if found is None:
            return
        root = FOLDER / name
        if kind == "revision":
            names = [{"rfilename": item["path"]} for item in files(root, "") if item["type"] == "file"]
            card = {"license": found["licence"]} if found.get("licence") else {}
            info = {"id": name, "sha": found["sha"], "cardData": card, "siblings": names, "tags": []}
            self.send(200, json.dumps(info).encode())
        elif kind == "paths-info":
            wanted = json.loads(body)["paths"]
            items = [item for item in files(root, "") if item["path"] in wanted]
            self.send(200, json.dumps(items).encode())
        elif kind == "tree":
            self.tree(root, "/".join(rest[2:]), query)

    def tree(self, root: Path, folder: str, query: dict[str, str]) -> None:
        if not (root / folder).is_dir():
            self.refuse(404, "EntryNotFound", f"{folder} does not exist")
            return
        page, start = self.hub.get("page", 1000), int(query.get("cursor", 0))
        items = files(root, folder)
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        following = f"{scheme}://{self.headers['Host']}{urlsplit(self.path).path}?recursive=true&cursor={start + page}"
        link = {"Link": f'<{following}>; rel="next"'} if start + page < len(items) else {}
        self.send(200, json.dumps(items[start : start + page]).encode(), link)

    def resolve(self, name: str, revision: str, path: str) -> None:
        found = self.entry(name, revision)
        if found is not None:
            self.file(FOLDER / name / path, {"X-Repo-Commit": found["sha"]})

    def file(self, path: Path, headers: dict[str, str] | None = None) -> None:
        if not path.is_file():
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        payload = path.read_bytes()
        told = {"ETag": f'"{len(payload)}-{hash(payload):x}"', "Accept-Ranges": "bytes", **(headers or {})}
        span = self.headers.get("Range", "")
        if span.startswith("bytes=") and payload:
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(payload), len(payload))
            told["Content-Range"] = f"bytes {first}-{end - 1}/{len(payload)}"
            self.send(206, payload[int(first) : end], told)
        else:
            self.send(200, payload, told)

    def send(self, status: int, payload: bytes, headers: dict[str, str] | None = None) -> None:
        head = [f"HTTP/1.1 {status} {http.client.responses[status]}", f"Content-Length: {len(payload)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        body = b"" if self.command == "HEAD" else payload[: len(payload) // 2] if self.cut else payload
        self.close_connection = self.close_connection or self.cut
        self.wfile.write("\r\n".join([*head, "", ""]).encode() + body)

    def log_message(self, *_: Any) -> None:
        pass


def files(root: Path, folder: str) -> list[dict[str, Any]]:
    """Folders and files below a folder, as the hub lists them."""
    return [
        {
            "type": "file" if path.is_file() else "directory",
            "path": path.relative_to(root).as_posix(),
            "size": path.stat().st_size if path.is_file() else 0,
            "oid": "0" * 40,
        }
        for path in sorted((root / folder).rglob("*"))
    ]


class Hub:
    """A running hub, seen from a test: write files into `folder`, describe sets with `describe`."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = folder
        self.describe({})
        command = [sys.executable, __file__, str(folder), *map(str, tls or ())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def describe(self, sets: dict[str, Any], **settings: Any) -> None:
        """What the hub knows from now on; forgets the log."""
        part = self.folder / "hub.json.part"
        part.write_text(json.dumps({"sets": sets, **settings}))
        part.replace(self.folder / "hub.json")
        (self.folder / "requests.log").write_text("")

    def requests(self) -> list[str]:
        """`METHOD PATH [authorized]` of each request since `describe`."""
        return (self.folder / "requests.log").read_text().splitlines()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    made = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files_out = ["-out", str(made[0]), "-keyout", str(made[1])]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files_out]
    subprocess.run(command, check=True, capture_output=True)
    return made


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Serve until stdin closes; with a certificate and its key as second and third argument over TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(_Handler)
