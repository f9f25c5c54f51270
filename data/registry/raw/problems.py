"""The one exception of the raw layer that ends a row and not a run."""


class BadRowError(Exception):
    """A row that can't become a sample; `reason` is the quarantine reason, the message is the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        # Details quote hostile input: cut, and without what a terminal or Parquet can't show.
        shown = detail.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        super().__init__(shown if len(shown) <= 300 else shown[:300] + "…")
        self.reason = reason
