"""The process that parses PDFs: `python -m data.registry.raw.pdf_worker REQUESTS REPLIES` (two file descriptors).

A request is JSON: `{path}` asks for the number of pages, `{path, page, side}` for a page (from 0) as PNG, its longer
side of so many pixels, `{path, page}` for its text layer. A reply is a JSON head, `{count}`, `{text}`, `{png: true}`
or `{reason, detail}`, and after a `png` its bytes.
"""

import io
import json
import resource
import sys
from multiprocessing.connection import Connection
from typing import Any

import pypdfium2

from data.registry.raw.limits import PAGE_CHARACTERS, PDF_MEMORY_BYTES, PDF_PAGES

LEAST_POINTS = 1.0  # a page of less than a point (1/72 inch) shows nothing


class _Reader:
    """Keeps the last document open: pages are asked for one after another."""

    def __init__(self) -> None:
        self.path, self.document = "", None

    def reply(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The head and the bytes of the answer."""
        if request["path"] != self.path:
            if self.document is not None:
                self.document.close()
            self.path, self.document = "", None
            self.document = pypdfium2.PdfDocument(request["path"])
            self.path = request["path"]
        assert self.document is not None
        count = len(self.document)
        if count > PDF_PAGES:
            return {"reason": "row_too_large", "detail": f"{count} pages, {PDF_PAGES} are allowed"}, b""
        if "page" not in request:
            return {"count": count}, b""
        if not 0 <= request["page"] < count:
            detail = f"page {request['page'] + 1} of a document of {count}"
            return {"reason": "missing_page", "detail": detail}, b""
        page = self.document[request["page"]]
        try:
            return self._picture(page, request["side"]) if "side" in request else self._text(page)
        finally:
            page.close()

    def _picture(self, page: Any, side: int) -> tuple[dict[str, Any], bytes]:
        longer = max(page.get_size())
        if not LEAST_POINTS <= longer < 1e6 or min(page.get_size()) * side < longer:
            return {"reason": "corrupt_pdf", "detail": f"a page of {page.get_size()} points"}, b""
        sink = io.BytesIO()
        page.render(scale=side / longer).to_pil().convert("RGB").save(sink, "PNG")
        return {"png": True}, sink.getvalue()

    def _text(self, page: Any) -> tuple[dict[str, Any], bytes]:
        layer = page.get_textpage()
        try:
            if layer.count_chars() > PAGE_CHARACTERS:
                detail = f"a text layer of {layer.count_chars()} characters, {PAGE_CHARACTERS} are allowed"
                return {"reason": "row_too_large", "detail": detail}, b""
            return {"text": layer.get_text_range()}, b""
        finally:
            layer.close()


def main() -> None:
    """Answer until the other side hangs up."""
    resource.setrlimit(resource.RLIMIT_AS, (PDF_MEMORY_BYTES, PDF_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, replies = Connection(int(sys.argv[1])), Connection(int(sys.argv[2]))
    reader = _Reader()
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        try:
            head, payload = reader.reply(request)
        except (pypdfium2.PdfiumError, OSError, ValueError, MemoryError, OverflowError) as error:
            head, payload = {"reason": "corrupt_pdf", "detail": f"{type(error).__name__}: {error}"}, b""
        replies.send_bytes(json.dumps(head).encode())
        if "png" in head:
            replies.send_bytes(payload)


if __name__ == "__main__":
    main()
