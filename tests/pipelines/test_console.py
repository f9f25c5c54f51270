"""The display of a local run: marks and progress lines are shown, all else goes to the log only."""

import io
import json

from rich.console import Console

from pipelines.console import RunConsole, read_marks


def mark(event, step, **values):
    return f"::aerie {json.dumps({'event': event, 'step': step, **values})}\n"


def display(tmp_path):
    log = (tmp_path / "run.log").open("w")
    shown = io.StringIO()
    return RunConsole(12, log, Console(file=shown, width=200)), shown


def test_steps_are_counted_and_their_progress_shown(tmp_path):
    stream, shown = display(tmp_path)
    stream.write(mark("begin", "sourcing/digits"))
    stream.write("    ")
    stream.write("sourcing digits  100 rows  50 rows/s\n")
    stream.write("some library: a warning\n")
    stream.write(mark("end", "sourcing/digits", seconds=2.04, mib=211.4, rows=100, reused=False))
    stream.write(mark("begin", "gate"))
    stream.write(mark("end", "gate", seconds=0.1, mib=90, rows=100, reused=True))
    assert [line.strip() for line in shown.getvalue().splitlines()] == [
        "[ 1/12] sourcing/digits",
        "sourcing digits  100 rows  50 rows/s",
        "[ 1/12] sourcing/digits: done in 2.0 s, peak 211 MiB, 100 rows",
        "[ 2/12] gate",
        "[ 2/12] gate: finished before, kept",
    ]
    assert "some library: a warning" in (tmp_path / "run.log").read_text()
    assert read_marks(tmp_path / "run.log")[-1]["step"] == "gate"


def test_kfps_own_lines_are_only_logged(tmp_path):
    stream, shown = display(tmp_path)
    stream.write(mark("begin", "gate"))
    stream.write("12:00:00.123 - INFO - Task 'gate' outputs:\n    gate: 'x'\n")
    stream.write("-" * 80 + "\n")
    stream.write("[KFP Executor 2026-01-01 INFO]: Looking for component `gate`\n")
    assert "outputs" not in shown.getvalue()
    assert stream.tail == []


def test_text_is_not_taken_for_markup(tmp_path):
    stream, shown = display(tmp_path)
    stream.write(mark("begin", "gate"))
    stream.write("gate [red]not a colour[/red]\n")
    assert "gate [red]not a colour[/red]" in shown.getvalue()


def test_a_reported_mistake_is_kept_for_the_end(tmp_path):
    stream, _ = display(tmp_path)
    stream.write(mark("begin", "gate"))
    stream.write(mark("error", "gate", message="two\nlines"))
    assert stream.mistakes == {"gate": "two\nlines"}
