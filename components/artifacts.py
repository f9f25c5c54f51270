"""Fills the artifacts that the KFP UI shows: pages, tables in Markdown."""

from pathlib import Path
from typing import Any


def fill(artifact: Any, content: bytes | str) -> None:
    """Write what a task shows where KFP expects it."""
    path = Path(artifact.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
