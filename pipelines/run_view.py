"""What people see of a run on Kubeflow Pipelines: its state, a table of tasks, errors, logs."""

from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.kfp_endpoint import Endpoint
from pipelines.run_tasks import seconds_of, tasks_of
from pipelines.runs import RunState

SUCCEEDED, FAILED, RUNNING = 0, 1, 3  # exit codes of `aerie status`
COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "red", "CANCELING": "yellow", "RUNNING": "cyan"}


def exit_code(run: RunState) -> int:
    """0 for success, 1 for any other end, 3 while the run goes on."""
    return RUNNING if not run.over else SUCCEEDED if run.state == "SUCCEEDED" else FAILED


def show_run(run: RunState, endpoint: Endpoint, console: Console) -> None:
    """State, address, tasks, errors."""
    end = run.ended or datetime.now(UTC)
    took = f" after {duration((end - run.created).total_seconds())}" if run.created else ""
    console.print(f"Run [bold]{escape(run.name)}[/] {_coloured(run.state)}{took}", highlight=False)
    console.print(f"id {run.run_id}\n{endpoint.page(run.run_id)}", highlight=False, style="dim")
    if run.tasks:
        console.print(_table(run))
    else:
        console.print("KFP reports no tasks yet.", style="dim")
    if run.error:
        console.print(f"Error: {run.error}", markup=False, highlight=False)
    for task in tasks_of(run):
        if task.error:
            console.print(f"{task.name}: {task.error}", markup=False, highlight=False)


def changes_printer(console: Console) -> Callable[[RunState], None]:
    """Prints a line for every task whose state changed since the last look."""
    seen: dict[str, str] = {}

    def look(run: RunState) -> None:
        for task in tasks_of(run):
            if seen.get(task.task_id) != task.state:
                seen[task.task_id] = task.state
                console.print(f"{datetime.now():%H:%M:%S} {escape(task.name)} {_coloured(task.state)}", highlight=False)
        if seen.get("") != run.state:
            seen[""] = run.state
            console.print(f"{datetime.now():%H:%M:%S} run {_coloured(run.state)}", highlight=False)

    return look


def duration(seconds: float) -> str:
    """Two units at most: 7 s, 3 min 20 s, 5 h 3 min, 2 d 4 h."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hour:
        return f"{hour} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def _table(run: RunState) -> Table:
    table = Table(title="Tasks", title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("state")
    for name in ("began (UTC)", "took"):
        table.add_column(name, justify="right")
    for task in tasks_of(run):
        began = f"{task.started.astimezone(UTC):%m-%d %H:%M:%S}" if task.started else ""
        seconds = seconds_of(task)
        table.add_row(escape(task.name), _coloured(task.state), began, "" if seconds is None else duration(seconds))
    return table


def _coloured(state: str) -> str:
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state
