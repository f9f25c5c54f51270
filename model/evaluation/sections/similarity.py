"""Similarity gate: S per source (Eq. 1 of the paper), the decision, and nearest neighbours side by side."""

from typing import Any

from data.reporting.html import Badge, Cell, Pairs, Picture, Section, Table, Text, Tone
from data.schema import Sample, first_question
from model.evaluation.run_folder import RunFolder

PAIRS_PER_SOURCE = 2
TONES: dict[str, Tone] = {"admit": "good", "flag": "warn", "reject": "bad"}


def similarity_section(run: RunFolder) -> Section:
    """Scores and pairs; a high score means that the pool already holds the like."""
    report = run.document("gate")
    entries, duplicates = report["sources"], report["near_duplicates"]
    gate = run.recipe.data.gate
    return Section(
        title="Similarity gate",
        blocks=(
            Text(
                "S is the mean over a source's rows of the highest product of image and text cosine with any row of "
                f"the pool (the sources of its category that came before). Above {gate.flag_above} a source is "
                f"flagged, above {gate.reject_above} rejected. The first source of a "
                "category has no pool to compare with."
            ),
            Table(headers=("Source", "Category", "Rows", "S", "S across categories", "Decision"), rows=_rows(entries)),
            Text(
                f"{duplicates['count']:,} near-duplicates removed, {duplicates['exact']:,} of them exact "
                f"(threshold {duplicates['threshold']})."
            ),
            Pairs(items=_pairs(run, entries), caption="The rows most like another source"),
        ),
    )


def _rows(entries: list[dict[str, Any]]) -> tuple[tuple[Cell, ...], ...]:
    def shown(score: float | None) -> str:
        return "–" if score is None else f"{score:.3f}"

    return tuple(
        (
            entry["source"],
            entry["category"],
            f"{entry['rows']:,}",
            shown(entry["score"]),
            shown(entry["cross_category_score"]),
            Badge(entry["decision"], TONES.get(entry["decision"], "plain")),
        )
        for entry in entries
    )


def _pairs(run: RunFolder, entries: list[dict[str, Any]]) -> tuple[tuple[str, Picture, Picture], ...]:
    chosen = [(entry, pair) for entry in entries for pair in entry["neighbours"][:PAIRS_PER_SOURCE]]
    samples = run.find(key for _, pair in chosen for key in (pair["sample_id"], pair["nearest_id"]))
    items: list[tuple[str, Picture, Picture]] = []
    for entry, pair in chosen:
        ours, nearest = samples[pair["sample_id"]], samples[pair["nearest_id"]]
        if ours.images and nearest.images:
            where = "" if entry.get("neighbours_from") == "category" else ", another category"
            headline = f"{ours.source} and {nearest.source}: {pair['similarity']:.3f}{where}"
            items.append((headline, _picture(ours), _picture(nearest)))
    return tuple(items)


def _picture(sample: Sample) -> Picture:
    return Picture(sample.images[0].bytes or b"", first_question(sample))
