import torch
from torch import nn
from torch.nn import functional as F

from model.attention import packed_attention

HEADS, KV_HEADS, WIDTH = 4, 2, 8


def pack_of(lengths, seed=0):
    """Query, key and value of a pack, and its sequence numbers and positions."""
    generator, total = torch.Generator().manual_seed(seed), sum(lengths)
    query, key, value = (
        torch.randn(1, heads, total, WIDTH, generator=generator) for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return query, key, value, sequence, torch.cat([torch.arange(length) for length in lengths])


def test_each_sample_attends_causally_to_itself_alone():
    lengths = [5, 1, 9]
    query, key, value, sequence, positions = pack_of(lengths)
    packed, weights = packed_attention(
        nn.Identity(), query, key, value, None, sequence=sequence, positions=positions, scaling=0.3
    )
    assert weights is None
    start = 0
    for length in lengths:
        own = slice(start, start + length)
        parts = (part[:, :, own] for part in (query, key, value))
        alone = F.scaled_dot_product_attention(*parts, is_causal=True, scale=0.3, enable_gqa=True)
        assert torch.allclose(packed[:, own], alone.transpose(1, 2), atol=1e-6)
        start += length


def test_the_cost_is_that_of_the_samples_not_of_the_pack():
    """The grid of scores is samples x longest x longest: no tensor of pack x pack is ever made."""
    query, key, value, sequence, positions = pack_of([7] * 300)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        packed_attention(nn.Identity(), query, key, value, None, sequence=sequence, positions=positions)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < (7 * 300) ** 2 / 10  # a mask of single bytes would be ten times as large
