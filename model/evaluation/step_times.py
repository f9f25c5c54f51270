"""How long each step took, from the logs of a local run; unknown elsewhere."""

import json
from pathlib import Path
from typing import Any

from data.files import is_s3

MARK = "::aerie "  # what components.door prints before a step's figures


def step_seconds(run_uri: str) -> dict[str, float]:
    """Wall seconds of the execution that made each step's output, in order of completion.

    Empty when nobody kept a log: a cluster knows its own times. Lines that are no marks, or that a crash cut, are
    left out.
    """
    folder = Path(run_uri) / "logs"
    if is_s3(run_uri) or not folder.is_dir():
        return {}
    seconds: dict[str, float] = {}
    for log in sorted(folder.glob("*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            mark = _mark(line)
            if mark.get("event") == "end" and not mark.get("reused"):
                seconds.pop(str(mark["step"]), None)
                seconds[str(mark["step"])] = float(mark["seconds"])
    return seconds


def _mark(line: str) -> dict[str, Any]:
    if not line.startswith(MARK):
        return {}
    try:
        mark = json.loads(line.removeprefix(MARK))
    except ValueError:
        return {}
    return mark if isinstance(mark, dict) and {"event", "step"} <= set(mark) else {}


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(12.34), duration(754)
    ('12.3 s', '12 min 34 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
