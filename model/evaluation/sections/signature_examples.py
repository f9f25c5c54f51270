"""Example outputs of a failure signature beside training samples with the same pattern."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from data.reporting.html import Block, Gallery, Pairs, Picture, Table
from data.schema import Sample, plain_text
from model.evaluation.sections.rewriting import short
from model.evaluation.signatures.finding import Example, Signature
from model.evaluation.signatures.tracing import SourcePattern, TrainingExample

SHOWN = 4
TEXT_CHARS = 240


def example_blocks(
    found: Signature,
    sources: Mapping[str, SourcePattern],
    heldout: Mapping[str, Sample],
    samples: Mapping[str, Sample],
) -> tuple[Block, ...]:
    """Pictured outputs beside pictured training samples; what has no picture, or no partner, in tables.

    `heldout` and `samples` give pictures by sample id; whoever is in neither is shown by words.
    """
    taught = _spread(sources)
    outputs = [one for one in found.examples if _picture(heldout, one.sample_id)][:SHOWN]
    pictured = [(source, one) for source, one in taught if _picture(samples, one.sample_id)][: len(outputs)]
    pairs = tuple(
        (
            f"{output.source} beside training source {source}",
            Picture(_picture(heldout, output.sample_id), _said(output)),
            Picture(_picture(samples, one.sample_id), f"{_cut(plain_text(one.question))}\nAnswer: {_cut(one.answer)}"),
        )
        for output, (source, one) in zip(outputs, pictured, strict=False)
    )
    alone = tuple(Picture(_picture(heldout, one.sample_id), _said(one)) for one in outputs[len(pairs) :])
    blocks: list[Block] = []
    if pairs:
        blocks.append(Pairs(caption="Outputs beside training answers with the same pattern", items=pairs))
    if alone:
        blocks.append(Gallery(caption="Outputs", items=alone))
    return (*blocks, *_tables(found, taught, {one.question_id for one in outputs}, pictured))


def _tables(
    found: Signature,
    taught: Sequence[tuple[str, TrainingExample]],
    shown: set[str],
    pictured: Sequence[tuple[str, TrainingExample]],
) -> list[Block]:
    outputs = tuple(
        (one.source, one.question_id, _cut(plain_text(one.prompt)), _visible(one.output), _cut(one.answer), one.mark)
        for one in found.examples
        if one.question_id not in shown
    )
    answers = tuple(
        (source, _cut(plain_text(one.question)), _visible(one.answer), one.mark)
        for source, one in taught
        if (source, one) not in pictured
    )
    tables: list[Block] = []
    if outputs:
        columns = ("Source", "Question id", "Question", "Output", "Reference", "Pattern")
        tables.append(Table(caption="Outputs in words", headers=columns, rows=outputs))
    if answers:
        headers = ("Source", "Question", "Answer", "Pattern")
        tables.append(Table(caption="Training answers in words", headers=headers, rows=answers))
    return tables


def _spread(sources: Mapping[str, SourcePattern]) -> list[tuple[str, TrainingExample]]:
    """The first example of each source, then the second of each, and so on."""
    columns = [[(source, example) for example in one.examples] for source, one in sources.items()]
    return [item for item in chain.from_iterable(zip_longest(*columns)) if item is not None][: 2 * SHOWN]


def _picture(samples: Mapping[str, Sample], sample_id: str) -> bytes:
    sample = samples.get(sample_id)
    return (sample.images[0].bytes or b"") if sample is not None and sample.images else b""


def _said(one: Example) -> str:
    question, output = _cut(plain_text(one.prompt)), _visible(one.output)
    return f"{question}\nOutput: {output}\nReference: {_cut(one.answer)}\nPattern: {one.mark}"


def _visible(text: str) -> str:
    return _cut(text) if text.strip() else "(nothing)"


def _cut(text: str) -> str:
    text = short(text)
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "…"
