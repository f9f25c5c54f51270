"""Overlong conversations lose turns and the end of an answer, never a part of an image or a question."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import Turn, make_sample
from data.storage import Manifest, commit, read_attachment, read_manifest, write_samples
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX
from model.inputs.encode import SampleProblemError, encode_sample, token_count
from model.inputs.loader import PackLoader
from model.inputs.tokens import ChatTokenizer, train_bpe
from model.inputs.truncation import turns_that_fit
from model.recipe import load_recipe
from model.steps import pack_stage, train_tokenizer

SETTINGS = ModelSettings.model_validate(
    {"tiling": {"tile_size": 32, "max_tiles": 2}, "siglip": {"patch_size": 8}, "system_prompt": "Be brief."}
)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(train_bpe(["what colour is it?", "red", "blue", "user\n", "assistant\n"] * 9, 320))


def sample_of(turns: list[tuple[int, str, str]]):
    """A conversation of (images, question, answer)."""
    picture = image_ref(encode_png(Image.new("RGB", (64, 32), "red")), "red.png")  # three tiles, 12 tokens
    texts = [text for count, question, answer in turns for text in ("<image>" * count + question, answer)]
    conversation = tuple(Turn(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts))
    images = (picture,) * sum(count for count, *_ in turns)
    meta = {"stages": ["stage_1"]}
    return make_sample(source="here", category="general_vqa", images=images, conversations=conversation, meta=meta)


TALK = [(1, "what?", "red"), (0, "sure?", "yes it is"), (1, "and this?", "blue as the sea is at noon")]


def test_whole_turns_go_first(tokenizer):
    sample = sample_of(TALK)
    lengths = [token_count(sample, tokenizer, SETTINGS, range(count)) for count in (1, 2, 3)]
    for count, length in enumerate(lengths, start=1):
        assert turns_that_fit(sample, tokenizer, SETTINGS, (0, 1, 2), length) == tuple(range(count))
    assert turns_that_fit(sample, tokenizer, SETTINGS, (0, 1, 2), lengths[2] - 1) == (0, 1)
    assert turns_that_fit(sample, tokenizer, SETTINGS, (0, 1, 2), lengths[0] - 1) == (0,)


def test_the_order_shown_decides_what_goes(tokenizer):
    sample = sample_of(TALK)
    room = token_count(sample, tokenizer, SETTINGS, (1, 0)) - 1
    assert turns_that_fit(sample, tokenizer, SETTINGS, (1, 0), room) == (1,)


def test_a_cut_answer_keeps_its_beginning_and_loses_its_end(tokenizer):
    sample = sample_of([(1, "what?", "blue as the sea is at noon")])
    whole = encode_sample(sample, tokenizer, SETTINGS)
    first = int(np.flatnonzero(whole.labels != IGNORE_INDEX)[0])
    for room in range(first + 1, len(whole.input_ids) + 1):
        assert turns_that_fit(sample, tokenizer, SETTINGS, (0,), room) == (0,)
        cut = encode_sample(sample, tokenizer, SETTINGS, (0,), max_tokens=room)
        assert len(cut.input_ids) == room == token_count(sample, tokenizer, SETTINGS, (0,), max_tokens=room)
        assert (cut.input_ids == whole.input_ids[:room]).all()
        assert (cut.labels == whole.labels[:room]).all()
        assert len(cut.tiles) == 3
    shorter = encode_sample(sample, tokenizer, SETTINGS, (0,), max_tokens=len(whole.input_ids) - 2)
    assert tokenizer.im_end_id not in shorter.labels
    with pytest.raises(
        SampleProblemError, match=f"{first} tokens before the answer, there is room for {first}"
    ) as caught:
        turns_that_fit(sample, tokenizer, SETTINGS, (0,), first)
    assert caught.value.reason == "too_long"


@settings(max_examples=80, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.text(max_size=9), st.text(max_size=20)), min_size=1, max_size=4),
    room=st.integers(10, 200),
)
def test_no_image_and_no_question_is_ever_cut(tokenizer, turns, room):
    sample = sample_of(turns)
    try:
        kept = turns_that_fit(sample, tokenizer, SETTINGS, range(len(turns)), room)
    except SampleProblemError:
        return
    cut = encode_sample(sample, tokenizer, SETTINGS, kept, max_tokens=room)
    whole = encode_sample(sample, tokenizer, SETTINGS, kept)
    assert len(cut.input_ids) == min(len(whole.input_ids), room)
    gone = whole.labels[len(cut.labels) :]
    assert (gone[:-1] != IGNORE_INDEX).all()  # of an answer, but for the line end after it
    assert (cut.input_ids == tokenizer.image_context_id).sum() == 4 * len(cut.tiles)
    assert (cut.input_ids == tokenizer.image_end_id).sum() == sum(count for count, *_ in turns[: len(kept)])
    assert (cut.labels != IGNORE_INDEX).any()
    assert len(kept) == 1 or len(whole.input_ids) <= room


@pytest.mark.parametrize("too_long", ["drop", "truncate"])
def test_the_recipe_decides_between_dropping_and_truncating(tmp_path, too_long):
    run = build_run(tmp_path, too_long)
    recipe, packing = load_recipe(str(run / "recipe.yaml")), read_manifest(str(run / "packing"))
    loader = PackLoader.open(recipe, "stage_1", *(str(run / name) for name in ("packing", "formatting", "tokenizer")))
    packs = [loader.pack(number) for number in range(len(loader))]
    shown = {
        name: length for pack in packs for name, length in zip(pack.sample_ids, np.diff(pack.cu_seqlens), strict=True)
    }
    [count] = packing.counts
    assert count.rows_in == 3
    assert count.rows_out == len(shown) == (3 if too_long == "truncate" else 1)
    assert count.dropped == ({} if too_long == "truncate" else {"too_long": 2})
    assert max(shown.values()) == (100 if too_long == "truncate" else min(shown.values()))
    assert b'"samples"' in read_attachment(str(run / "packing"), packing, "report")


def build_run(run: Path, too_long: str) -> Path:
    """Packing of three samples: one fits, one fits without its last turn, one has an endless answer."""
    stage = {"learning_rate": 1e-3, "capacity": 100, "too_long": too_long}
    document = {
        "name": "truncation",
        "seed": 7,
        "data": {"sources": [{"name": "here"}]},
        "model": {
            "tiling": {"tile_size": 32, "max_tiles": 2},
            "siglip": {"patch_size": 8},
            "tokenizer": {"vocab_size": 320},
        },
        "stages": {"stage_1": stage, "stage_1_5": stage, "stage_2": stage},
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    samples = [
        sample_of([(1, "what?", "red")]),
        sample_of([(1, "what?", "red"), (1, "and?", "green " * 40)]),
        sample_of([(1, "what?", "blue " * 90)]),
    ]
    tally = Tally("formatting")
    tally.take("here", 3)
    tally.keep("here", 3)
    formatting, tokenizer = str(run / "formatting"), str(run / "tokenizer")
    shards = write_samples(formatting, samples)
    commit(
        formatting,
        Manifest(
            step="formatting", fingerprint="f", recipe_sha256="", rows=3, shards=shards, counts=tally.counts(),
        ),
    )  # fmt: skip
    train_tokenizer(str(run / "recipe.yaml"), "", formatting, tokenizer)
    pack_stage(str(run / "recipe.yaml"), "", "stage_1", formatting, tokenizer, str(run / "packing"))
    return run
