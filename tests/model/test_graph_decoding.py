"""Decoding in fixed places against the growing cache. The steps are the GPU's, run one kernel at a time."""

import numpy as np
import pytest
import torch

from model.evaluation.batches import BatchedDecoding, Prompt
from model.generation import continue_prompts, embed_prompts, image_features
from model.generation_rows import Rows
from model.graph_decoding import COLUMNS, GraphDecoder
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


def both(model, prompts, made, **options):
    """What the growing cache gives, and what `made` gives."""
    embedded = embed_prompts(model, prompts)
    return continue_prompts(model.language, embedded, **options), made.continue_prompts(embedded, **options)


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
        found = decoder(model).continue_prompts(embedded, end_ids=[], max_new_tokens=NEW)
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
        first = made.continue_prompts(embedded[:1], end_ids=[], max_new_tokens=1)[0][0]
        assert len(calls) == 1, "the first token comes from the prefill"
        calls.clear()
        assert made.continue_prompts(embedded[:1], end_ids=[first], max_new_tokens=40) == [[]]
        assert len(calls) == 4
        calls.clear()
        made.continue_prompts(embedded, end_ids=[], max_new_tokens=6)
        assert len(calls) == 6
    finally:
        handle.remove()


def test_a_cache_that_is_too_small_says_so(model, prompts):
    made = decoder(model, rows=4, cache_bytes=2 * COLUMNS * bytes_per_token(model.language))
    assert made.fits(2, COLUMNS)
    assert not made.fits(3, 10)
    assert not made.fits(1, 2 * COLUMNS + 1)
    with pytest.raises(ValueError, match="3 rows of 5. tokens don't fit"):
        made.continue_prompts(embed_prompts(model, prompts[:3]), end_ids=[], max_new_tokens=NEW)


def asked(model, prompts):
    """The prompts as evaluation has them, and their views' features."""
    made = [
        Prompt(places=(place,), source="a", view=str(place), input_ids=torch.from_numpy(prompt.input_ids), limit=NEW)
        for place, prompt in enumerate(prompts)
    ]
    features = image_features(model, [prompt.tiles for prompt in prompts], 4)
    return made, {str(place): part for place, part in enumerate(features)}


def test_batches_are_cut_where_the_cache_ends_and_a_longer_prompt_goes_alone(model, prompts, encoded):
    long = encoded(2 * COLUMNS, 1, 9)
    made, features = asked(model, [*prompts, long])
    decoding = BatchedDecoding(model, batch_size=4, end_ids=[])
    assert decoding.decoder is None, "on a CPU the cache grows"
    expected = {
        batch[at].places: row for batch, rows in decoding.answers(made, features) for at, row in enumerate(rows)
    }
    decoding.decoder = decoder(model, rows=4, cache_bytes=2 * COLUMNS * bytes_per_token(model.language))
    sizes, found = [], {}
    for batch, rows in decoding.answers(made, features):
        sizes.append(len(batch))
        found |= {prompt.places: row for prompt, row in zip(batch, rows, strict=True)}
    assert sizes == [2, 2, 1, 1]
    assert found == expected
    assert len(found) == len(prompts) + 1


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
    assert rows.most == 3
    for tokens in ([1, 1, 1], [2, 7, 7], [3, 3, 3]):
        rows.take(tokens)
    assert rows.tokens == [[1, 2], [], [1]]
    assert not rows.going
    with pytest.raises(ValueError, match="2 rows, limits for 3"):
        Rows(2, [], [1, 2, 3])
