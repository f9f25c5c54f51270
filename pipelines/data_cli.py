"""The `aerie data` commands: versions of the data and what changed between two of them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from data.snapshots import Snapshot, snapshot, version_snapshot
from data.version_diff import Change, VersionDiff, diff
from data.versions import history
from pipelines.options import AsJson
from pipelines.people import for_people

data = typer.Typer(no_args_is_help=True, help="Versions of the data: which there are, and what changed.")
Repository = Annotated[Path, typer.Option("--repository", help="Folder with dvc.lock, in Git.")]
SHORT = 10


@data.command()
def versions(
    repository: Repository = Path(),
    last: Annotated[int, typer.Option("--last", min=1, help="Show at most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the versions of the data: the Git history of dvc.lock.

    Rows and sources are read from DVC's cache or its remote; where neither has a version, they stay empty.
    """
    with for_people() as console:
        found = history(repository)[:last]
        rows = [_version_row(version_snapshot(version, repository, ("formatting",))) for version in found]
        entries = [
            {"commit": v.commit, "date": v.date, "tags": list(v.tags), "subject": v.subject, **row}
            for v, row in zip(found, rows, strict=True)
        ]
        if as_json:
            console.print_json(json.dumps(entries))
            return
        table = _table("Versions of the data", "commit", "date", "tags", "formatting", "rows", "sources", "subject")
        for entry in entries:
            table.add_row(
                entry["commit"][:SHORT],
                entry["date"][:10],
                " ".join(entry["tags"]),
                (entry["sha256"] or entry["output"])[:SHORT],
                _number(entry["rows"]),
                _number(entry["sources"]),
                entry["subject"],
            )
        console.print(table)
        away = [entry for entry in entries if entry["rows"] is None]
        if away:
            console.print(
                f"{len(away)} of {len(entries)} versions are neither in DVC's cache nor in its remote: their hash is "
                f"DVC's. To get one: git checkout {away[0]['commit'][:SHORT]} && dvc fetch",
                highlight=False,
            )


@data.command(name="diff")
def diff_command(
    before: Annotated[str, typer.Argument(metavar="A", help="A commit, tag or branch; or a run's folder.")],
    after: Annotated[str, typer.Argument(metavar="[B]", help="As A; left out, the working tree's dvc.lock.")] = ".",
    repository: Repository = Path(),
    as_json: AsJson = False,
) -> None:
    """Show what changed in the data: the recipe, each step's hash, rows of each source, quotas.

    A and B are versions (see `aerie data versions`), or folders or s3:// addresses of runs, in any mixture.
    """
    with for_people() as console:
        one, other = snapshot(before, repository), snapshot(after, repository)
        found = diff(one, other)
        away = [(side.name, side.away, side.fetch) for side in (one, other) if side.away]
        unknown = [side.name for side in (one, other) if len(side.away) == len(side.steps)]
        if as_json:
            told = [{"version": name, "steps": list(steps), "fetch": fetch} for name, steps, fetch in away]
            console.print_json(json.dumps({**asdict(found), "equal": found.equal, "away": told}))
            return
        _show(found, console)
        for name, steps, fetch in away:
            which = "any step" if name in unknown else ", ".join(steps)
            console.print(
                f"Rows of {name} are not known for {which}: neither DVC's cache nor its remote has them. "
                f"To get them: {fetch}",
                highlight=False,
            )


def _version_row(version: Snapshot) -> dict[str, object]:
    facts = version.steps.get("formatting")
    if facts is None or not facts.sha256:
        return {"sha256": "", "output": facts.output if facts else "", "rows": None, "sources": None}
    sources = sum(rows > 0 for rows in facts.rows.values())
    return {"sha256": facts.sha256, "output": facts.output, "rows": facts.total, "sources": sources}


def _show(found: VersionDiff, console: Console) -> None:
    if found.equal:
        console.print(f"The data of {found.before} and {found.after} are the same.", highlight=False)
    _show_changes("Recipe", "key", found, found.params, console)
    steps = _table("Steps", "step", found.before, found.after, "")
    for step in found.steps:
        same = step.before == step.after
        steps.add_row(
            step.what, *(str(value or "–")[:SHORT] for value in (step.before, step.after)), "" if same else "*"
        )
    console.print(steps)
    if found.rows:
        rows = _table("Rows of each source", "step", "source", found.before, found.after, "more")
        for step, change in found.rows:
            more = (change.after or 0) - (change.before or 0)
            rows.add_row(step, change.what, _number(change.before), _number(change.after), f"{more:+,}")
        console.print(rows)
    _show_changes("Quotas of stage 2", "category", found, found.quotas, console)
    _show_changes("Rows of stage 2", "category", found, found.drawn, console)


def _show_changes(title: str, what: str, found: VersionDiff, changes: tuple[Change, ...], console: Console) -> None:
    if changes:
        table = _table(title, what, found.before, found.after)
        for change in changes:
            table.add_row(change.what, _number(change.before), _number(change.after))
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _number(value: object) -> str:
    """A value in a cell; nothing where there is none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
