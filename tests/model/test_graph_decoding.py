"""Decoding in fixed places against the growing cache. The steps are the GPU's, run one kernel at a time."""

import numpy as np
import pytest
import torch

from model.evaluation.batches import BatchedDecoding, Prompt
from model.generation import continue_prompts, embed_prompts, image_features
from model.generation_rows import Rows
from model.graph_decoding import COLUMNS, STEPS_AT_ONCE, GraphDecoder
from model.key_values import bytes_per_token
from model.vlm import build_model

NEW = 9


@pytest.fixture(scope="module", params=[2, 4])
def model(request, tiny_settings):
    """Grouped key heads, and one for each query head."""
    language = tiny_settings.language.model_copy(update={"num_kv_heads": request.param})
    built = build_model(tiny_settings.model_copy(update={"language": language}), 96, 90, seed=3).eval()
    with torch.no_grad():
        for parameter in built.language.parameters():
            if parameter.ndim == 2:  # far from uniform logits: no ties
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(parameter)))
        built.language.lm_head.weight[90] = 0
    return built


@pytest.fixture
def prompts(encoded):
    return [encoded(6, 0, 1), encoded(9, 1, 2), encoded(12, 2, 3), encoded(3, 0, 4), encoded(5, 2, 5)]


def decoder(model, rows=8, **options):
    return GraphDecoder(model.language, max_rows=rows, capture=False, **options)


def answered(made, embedded, **options):
    """The decoder's answers in the prompts' order, each given once."""
    found = {}
    for some in made.answers([len(prompt) for prompt in embedded], embedded.__getitem__, **options):
        assert not some.keys() & found.keys()
        found |= some
    return [found[number] for number in range(len(embedded))]


def both(model, prompts, made, **options):
    """What the growing cache gives, and what `made` gives."""
    embedded = embed_prompts(model, prompts)
    return continue_prompts(model.language, embedded, **options), answered(made, embedded, **options)


@pytest.mark.parametrize("limit", [0, 1, 4, 5, NEW, [3, 9, 0, 1, 6]])
def test_answers_are_those_of_the_growing_cache(model, prompts, limit):
    expected, found = both(model, prompts, decoder(model), end_ids=[], max_new_tokens=limit)
    assert found == expected
    assert [len(row) for row in found] == (limit if isinstance(limit, list) else [limit] * len(prompts))


def test_rows_end_before_an_end_token(model, prompts):
    free = continue_prompts(model.language, embed_prompts(model, prompts), end_ids=[], max_new_tokens=NEW)
    ends = [free[0][2], free[2][5]]
    expected, found = both(model, prompts, decoder(model), end_ids=ends, max_new_tokens=NEW)
    assert found == expected != free


def test_a_decoder_keeps_nothing_of_earlier_batches(model, prompts):
    made = decoder(model)
    for batch in (prompts, prompts[::-1], prompts[1:2], prompts[2:], prompts):
        expected, found = both(model, batch, made, end_ids=[], max_new_tokens=NEW)
        assert found == expected


def test_prompts_in_several_passes(model, prompts, monkeypatch):
    monkeypatch.setattr("model.graph_decoding.PREFILL_TOKENS", 40)
    passes = []
    embedded = embed_prompts(model, prompts)
    expected = continue_prompts(model.language, embedded, end_ids=[], max_new_tokens=NEW)
    handle = model.language.model.register_forward_hook(
        lambda _, __, given, ___: passes.append(given["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        found = answered(decoder(model), embedded, end_ids=[], max_new_tokens=NEW)
    finally:
        handle.remove()
    assert passes == [6 + 25, 44, 3 + 37] + [1] * (NEW - 1)
    assert found == expected


def test_no_more_steps_than_needed(model, prompts):
    """The rest of the steps that are fetched together, at most."""
    made, calls = decoder(model), []
    handle = model.language.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        embedded = embed_prompts(model, prompts[:2])
        first = answered(made, embedded[:1], end_ids=[], max_new_tokens=1)[0][0]
        assert len(calls) == 1, "the first token comes from the prefill"
        calls.clear()
        assert answered(made, embedded[:1], end_ids=[first], max_new_tokens=40) == [[]]
        assert len(calls) == 1 + STEPS_AT_ONCE
        calls.clear()
        answered(made, embedded, end_ids=[], max_new_tokens=7)
        assert len(calls) == 7
    finally:
        handle.remove()


@pytest.mark.parametrize(("rows", "refill"), [(1, 0.25), (2, 0.25), (3, 1.0), (4, 0.25)])
def test_prompts_enter_where_answers_have_ended(model, prompts, encoded, monkeypatch, rows, refill):
    """Whoever sat there before, and however far a row ran on: nothing of it is seen, and neighbours are left alone."""
    monkeypatch.setattr("model.graph_decoding.REFILL", refill)
    many = [*prompts, *(encoded(4 + number, number % 3, 20 + number) for number in range(8))]
    limits = [(3, 1, 17, 6, 0, 2)[number % 6] for number in range(len(many))]
    free = continue_prompts(model.language, embed_prompts(model, many), end_ids=[], max_new_tokens=limits)
    ends = [free[2][4]]
    for end_ids in ([], ends):
        expected, found = both(model, many, decoder(model, rows), end_ids=end_ids, max_new_tokens=limits)
        assert found == expected
    assert found != free


def test_a_row_that_runs_on_stays_inside_its_columns(model, prompts, monkeypatch):
    """The first, of 44 tokens, is over at once; 57 steps later it would stand in the middle of the second."""
    monkeypatch.setattr("model.graph_decoding.COLUMNS", 64)
    expected, found = both(model, prompts[2:4], decoder(model, 2), end_ids=[], max_new_tokens=[1, 58])
    assert found == expected


def test_a_cache_with_less_room_answers_fewer_at_a_time(model, prompts):
    made = decoder(model, rows=4, cache_bytes=2 * COLUMNS * bytes_per_token(model.language))
    expected, found = both(model, prompts, made, end_ids=[], max_new_tokens=NEW)
    assert found == expected
    assert list(made._steps) == [(2, COLUMNS)]
    assert made.fits(2 * COLUMNS)
    assert not made.fits(2 * COLUMNS + 1)
    with pytest.raises(ValueError, match="a row of 3072 tokens has no room in a cache of 2048"):
        answered(made, embed_prompts(model, prompts[:1]), end_ids=[], max_new_tokens=2 * COLUMNS)


def asked(model, prompts):
    """The prompts as evaluation has them, and their views' features."""
    made = [
        Prompt(places=(place,), source="a", view=str(place), input_ids=torch.from_numpy(prompt.input_ids), limit=NEW)
        for place, prompt in enumerate(prompts)
    ]
    features = image_features(model, [prompt.tiles for prompt in prompts], 4)
    return made, {str(place): part for place, part in enumerate(features)}


def test_shapes_are_decoded_apart_and_what_has_no_room_as_on_a_cpu(model, prompts, encoded):
    longer, longest = encoded(COLUMNS, 1, 9), encoded(2 * COLUMNS, 1, 8)
    made, features = asked(model, [longest, *prompts, longer])
    decoding = BatchedDecoding(model, batch_size=4, end_ids=[])
    assert decoding.decoder is None, "on a CPU the cache grows"
    expected = rows_of(decoding, made, features)
    assert len(expected) == len(prompts) + 2
    decoding.decoder = decoder(model, rows=4, cache_bytes=2 * COLUMNS * bytes_per_token(model.language))
    assert rows_of(decoding, made, features) == expected
    assert list(decoding.decoder._steps) == [(2, COLUMNS), (1, 2 * COLUMNS)]


def rows_of(decoding, made, features):
    """Answers by the prompts' places."""
    done = [pair for some, rows in decoding.answers(made, features) for pair in zip(some, rows, strict=True)]
    assert len({prompt.places for prompt, _ in done}) == len(done)
    return {prompt.places: row for prompt, row in done}


def test_features_of_stacks_that_come_one_by_one(model, prompts):
    stacks = [prompt.tiles for prompt in prompts]
    whole = image_features(model, stacks, 64)
    seen = []
    handle = model.vision.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    try:
        parts = image_features(model, iter(stacks), 2)
    finally:
        handle.remove()
    assert seen == [2, 2, 1]
    for part, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-5)


def test_limits_of_rows():
    rows = Rows(3, [7], [2, 0, 3])
    assert rows.going == {0, 2}
    for tokens in ([1, 1, 1], [2, 7, 7], [3, 3, 3]):
        rows.take(enumerate(tokens))
    assert rows.tokens == [[1, 2], [], [1]]
    assert not rows.going
    assert [rows.left(row) for row in range(3)] == [0, 0, 2]
    with pytest.raises(ValueError, match="2 rows, limits for 3"):
        Rows(2, [], [1, 2, 3])
