import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from model.evaluation.decoding import greedy_decode, left_padded

VOCABULARY, WIDTH = 50, 32


@pytest.fixture(scope="module")
def language():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,  # far from uniform logits: no ties
    )
    return Qwen2ForCausalLM(config).eval()


def embedded(language, *lengths):
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(VOCABULARY, (length,), generator=generator) for length in lengths]
    return ids, [language.get_input_embeddings()(row).detach() for row in ids]


def without_cache(language, ids, steps):
    """The reference: the whole sequence again for every token."""
    row = ids.tolist()
    with torch.inference_mode():
        for _ in range(steps):
            row.append(int(language(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
    return row[len(ids) :]


def test_a_batch_of_unequal_prompts_decodes_like_each_one_alone_without_a_cache(language):
    ids, prompts = embedded(language, 3, 9, 5, 9)
    batch = greedy_decode(language, prompts, end_id=-1, max_new_tokens=6)
    assert batch == [without_cache(language, row, 6) for row in ids]


def test_a_row_ends_before_the_end_token_and_does_not_disturb_the_others(language):
    ids, prompts = embedded(language, 4, 7)
    free = [without_cache(language, row, 6) for row in ids]
    end_id = free[0][2]
    expected = [row[: row.index(end_id)] if end_id in row else row for row in free]
    assert greedy_decode(language, prompts, end_id=end_id, max_new_tokens=6) == expected


def test_decoding_stops_when_every_row_has_ended(language):
    _, prompts = embedded(language, 4)
    first = greedy_decode(language, prompts, end_id=-1, max_new_tokens=1)[0][0]
    calls = []
    handle = language.register_forward_hook(lambda *_: calls.append(1))
    try:
        assert greedy_decode(language, prompts, end_id=first, max_new_tokens=30) == [[]]
    finally:
        handle.remove()
    assert len(calls) == 1


def test_padding_is_on_the_left_and_masked():
    embeddings, mask = left_padded([torch.ones(1, 2), torch.ones(3, 2)])
    assert embeddings.shape == (2, 3, 2)
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]
    assert embeddings[0].sum(1).tolist() == [0, 0, 2]
