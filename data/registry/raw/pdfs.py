"""Pages of strangers' PDFs, parsed in a process of their own: a parser may crash, hang or swell on them."""

import contextlib
import json
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data.registry.raw.limits import PDF_BYTES, PDF_SECONDS
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean

ROOT = Path(__file__).resolve().parents[3]


class Pages:
    """A parser's process, started when it is needed and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: Connection | None = None
        self._replies: Connection | None = None

    def count(self, path: Path) -> int:
        """The number of pages; `BadRowError` like the others, with reason `corrupt_pdf` for most."""
        return int(self._ask({"path": str(path)})[0]["count"])

    def text(self, path: Path, page: int) -> str:
        """The text layer of a page (from 0), with plain line ends; "" when there is none."""
        text = str(self._ask({"path": str(path), "page": page})[0]["text"])
        return clean(text, "the text layer").replace("\ufffe\n", "").replace("\ufffe", "").strip()

    def picture(self, path: Path, page: int, side: int) -> bytes:
        """A page (from 0) as PNG, its longer side of `side` pixels."""
        return self._ask({"path": str(path), "page": page, "side": side})[1]

    def close(self) -> None:
        """End the process."""
        for end in (self._requests, self._replies):
            if end is not None:
                end.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._requests = self._replies = None

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        size = Path(request["path"]).stat().st_size
        if size > PDF_BYTES:
            raise BadRowError("row_too_large", f"a PDF of {size} bytes, {PDF_BYTES} are allowed")
        try:
            head, payload = self._exchange(request)
        except (OSError, EOFError, ValueError) as error:
            self.close()
            detail = f"the parser did not survive this page ({type(error).__name__}: {error})"
            raise BadRowError("corrupt_pdf", detail) from None
        if "reason" in head:
            raise BadRowError(head["reason"], head["detail"])
        return head, payload

    def _exchange(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if self._requests is None or self._replies is None:
            self._requests, self._replies = self._start()
        self._requests.send_bytes(json.dumps(request).encode())
        if not self._replies.poll(PDF_SECONDS):
            raise TimeoutError(f"no answer within {PDF_SECONDS:g} s")
        head = json.loads(self._replies.recv_bytes())
        return head, self._replies.recv_bytes() if "png" in head else b""

    def _start(self) -> tuple[Connection, Connection]:
        ask_read, ask_write = os.pipe()
        told_read, told_write = os.pipe()
        command = [sys.executable, "-m", "data.registry.raw.pdf_worker", str(ask_read), str(told_write)]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            command,
            pass_fds=(ask_read, told_write),
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ask_read)
        os.close(told_write)
        return Connection(ask_write), Connection(told_read)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
