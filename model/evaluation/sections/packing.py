"""Packing: sample lengths and pack fill of each stage, and the five metrics beside the other strategies'."""

from typing import Any

from data.reporting.html import Badge, Block, Cell, Chart, Details, Section, Table, Text
from data.reporting.scale import percent_label
from data.reporting.svg import Histogram
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import STAGE_NAMES
from model.inputs.packing_report import RANKS
from model.recipe import STAGES


def packing_section(run: RunFolder) -> Section:
    """From the report of each stage's packing step."""
    reports = {stage: run.document(f"packing/{stage}") for stage in STAGES}
    lengths = [_lengths(stage, reports[stage]) for stage in STAGES]
    fills = [_fill(stage, reports[stage]) for stage in STAGES]
    blocks: list[Block] = [
        Text(
            "Samples share packs of fixed capacity and never attend to each other. Fill is the share of a pack that "
            "holds tokens; length spread is the standard deviation of the samples' lengths inside a pack. Imbalance is "
            f"that of a step of {RANKS} ranks with one pack each: the heaviest rank's work for the mean rank's as 1. "
            "The plan knows no ranks; its hash names its content."
        ),
        _stages(reports),
        _evenness(reports),
        Chart(figures=tuple(lengths), caption="Length of the samples, tokens"),
        Chart(figures=tuple(fills), caption="Fill of the packs"),
        *(_strategies(stage, reports[stage]) for stage in STAGES if reports[stage].get("strategies")),
    ]
    return Section(title="Packing", blocks=tuple(blocks))


def _stages(reports: dict[str, dict[str, Any]]) -> Table:
    return Table(
        headers=("Stage", "Strategy", "Capacity", "Epochs", "Samples", "Uses", "Tokens", "Tiles", "Plan"),
        rows=tuple(
            (
                STAGE_NAMES[stage],
                str(report["strategy"]),
                *(f"{report[name]:,}" for name in ("capacity", "epochs", "samples", "uses", "tokens", "tiles")),
                report["plan_sha256"][:12],
            )
            for stage, report in reports.items()
        ),
    )


def _evenness(reports: dict[str, dict[str, Any]]) -> Table:
    return Table(
        headers=("Stage", *METRICS.values()),
        rows=tuple((STAGE_NAMES[stage], *_metrics(report["metrics"])) for stage, report in reports.items()),
    )


METRICS = {
    "packs": "Packs",
    "fill": "Fill",
    "samples_per_pack": "Samples per pack",
    "length_spread": "Length spread",
    "attention_imbalance": "Attention imbalance",
    "tile_imbalance": "Tile imbalance",
}


def _metrics(metrics: dict[str, float]) -> tuple[str, ...]:
    return (
        f"{metrics['packs']:,}",
        f"{100 * metrics['fill']:.1f} %",
        f"{metrics['samples_per_pack']:.1f} ± {metrics['samples_per_pack_std']:.1f}",
        f"{metrics['length_spread']:,.0f}",
        f"{metrics['attention_imbalance']:.2f}",
        f"{metrics['tile_imbalance']:.2f}",
    )


def _lengths(stage: str, report: dict[str, Any]) -> Histogram:
    found = report["length_histogram"]
    return Histogram(
        title=STAGE_NAMES[stage],
        x_label="tokens per sample",
        y_label="sample uses",
        edges=tuple(found["edges"]),
        counts=tuple(found["counts"]),
        colour=3,
    )


def _fill(stage: str, report: dict[str, Any]) -> Histogram:
    found = report["fill_histogram"]
    return Histogram(
        title=STAGE_NAMES[stage],
        x_label="fill",
        y_label="packs",
        edges=tuple(found["edges"]),
        counts=tuple(found["counts"]),
        x_format=percent_label,
        colour=5,
    )


def _strategies(stage: str, report: dict[str, Any]) -> Details:
    def name_of(name: str) -> Cell:
        return Badge(name, "good") if name == report["strategy"] else name

    return Details(
        summary=f"{STAGE_NAMES[stage]}: {report['compared']:,} samples of the first epoch under every packing strategy",
        blocks=(
            Table(
                headers=("Strategy", *METRICS.values()),
                rows=tuple((name_of(name), *_metrics(found)) for name, found in report["strategies"].items()),
            ),
        ),
    )
