"""Similarity gate: S per source (Eq. 1 of the paper), the decision, benchmark rows and duplicates, side by side."""

from collections.abc import Mapping
from typing import Any

from data.reporting.html import Badge, Block, Cell, Section, Table, Text, Tone
from data.schema import Sample, table_to_samples
from data.storage import parquet_table
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.sample_pairs import SamplePair, pair_blocks

PAIRS_PER_SOURCE = 2
TONES: dict[str, Tone] = {"admit": "good", "flag": "warn", "reject": "bad"}
RULES = {
    "both": "image and text cosine lie above the thresholds",
    "image": "image cosine lies above its threshold",
    "text": "text cosine lies above its threshold",
    "either": "image or text cosine lies above its threshold",
}


def similarity_section(run: RunFolder) -> Section:
    """Scores and pairs; a high score means that the pool already holds the like."""
    report = run.document("gate")
    near = _near_source(report["sources"])
    leaked, copies = _leaked(report["contamination"]), _copies(report["near_duplicates"])
    samples = _samples(run, [*near, *leaked, *copies])
    return Section(
        title="Similarity gate",
        blocks=(
            Text(_scores_in_words(report)),
            _scores(report["sources"]),
            *pair_blocks(near, samples, "The rows most like another source"),
            Text(_contamination_in_words(report["contamination"])),
            *_contamination(report["contamination"]),
            *pair_blocks(leaked, samples, "Training rows beside the benchmark rows that they resemble"),
            Text(_duplicates_in_words(report["near_duplicates"])),
            *_duplicates(report["near_duplicates"]),
            *pair_blocks(copies, samples, "Duplicates beside the rows that stay"),
        ),
    )


def _scores_in_words(report: dict[str, Any]) -> str:
    pool = report["pool"]
    existing = f" and {pool['rows']:,} rows of {pool['uri']}" if pool else ""
    sampled = any(entry["cross_category_sampled"] for entry in report["sources"])
    return (
        "S is the mean over a source's rows of the highest product of image and text cosine with any row of the pool: "
        f"the sources of its category that came before{existing}. Above its category's thresholds a source is flagged "
        "(kept, for a person to look at) or rejected. Without a pool there is nothing to compare with."
        + (" S across categories comes from seeded samples of the rows, so it is a little low." if sampled else "")
    )


def _scores(entries: list[dict[str, Any]]) -> Table:
    def shown(score: float | None) -> str:
        return "–" if score is None else f"{score:.3f}"

    rows: list[tuple[Cell, ...]] = [
        (
            entry["source"],
            entry["category"],
            f"{entry['rows']:,}",
            f"{entry['pool_rows']:,}",
            shown(entry["score"]),
            f"{entry['flag_above']:g} / {entry['reject_above']:g}",
            shown(entry["cross_category_score"]),
            Badge(entry["decision"], TONES.get(entry["decision"], "plain")),
        )
        for entry in entries
    ]
    headers = ("Source", "Category", "Rows", "Pool", "S", "Flag / reject above", "S across categories", "Decision")
    return Table(headers=headers, rows=tuple(rows))


def _near_source(entries: list[dict[str, Any]]) -> list[SamplePair]:
    pairs = []
    for entry in entries:
        other = "" if entry["neighbours_from"] == "category" else ", another category"
        for pair in entry["neighbours"][:PAIRS_PER_SOURCE]:
            place = pair["nearest_source"] + (" of the existing pool" if pair["nearest_from"] == "pool" else "")
            pairs.append(_pair(pair["sample_id"], pair["nearest_id"], place, f"{pair['similarity']:.3f}{other}"))
    return pairs


def _contamination_in_words(found: dict[str, Any]) -> str:
    if found["rule"] == "none":
        return "Benchmark decontamination is off in this recipe."
    sets = ", ".join(f"{name} ({rows:,} rows)" for name, rows in found["sets"].items()) or "no set"
    turns = " and all answers and further turns are equal" if found["turns"] == "equal" else ""
    return (
        f"Benchmark decontamination against {sets}: {found['count']:,} training rows dropped. A row goes when "
        f"{RULES[found['rule']]} (image {found['image_above']:g}, text {found['text_above']:g}; rows without images go "
        f"by text){turns}."
    )


def _contamination(found: dict[str, Any]) -> tuple[Block, ...]:
    rows = [(source, name, f"{n:,}") for source, sets in found["by_source"].items() for name, n in sets.items()]
    return (Table(headers=("Source", "Resembles", "Rows dropped"), rows=tuple(rows)),) if rows else ()


def _leaked(found: dict[str, Any]) -> list[SamplePair]:
    return [
        _pair(pair["sample_id"], pair["benchmark_id"], f"benchmark {pair['benchmark']}", _cosines(pair))
        for pair in found["examples"]
    ]


def _duplicates_in_words(found: dict[str, Any]) -> str:
    return (
        f"{found['count']:,} near-duplicates removed, {found['exact']:,} of them exact (threshold "
        f"{found['threshold']:g}): {found['within_sources']:,} inside a source, {found['across_sources']:,} across."
    )


def _duplicates(found: dict[str, Any]) -> tuple[Block, ...]:
    rows = tuple((pair["source"], pair["kept_source"], f"{pair['count']:,}") for pair in found["pairs"])
    return (Table(headers=("Source", "Has duplicates of", "Rows dropped"), rows=rows),) if rows else ()


def _copies(found: dict[str, Any]) -> list[SamplePair]:
    return [
        _pair(pair["sample_id"], pair["kept_id"], pair["kept_source"], _cosines(pair)) for pair in found["examples"]
    ]


def _cosines(pair: dict[str, Any]) -> str:
    return f"image {pair['image_similarity']:.4f}, text {pair['text_similarity']:.4f}"


def _pair(sample_id: str, other_id: str, place: str, note: str) -> SamplePair:
    return SamplePair(sample_id=sample_id, other_id=other_id, other_place=place, note=note)


def _samples(run: RunFolder, pairs: list[SamplePair]) -> Mapping[str, Sample]:
    """Training samples from the validation step, others from what the gate put beside its report."""
    elsewhere = table_to_samples(parquet_table(run.attachment("gate", "examples")))
    found = run.find(key for pair in pairs for key in (pair.sample_id, pair.other_id))
    return {**{sample.sample_id: sample for sample in elsewhere}, **found}
