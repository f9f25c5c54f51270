"""One `aerie run` from its first line to the result table."""

import json
import tempfile
import time
from pathlib import Path

from rich.console import Console

from data.files import join, read_bytes
from pipelines.compiling import compile_pipelines
from pipelines.console import StepResult
from pipelines.local_run import Run, execute
from pipelines.tables import show_steps, show_summary


def run_and_show(run: Run, console: Console, runner: str = "subprocess") -> None:
    """Compile, execute, show times and results."""
    console.print(f"Run [bold]{run.run_id}[/] of recipe {run.recipe.name} in {run.folder}", highlight=False)
    console.print(f"If it stops: aerie run --resume {run.folder}", highlight=False, style="dim")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aerie-compiled-") as folder:
        package = compile_pipelines(Path(folder))[-1]
        results = execute(run, package, console, runner)
    show_steps(results, console)
    _show_total(results, time.monotonic() - start, console)
    show_result(run, console)


def show_result(run: Run, console: Console) -> None:
    """The table from the report's summary and where the page lies."""
    folder = join(run.folder, "report")
    show_summary(json.loads(read_bytes(join(folder, "summary.json"))), console)
    page = json.loads(read_bytes(join(folder, "manifest.json")))["attachments"]["page"]["path"]
    console.print(f"\nReport: {join(folder, page)}", highlight=False)


def _show_total(results: list[StepResult], seconds: float, console: Console) -> None:
    peak = max((result.mib for result in results), default=0)
    kept = sum(result.reused for result in results)
    note = f", {kept} of {len(results)} steps were finished before" if kept else ""
    console.print(f"Total {seconds / 60:.1f} min, peak {peak:.0f} MiB in one process{note}", highlight=False)
