"""Sample uses: which turns of which sample an epoch shows, and how much room they take."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from data.schema import Sample
from model.config import ModelSettings
from model.inputs.encode import SampleProblemError, placed_pairs, question_answer_pairs, text_ids
from model.inputs.preflight import check_written_tokens, file_sizes
from model.inputs.tokens import ChatTokenizer
from model.inputs.truncation import turns_that_fit
from model.recipe import StageSettings

USE_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("tiles", pa.int32(), nullable=False),
        pa.field("turns", pa.list_(pa.int32()), nullable=False),  # question-answer pairs, in the order shown
        pa.field("shard", pa.int32(), nullable=False),  # where the formatting step keeps the sample
        pa.field("row", pa.int32(), nullable=False),
    ]
)
PACK_SCHEMA = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("pack", pa.int32(), nullable=False),  # numbered over all epochs, in training order
        pa.field("order", pa.int32(), nullable=False),  # place of the sample in its pack
        *USE_SCHEMA,
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleUse:
    """One showing of a sample in one epoch; `shard` and `row` say where its formatted text and images are."""

    sample_id: str
    source: str
    category: str
    tokens: int
    tiles: int
    turns: tuple[int, ...]
    shard: int
    row: int


def draw_turns(
    pairs: int, draw: int | None, *, added: int = 0, seed: int, stage: str, epoch: int, sample_id: str
) -> tuple[int, ...]:
    """The pairs that an epoch shows of a conversation: all in order, or at most `draw` of them in random order.

    The last `added` pairs were made by augmentation: a draw shows them always and first, since a pair that is
    drawn away now and then would not have the share that the recipe gives it.
    """
    if draw is None:
        return tuple(range(pairs))
    always = tuple(range(pairs - added, pairs))[:draw]
    rest = range(pairs - added)
    generator = random.Random(f"{seed}/{stage}/{epoch}/{sample_id}")
    return always + tuple(generator.sample(rest, min(draw - len(always), len(rest))))


def uses_of(
    sample: Sample,
    place: tuple[int, int],
    *,
    tokenizer: ChatTokenizer,
    model: ModelSettings,
    settings: StageSettings,
    stage: str,
    seed: int,
) -> list[SampleUse]:
    """The sample's use in each epoch; `SampleProblemError` when one of them can't be trained on.

    A sample that is too long for a pack in any epoch is left out of all: it is counted once, as one sample. Where the
    stage truncates, it loses turns from the end instead, and the last answer its end.
    """
    pairs, sizes = len(question_answer_pairs(sample)), file_sizes(sample)
    known: dict[tuple[int, ...], SampleUse] = {}
    uses = []
    for epoch in range(settings.epochs):
        turns = draw_turns(
            pairs,
            settings.turns_per_sample,
            added=sum(entry.get("mode") != "replace" for entry in sample.meta.get("augmentation", [])),
            seed=seed,
            stage=stage,
            epoch=epoch,
            sample_id=sample.sample_id,
        )
        if settings.too_long == "truncate":
            turns = turns_that_fit(sample, tokenizer, model, turns, settings.capacity)
        if turns not in known:
            known[turns] = _use(sample, place, turns, sizes, tokenizer, model)
            if settings.too_long == "truncate":  # the rest of the last answer is cut off, by the loader too
                known[turns] = replace(known[turns], tokens=min(known[turns].tokens, settings.capacity))
            _check_room(known[turns], settings)
        uses.append(known[turns])
    return uses


def _use(
    sample: Sample,
    place: tuple[int, int],
    turns: tuple[int, ...],
    sizes: list[tuple[int, int]],
    tokenizer: ChatTokenizer,
    model: ModelSettings,
) -> SampleUse:
    """One showing, whose written text was checked against the image files, of `sizes` in pixels."""
    ids, (_, placed) = text_ids(sample, tokenizer, model, turns), placed_pairs(sample, turns)
    tiles = check_written_tokens(sample, ids, sizes[:placed], tokenizer, model)
    return SampleUse(
        sample_id=sample.sample_id,
        source=sample.source,
        category=sample.category,
        tokens=len(ids),
        tiles=tiles,
        turns=turns,
        shard=place[0],
        row=place[1],
    )


def _check_room(use: SampleUse, settings: StageSettings) -> None:
    if use.tokens > settings.capacity:
        raise SampleProblemError(
            "too_long", f"sample {use.sample_id}: {use.tokens} tokens, a pack holds {settings.capacity}"
        )
    if settings.max_tiles_per_pack is not None and use.tiles > settings.max_tiles_per_pack:
        raise SampleProblemError(
            "too_many_tiles", f"sample {use.sample_id}: {use.tiles} tiles, a pack holds {settings.max_tiles_per_pack}"
        )


def use_table(uses: Iterable[SampleUse]) -> pa.Table:
    """Rows of `USE_SCHEMA`."""
    rows = list(uses)
    return pa.table({name: [getattr(use, name) for use in rows] for name in USE_SCHEMA.names}, schema=USE_SCHEMA)
