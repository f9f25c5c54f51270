"""Selection: how each category's stage-2 subset was drawn, cluster by cluster, with a mosaic of its pictures."""

from typing import Any

from data.reporting.html import Block, Chart, Details, Mosaic, MosaicRow, Section, Table, Text
from data.reporting.scale import plain_number
from data.reporting.svg import GroupedBars
from data.schema import Sample, first_question
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import STAGE_NAMES, percent
from model.recipe import STAGES

SHOWN_CLUSTERS, SHOWN_PER_CLUSTER, SHOWN_BARS = 16, 8, 24


def selection_section(run: RunFolder) -> Section:
    """Strategies, quotas, rows per stage; for clustered categories sizes before and after and the mosaic."""
    report = run.document("selection")
    categories: dict[str, dict[str, Any]] = report["categories"]
    wanted = [key for entry in categories.values() for cluster in _shown(entry) for key in _ids(cluster)]
    samples = run.find(wanted, "filtering")
    blocks: list[Block] = [
        Text(
            "Stage 1.5 trains on every sample that is left, stage 1 on a seeded share, stage 2 on a subset per "
            "category: K-means on image vectors and a balanced draw from the clusters, or rows that stand best for "
            "all others in image and text (coverage), where the recipe says so; otherwise a random draw or all."
        ),
        _strategies(categories),
        *_coverage(categories),
        *_sources(report.get("sources", [])),
        _stages(report.get("stages", {}), list(categories)),
    ]
    clustered = [(name, entry) for name, entry in categories.items() if entry.get("clusters")]
    blocks += [_clusters(name, entry, samples) for name, entry in clustered]
    return Section(title="Selection", blocks=tuple(blocks))


def _shown(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The largest clusters of a category."""
    return sorted(entry.get("mosaic") or [], key=lambda cluster: (-cluster["size"], cluster["cluster"]))[
        :SHOWN_CLUSTERS
    ]


def _ids(cluster: dict[str, Any]) -> list[str]:
    return list(cluster["sample_ids"][:SHOWN_PER_CLUSTER])


def _strategies(categories: dict[str, dict[str, Any]]) -> Table:
    return Table(
        caption="Stage-2 subset by category",
        headers=("Category", "Strategy", "Clusters", "Quota", "Rows", "Kept", "Clusters covered, %"),
        rows=tuple(
            (
                name,
                str(entry["strategy"]),
                _count(entry.get("clusters")),
                _count(entry.get("quota")),
                f"{entry['of']:,}",
                f"{entry['kept']:,}",
                percent(entry.get("coverage")),
            )
            for name, entry in categories.items()
        ),
    )


def _coverage(categories: dict[str, dict[str, Any]]) -> tuple[Block, ...]:
    """How near the chosen rows lie to the population, beside a random draw of equal size."""
    rows = tuple(
        (
            name,
            label,
            f"{entry['compared'][draw]['mean_distance']:.3f}",
            f"{entry['compared'][draw]['tail_distance']:.3f}",
            percent(entry["compared"][draw]["within_radius"]),
        )
        for name, entry in categories.items()
        if entry.get("compared")
        for draw, label in (("draw", str(entry["strategy"])), ("random", "random, equal size"))
    )
    headers = ("Category", "Draw", "Mean distance", "95 % lie nearer than", "Within radius, %")
    caption = "Distance (1 - cosine) from all rows to the nearest chosen one; the radius is the random draw's median"
    return (Table(caption=caption, headers=headers, rows=rows),) if rows else ()


def _sources(sources: list[dict[str, Any]]) -> tuple[Block, ...]:
    """The quota of each source, by which rule, and what was kept."""
    if all(entry["rule"] == "all" for entry in sources):
        return ()
    rows = [
        (
            entry["source"],
            "machine" if entry["auto_labelled"] else "",
            entry["rule"],
            f"{entry['rows']:,}",
            f"{entry['quota']:,}",
            f"{entry['kept']:,}",
            percent(entry["kept"] / entry["rows"] if entry["rows"] else None),
        )
        for entry in sources
    ]
    sums = (f"{sum(entry[key] for entry in sources):,}" for key in ("rows", "quota", "kept"))
    table = Table(
        caption="Stage-2 quota by source",
        headers=("Source", "Labels", "Rule", "Rows", "Quota", "Kept", "Kept, %"),
        rows=(*rows, ("All", "", "", *sums, "")),
        total=True,
    )
    return (table,)


def _count(value: Any) -> str:
    """A number, or the length of a list, or a dash."""
    if isinstance(value, list | dict):
        value = len(value)
    return f"{value:,}" if value else "–"


def _stages(stages: dict[str, dict[str, int]], categories: list[str]) -> Table:
    return Table(
        caption="Rows per stage",
        headers=("Category", *(STAGE_NAMES[stage] for stage in STAGES)),
        rows=tuple(
            (category, *(f"{stages.get(stage, {}).get(category, 0):,}" for stage in STAGES)) for category in categories
        ),
    )


def _clusters(name: str, entry: dict[str, Any], samples: dict[str, Sample]) -> Details:
    shown = _shown(entry)
    rows = tuple(
        MosaicRow(f"Cluster {cluster['cluster']}", _note(cluster, samples), _images(_ids(cluster), samples))
        for cluster in shown
    )
    return Details(
        summary=f"{name}: {len(entry.get('mosaic') or [])} clusters",
        open=True,
        blocks=(
            Chart(figures=(_sizes(entry),)),
            Mosaic(rows=rows, caption="Cluster mosaic: the largest clusters, pictures nearest to the centre first"),
        ),
    )


def _note(cluster: dict[str, Any], samples: dict[str, Sample]) -> str:
    """The size; for samples without pictures also the question nearest to the centre."""
    first = next((samples[key] for key in _ids(cluster) if key in samples), None)
    question = "" if first is None or first.images else f": {first_question(first)}"
    return f"{cluster['size']:,} samples{question}"


def _images(sample_ids: list[str], samples: dict[str, Sample]) -> tuple[bytes, ...]:
    found = [samples[key] for key in sample_ids if key in samples]
    return tuple(sample.images[0].bytes or b"" for sample in found if sample.images)


def _sizes(entry: dict[str, Any]) -> GroupedBars:
    before, after = _numbers(entry.get("before")), _numbers(entry.get("after"))
    clusters = sorted({*before, *after}, key=lambda cluster: (-before.get(cluster, 0), cluster))[:SHOWN_BARS]
    series = (("before", before), ("after the balanced draw", after))
    return GroupedBars(
        title="Cluster sizes before and after the draw, largest clusters first",
        y_label="samples",
        groups=tuple(str(cluster) for cluster in clusters),
        series=tuple((label, tuple(sizes.get(cluster, 0) for cluster in clusters)) for label, sizes in series),
        value_format=plain_number,
        whole=True,
        first_colour=2,
        width=980.0,
        height=220.0,
    )


def _numbers(sizes: Any) -> dict[int, int]:
    """Sizes by cluster number, from a list or from a JSON object."""
    if isinstance(sizes, dict):
        return {int(cluster): int(size) for cluster, size in sizes.items()}
    return {cluster: int(size) for cluster, size in enumerate(sizes or [])}
