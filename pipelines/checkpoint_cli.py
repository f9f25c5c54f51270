"""`aerie import` and `aerie export`: checkpoints from and to the published layouts and Hugging Face."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.people import for_people

if TYPE_CHECKING:
    from model.exchange import KeyReport

checkpoints = typer.Typer()
SHOWN = 12  # keys of a kind in the table; the JSON file has all


class Format(StrEnum):
    """What `aerie export` writes."""

    eagle2 = "eagle2"
    eagle2_5 = "eagle2_5"
    hf = "hf"


@checkpoints.command(name="import")
def import_command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder (or s3://) of a published Eagle 2 checkpoint.")],
    out: Annotated[str, typer.Option("--out", help="Folder (or s3://) for the checkpoint.")],
) -> None:
    """Turn a published Eagle 2 checkpoint (Eagle2-1B, 2B, 9B) into a checkpoint of Aerie.

    The layout is recognised by the folder's config.json. Every tensor is accounted for: loaded, ignored by design,
    missing or unexpected. Anything unexplained stops the import with exit code 2; OUT/import_report.json has the list.
    """
    with for_people() as console:
        from model.exchange import REPORT_FILE, UnexplainedKeysError, import_published

        try:
            report = import_published(path, out)
        except UnexplainedKeysError as error:
            _show(error.report, console)
            raise
        _show(report, console)
        console.print(
            f"{out}: a checkpoint with {len(report.loaded)} tensors; keys in {out}/{REPORT_FILE}", highlight=False
        )


@checkpoints.command(name="export")
def export_command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A checkpoint, e.g. a stage's folder of a run.")],
    format_name: Annotated[Format, typer.Option("--format", help="Layout to write.")],
    out: Annotated[str, typer.Option("--out", help="Folder (or s3://) to write.")],
) -> None:
    """Write a checkpoint as the published Eagle 2 ones are laid out, or for Hugging Face's Auto classes.

    eagle2_5 is the layout of Eagle2-1B and Eagle2-2B (SigLIP alone), eagle2 that of Eagle2-9B (the mixture). What a
    layout can't hold is refused. A checkpoint that was imported comes back bit by bit.
    """
    with for_people() as console:
        from model.exchange import export_checkpoint

        report = export_checkpoint(folder, format_name.value, out)
        for name in report.files:
            console.print(f"{out.rstrip('/')}/{name}", highlight=False)
        console.print(f"{report.tensors} tensors as {format_name.value}", highlight=False)
        if report.written_back:
            console.print(f"{report.written_back} of them unused, as they were imported", highlight=False)
        if report.left_out:
            console.print(f"Left out, since this network never had them: {', '.join(report.left_out)}", highlight=False)


def _show(report: "KeyReport", console: Console) -> None:
    """Counts of each kind, and the first keys of all that isn't simply loaded."""
    table = Table(title=f"Keys ({report.layout})", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("", "tensors", "key", "why"):
        table.add_column(column, overflow="fold")
    table.add_row("loaded", f"{len(report.loaded):,}", "", "")
    kinds: dict[str, dict[str, str]] = {
        "missing": dict.fromkeys(report.missing, "the network needs it"),
        "unexpected": dict.fromkeys(report.unexpected, "nothing explains it"),
        "wrong shape": report.wrong_shape or {},
        "ignored by design": report.ignored,
    }
    for kind, keys in kinds.items():
        table.add_row(kind, f"{len(keys):,}", "", "")
        for name, why in list(keys.items())[:SHOWN]:
            table.add_row("", "", name, why)
        if len(keys) > SHOWN:
            table.add_row("", "", f"and {len(keys) - SHOWN} more", "")
    console.print(table)
