"""Two samples side by side: pictures where both have one, words where not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data.reporting.html import Block, Pairs, Picture, Table
from data.schema import Sample, first_question

TEXT_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePair:
    """Ids of two samples and what is said of them; `other_place` names where the second one comes from."""

    sample_id: str
    other_id: str
    other_place: str
    note: str


def pair_blocks(pairs: Iterable[SamplePair], samples: Mapping[str, Sample], caption: str) -> tuple[Block, ...]:
    """Every pair once: as pictures, or as a row of texts when one has no picture or its sample isn't at hand."""
    pictured: list[tuple[str, Picture, Picture]] = []
    written: list[tuple[str, str, str, str]] = []
    for pair in pairs:
        one, other = samples[pair.sample_id], samples.get(pair.other_id)
        if other is not None and one.images and other.images:
            headline = f"{one.source} and {pair.other_place}: {pair.note}"
            pictured.append((headline, _picture(one), _picture(other)))
        else:
            written.append((one.source, _words(one, pair.sample_id), _words(other, pair.other_id), pair.note))
    blocks: list[Block] = [Pairs(items=tuple(pictured), caption=caption)] if pictured else []
    if written:
        headers = ("Source", "Sample", "Its counterpart", "Similarity")
        blocks.append(Table(headers=headers, rows=tuple(written), caption=f"{caption}, without pictures"))
    return tuple(blocks)


def _picture(sample: Sample) -> Picture:
    return Picture(sample.images[0].bytes or b"", _short(first_question(sample)))


def _words(sample: Sample | None, sample_id: str) -> str:
    if sample is None:
        return f"sample {sample_id} of the existing pool (data.gate.pool_rows would show it)"
    return _short(first_question(sample)) or f"sample {sample_id}, which asks nothing"


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…"
