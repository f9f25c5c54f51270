"""What a person sees of a local run: step k of n, each step's progress lines, time and memory; all else in a log."""

import io
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape

MARK = "::aerie "
KFP_LOG = re.compile(r"^(\d\d:\d\d:\d\d\.\d+ - |\[KFP Executor|-{20,}|/.*Warning: |\s*warnings\.warn\()")
ERASE = re.compile(r"\x1b\[[0-9;]*m")
TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One finished step of this execution: wall seconds, peak resident MiB of a process, rows, found finished."""

    step: str
    seconds: float
    mib: float
    rows: int
    reused: bool


class RunConsole(io.TextIOBase):
    """Stands in for stdout while KFP runs the steps: writes everything to a log file, shows what matters.

    Shown are the marks of `components.door` and the lines that begin with the name of a running step, which is what
    progress lines do. KFP's own log records arrive as one `write` each, so a record of many lines stays together.
    """

    def __init__(self, total_steps: int, log: TextIO, console: Console) -> None:
        self.total, self.log, self.console = total_steps, log, console
        self.results: list[StepResult] = []
        self.running: dict[str, int] = {}
        self.mistakes: dict[str, str] = {}
        self.tail: list[str] = []
        self._begun = 0
        self._lock = threading.Lock()  # KFP runs the iterations of a loop in threads

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Take one piece of output."""
        plain = ERASE.sub("", text).strip()
        if plain:
            with self._lock:
                self._take(plain)
        return len(text)

    def _take(self, text: str) -> None:
        self.log.write(text + "\n")
        self.log.flush()
        if text.startswith(MARK):
            self._mark(**json.loads(text.removeprefix(MARK)))
        elif not KFP_LOG.match(text):
            self.tail = [*self.tail, text][-TAIL_LINES:]
            if any(_speaks_for(step, text) for step in self.running):
                self.console.print(f"         [dim]{escape(text)}[/]", highlight=False)

    def _mark(self, event: str, step: str, **values: Any) -> None:
        if event == "begin":
            self._begun += 1
            self.running[step] = self._begun
            self.tail.clear()
            self.console.print(f"{self._place(self._begun)} [bold]{step}[/]", highlight=False)
        elif event == "end":
            self.results.append(StepResult(step=step, **values))
            self.console.print(_finished(self._place(self.running.pop(step)), self.results[-1]), highlight=False)
        elif event == "error":
            self.mistakes[step] = values["message"]

    def _place(self, k: int) -> str:
        return rf"\[{k:>{len(str(self.total))}}/{self.total}]"


def _speaks_for(step: str, text: str) -> bool:
    """True for `packing ...` and `sourcing digits ...` while packing/stage_1 or sourcing/digits run."""
    return text.split(maxsplit=1)[0].rstrip(":") in step.split("/")


def _finished(place: str, result: StepResult) -> str:
    if result.reused:
        return f"{place} {result.step}: finished before, kept"
    rows = f", {result.rows} rows" if result.rows else ""
    return f"{place} {result.step}: [green]done[/] in {result.seconds:.1f} s, peak {result.mib:.0f} MiB{rows}"


def read_marks(log: Path) -> list[dict[str, Any]]:
    """The marks in a log, in order: event, step and the event's values."""
    return [json.loads(line.removeprefix(MARK)) for line in log.read_text().splitlines() if line.startswith(MARK)]
