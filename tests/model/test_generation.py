"""Generation against what it must equal: no cache, no batch, the packed training path, transformers' own generate."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from data.errors import AerieError
from model.generation import continue_prompts, embed_prompts, generate, generate_stream, left_padded
from model.generation_choice import Sampling, greedy
from model.inputs.batch import IGNORE_INDEX
from model.inputs.merge import merge
from model.vlm import PackTensors, build_model

NEW = 7
SAMPLING = Sampling(temperature=1.3, top_p=0.9, top_k=20, seed=11)


@pytest.fixture(scope="module", params=["mixture", "siglip"])
def model(request, tiny_settings):
    settings = tiny_settings if request.param == "mixture" else tiny_settings.model_copy(update={"convnext": None})
    built = build_model(settings, 96, 90, seed=3).eval()
    with torch.no_grad():
        for parameter in built.language.parameters():
            if parameter.ndim == 2:  # far from uniform logits: no ties
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(parameter)))
        built.language.lm_head.weight[90] = 0  # tied: the image token has logit 0 and never comes first
    return built


@pytest.fixture
def prompts(encoded):
    """Unequal lengths; text only, one image, one image of two tiles, two images."""
    made = [encoded(6, 0, 1), encoded(9, 1, 2), encoded(12, 2, 3), encoded(3, 0, 4)]
    one = encoded(10, 2, 5)  # its two tiles as two images with a word between them
    apart = np.insert(one.input_ids, 3 + 16, 7)
    return [*made, replace(one, input_ids=apart, labels=np.full(len(apart), IGNORE_INDEX))]


def longer(prompt, tokens):
    """The prompt and what was answered so far."""
    ids = np.concatenate([prompt.input_ids, np.array(tokens, dtype=np.int64)])
    return replace(prompt, input_ids=ids, labels=np.full(len(ids), IGNORE_INDEX))


@torch.no_grad()
def next_logits(model, prompt, tokens):
    """The reference: logits [V] after the whole sequence, once more through the packed training path."""
    return model.language.lm_head(model.hidden_states(PackTensors.of(merge([longer(prompt, tokens)])))[-1])


def recorded(model, prompts, **options):
    """Rows and the logits [B, V] of each step of a cached batch."""
    seen = []

    def choose(logits):
        seen.append(logits.clone())
        return greedy(logits)

    embedded = embed_prompts(model, prompts)
    rows = continue_prompts(model.language, embedded, max_new_tokens=NEW, choose=choose, end_ids=[], **options)
    return rows, seen


def test_cached_logits_equal_those_of_the_packed_training_path_at_every_step(model, prompts):
    rows, seen = recorded(model, prompts)
    assert len(seen) == NEW
    for number, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        for step in range(NEW):
            whole = next_logits(model, prompt, row[:step])
            assert torch.allclose(seen[step][number], whole, rtol=0, atol=1e-4)
            assert row[step] == int(whole.argmax())


def test_a_batch_of_unequal_prompts_answers_like_each_one_alone(model, prompts):
    batch = generate(model, prompts, end_ids=[], max_new_tokens=NEW)
    assert batch == [generate(model, [prompt], end_ids=[], max_new_tokens=NEW)[0] for prompt in prompts]
    assert len({tuple(row) for row in batch}) == len(prompts)
    assert generate(model, prompts[::-1], end_ids=[], max_new_tokens=NEW) == batch[::-1]


def test_greedy_answers_are_those_of_transformers_own_generate(model, prompts):
    embedded, mask = left_padded(embed_prompts(model, prompts))
    model.language.set_attn_implementation("sdpa")
    config = GenerationConfig(do_sample=False, max_new_tokens=NEW, eos_token_id=[5, 6], pad_token_id=0)
    theirs = model.language.generate(inputs_embeds=embedded, attention_mask=mask, generation_config=config).tolist()
    cut = [row[: next((at for at, token in enumerate(row) if token in (5, 6)), len(row))] for row in theirs]
    assert generate(model, prompts, end_ids=[5, 6], max_new_tokens=NEW) == cut


def test_the_images_matter(model, prompts):
    changed = [replace(prompt, tiles=255 - prompt.tiles) for prompt in prompts]
    one, other = (embed_prompts(model, each) for each in (prompts, changed))
    assert [torch.equal(*pair) for pair in zip(one, other, strict=True)] == [not len(each.tiles) for each in prompts]


def test_image_tokens_without_their_tiles_are_an_error_that_names_the_prompt(model, prompts):
    """Also where the totals agree: one prompt's tile must not be shown in the next."""
    short, long = replace(prompts[1], tiles=prompts[2].tiles), replace(prompts[2], tiles=prompts[1].tiles)
    with pytest.raises(AerieError, match="prompt 1 has 16 image tokens in its text and 32 image features of its 2"):
        generate(model, [prompts[0], short, long], end_ids=[], max_new_tokens=1)


def test_training_goes_on_after_generating(model, prompts):
    """Decoding and packing need other attention; each sets its own."""
    before = next_logits(model, prompts[1], [])
    generate(model, prompts, end_ids=[], max_new_tokens=2)
    assert torch.equal(before, next_logits(model, prompts[1], []))


@pytest.mark.parametrize("which", [0, 1])
def test_a_row_ends_before_any_of_the_end_tokens_and_does_not_disturb_the_others(model, prompts, which):
    free = generate(model, prompts, end_ids=[], max_new_tokens=NEW)
    ends = [free[0][2], 95][:: 1 if which else -1]
    expected = [row[: next((at for at, token in enumerate(row) if token in ends), NEW)] for row in free]
    assert generate(model, prompts, end_ids=ends, max_new_tokens=NEW) == expected
    assert len(expected[0]) <= 2


def test_decoding_stops_when_every_row_has_ended(model, prompts):
    first = generate(model, prompts[:1], end_ids=[], max_new_tokens=1)[0][0]
    calls = []
    handle = model.language.register_forward_hook(lambda *_: calls.append(1))
    try:
        assert generate(model, prompts[:1], end_ids=[first], max_new_tokens=30) == [[]]
    finally:
        handle.remove()
    assert len(calls) == 1


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_no_more_than_the_allowed_tokens_are_made(model, prompts, limit):
    free = generate(model, prompts, end_ids=[], max_new_tokens=NEW)
    calls = []
    handle = model.language.register_forward_hook(lambda *_: calls.append(1))
    try:
        assert generate(model, prompts, end_ids=[], max_new_tokens=limit) == [row[:limit] for row in free]
    finally:
        handle.remove()
    assert len(calls) == limit


def test_no_prompts_no_answers(model):
    assert generate(model, [], end_ids=[1], max_new_tokens=NEW) == []


@pytest.mark.parametrize("sampling", [None, SAMPLING])
def test_a_stream_gives_the_same_tokens_one_by_one(model, prompts, sampling):
    free = generate(model, prompts[2:3], end_ids=[], max_new_tokens=NEW, sampling=sampling)[0]
    for ends in ([], [free[3]]):
        options = {"end_ids": ends, "max_new_tokens": NEW, "sampling": sampling}
        assert list(generate_stream(model, prompts[2], **options)) == generate(model, prompts[2:3], **options)[0]
    calls = []
    handle = model.language.register_forward_hook(lambda *_: calls.append(1))
    try:
        stream = generate_stream(model, prompts[2], end_ids=[], max_new_tokens=NEW)
        next(stream)
        assert len(calls) == 1, "the first token must not wait for the others"
    finally:
        handle.remove()


def test_the_seed_decides_a_sampled_answer_whatever_the_batch(model, prompts):
    def sampled(chosen, seed=11):
        sampling = replace(SAMPLING, seed=seed)
        return generate(model, chosen, end_ids=[], max_new_tokens=NEW, sampling=sampling)

    batch = sampled(prompts)
    assert sampled(prompts) == batch
    assert sampled(prompts[::-1]) == batch[::-1]
    assert [sampled([prompt])[0] for prompt in prompts] == batch
    assert sampled(prompts[1:3]) == batch[1:3]
    assert all(one != other for one, other in zip(sampled(prompts, seed=12), batch, strict=True))
    state = torch.get_rng_state()
    sampled(prompts[:1])
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_one_candidate_is_greedy(model, prompts):
    expected = generate(model, prompts, end_ids=[], max_new_tokens=NEW)
    sampling = Sampling(temperature=2.0, top_k=1, seed=4)
    assert generate(model, prompts, end_ids=[], max_new_tokens=NEW, sampling=sampling) == expected


def test_padding_is_on_the_left_and_masked():
    embeddings, mask = left_padded([torch.ones(1, 2), torch.ones(3, 2)])
    assert embeddings.shape == (2, 3, 2)
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]
    assert embeddings[0].sum(1).tolist() == [0, 0, 2]
