"""Run summary: what was run, what it cost, and what came out, before any detail."""

from typing import Any

from data.ledger_report import LedgerFlow
from data.reporting.html import Badge, Block, Cell, Chart, Details, KeyValues, Section, Stats, Table
from data.reporting.scale import percent_label
from data.reporting.svg import GroupedBars
from model.evaluation.curves import read_curves
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import STAGE_NAMES, percent, scoreboard
from model.evaluation.step_times import duration
from model.recipe import STAGES

PARTS = ("train", "heldout")


def overview_section(run: RunFolder, flow: LedgerFlow, seconds: dict[str, float]) -> Section:
    """Key figures, scores at a glance, sources, network and times."""
    parameters = run.parameters
    board = [row for row in scoreboard(run, "source") if row["answer_type"] == "all"]
    blocks: list[Block] = [
        Stats(_figures(run, flow, board, sum(parameters.values()), sum(seconds.values()))),
        Chart(figures=(_scores(board),)),
        KeyValues(_identity(run, seconds)),
        *_sources(run),
        _network(run, parameters),
    ]
    if seconds:
        blocks.append(_times(seconds))
    return Section(title="Run summary", blocks=tuple(blocks))


def _figures(
    run: RunFolder, flow: LedgerFlow, board: list[dict[str, Any]], parameters: int, seconds: float
) -> tuple[tuple[str, str, str], ...]:
    total, steps = flow.total(), sum(len(read_curves(run, stage).lines) for stage in STAGES)
    figures = [
        (f"{row['group']} after stage 2", f"{percent(row['stages'][STAGES[-1]])} %", _baselines(row))
        for row in board[:2]
    ]
    figures += [
        ("Rows trained", f"{total.trained:,}", f"of {total.read:,} read and {total.added:,} added"),
        ("Parameters", short_count(parameters), f"{steps:,} optimizer steps"),
    ]
    return (*figures, ("Time", f"{seconds / 60:.1f} min", "all steps together")) if seconds else tuple(figures)


def _baselines(row: dict[str, Any]) -> str:
    blind = "" if row["blind"] is None else f"blind {percent(row['blind'])}, "
    return f"{blind}majority {percent(row['majority'])}"


def short_count(value: int) -> str:
    """A count in three digits.

    >>> short_count(1234567), short_count(8_900_000_000)
    ('1.23M', '8.9B')
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return str(value)


def _scores(board: list[dict[str, Any]]) -> GroupedBars:
    series = {"majority": "majority", "blind": "blind (stage 2, images blanked)"}
    columns = [(label, tuple(row[key] for row in board)) for key, label in series.items()]
    columns += [(STAGE_NAMES[stage], tuple(row["stages"][stage] for row in board)) for stage in STAGES]
    return GroupedBars(
        title="Held-out score of each source, by its own metric",
        y_label="score",
        groups=tuple(row["group"] for row in board),
        series=tuple(columns),
        y_high=1.0,
        y_format=percent_label,
        value_format=lambda share: f"{100 * share:.0f}",
        width=980.0,
    )


def _identity(run: RunFolder, seconds: dict[str, float]) -> tuple[tuple[str, Cell], ...]:
    recipe = run.recipe
    return (
        ("Recipe", recipe.name),
        ("Recipe sha256", recipe.sha256[:16]),
        ("Run", run.run_id),
        ("Seed", str(recipe.seed)),
        ("Training processes", str(recipe.processes)),
        ("Precision", ", ".join(sorted({stage.precision for stage in recipe.stages.values()}))),
        ("Tile", f"{recipe.model.tiling.tile_size} px, at most {recipe.model.tiling.max_tiles} and a thumbnail"),
        ("Total time", duration(sum(seconds.values())) if seconds else "not recorded"),
        ("Ledger", Badge("closes", "good")),
    )


def _sources(run: RunFolder) -> tuple[Block, ...]:
    rows = run.document("validation")["checks"]["rows"]
    cards = [run.cards[source] for source in run.sources]
    table = Table(
        caption="Sources",
        headers=("Source", "Category", "Train", "Held out", "What it is"),
        rows=tuple(
            (card.name, card.category, *(f"{rows[card.name][part]:,}" for part in PARTS), card.description)
            for card in cards
        ),
    )
    details = Table(
        headers=("Source", "Version", "Held out by", "Licence"),
        rows=tuple((card.name, card.version, card.split_key, card.licence) for card in cards),
    )
    return table, Details(summary="Versions, splits and licences of the sources", blocks=(details,))


def _network(run: RunFolder, parameters: dict[str, int]) -> Table:
    def trains(part: str, stage: str) -> Cell:
        return Badge("trains", "good") if part in run.recipe.stages[stage].trainable else Badge("frozen")

    rows: list[tuple[Cell, ...]] = [
        (part, f"{count:,}", *(trains(part, stage) for stage in STAGES)) for part, count in parameters.items()
    ]
    rows.append(("All", f"{sum(parameters.values()):,}", *("" for _ in STAGES)))
    return Table(
        caption="Network",
        headers=("Part", "Parameters", *(STAGE_NAMES[stage] for stage in STAGES)),
        rows=tuple(rows),
        total=True,
    )


def _times(seconds: dict[str, float]) -> Details:
    return Details(
        summary="Time of each step",
        blocks=(
            Table(headers=("Step", "Time"), rows=tuple((step, duration(value)) for step, value in seconds.items())),
        ),
    )
