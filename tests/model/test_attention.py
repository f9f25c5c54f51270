"""Attention over packs: exact against a dense mask in float64, and not one bit passes from sample to sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from model.attention import packed_attention, takes_flash
from model.inputs.merge import merge
from model.vlm import PackTensors

HEADS, KV_HEADS, WIDTH = 4, 2, 8
PACKS = [[5, 1, 9], [1], [12], [1, 1, 1], [3, 17, 2, 2]]


def borders_of(lengths):
    """The keyword arguments that tell a layer where the samples lie."""
    return {
        "cu_seqlens": torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32),
        "max_seqlen": max(lengths),
        "sequence": torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        "positions": torch.cat([torch.arange(length) for length in lengths]),
    }


def drawn(lengths, heads=HEADS, kv_heads=KV_HEADS, dtype=torch.float32):
    """Random query, key and value [1, heads, T, d] of a pack, with gradients."""
    generator, total = torch.Generator().manual_seed(sum(lengths)), sum(lengths)
    return [
        torch.randn(1, count, total, WIDTH, generator=generator, dtype=dtype).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


def attend(query, key, value, lengths, **more):
    output, weights = packed_attention(nn.Identity(), query, key, value, None, **borders_of(lengths), **more)
    assert weights is None
    return output


def dense(query, key, value, lengths, scaling):
    """The reference, written out: every pair of tokens scored, all but a sample's own past masked."""
    sequence, places = borders_of(lengths)["sequence"], torch.arange(sum(lengths))
    seen = (sequence[:, None] == sequence[None]) & (places[:, None] >= places[None])
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("lengths", PACKS)
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
def test_a_pack_equals_dense_block_diagonal_attention_in_float64(lengths, heads, kv_heads):
    parts = drawn(lengths, heads, kv_heads, torch.float64)
    output, expected = attend(*parts, lengths, scaling=0.3), dense(*parts, lengths, 0.3)
    assert torch.allclose(output, expected, rtol=0, atol=1e-12)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    gradients = [torch.autograd.grad((result * weights).sum(), parts) for result in (output, expected)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_scale_is_one_over_the_root_of_the_head_size_unless_given():
    parts = drawn([4, 3])
    assert torch.equal(attend(*parts, [4, 3]), attend(*parts, [4, 3], scaling=WIDTH**-0.5))
    assert not torch.allclose(attend(*parts, [4, 3]), attend(*parts, [4, 3], scaling=1.0))


def test_each_sample_attends_causally_to_itself_alone():
    lengths, start = [5, 1, 9], 0
    query, key, value = drawn(lengths)
    packed = attend(query, key, value, lengths, scaling=0.3)
    for length in lengths:
        own = slice(start, start + length)
        parts = (part[:, :, own] for part in (query, key, value))
        alone = F.scaled_dot_product_attention(*parts, is_causal=True, scale=0.3, enable_gqa=True)
        assert torch.allclose(packed[:, own], alone.transpose(1, 2), atol=1e-6)
        start += length


@pytest.mark.parametrize("disturbed", [0, 1, 2, 3])
@pytest.mark.parametrize("value", [7.0, float("nan"), float("inf")])
def test_not_one_bit_of_a_sample_reaches_another_not_even_a_nan(disturbed, value):
    """A mask that multiplies or adds would let a NaN through; here the others' outputs are equal bit by bit."""
    lengths = [6, 11, 1, 8]
    parts = drawn(lengths)
    own = borders_of(lengths)["sequence"] == disturbed
    changed = [torch.where(own[:, None], value, part.detach()) for part in parts]
    before, after = attend(*parts, lengths), attend(*changed, lengths)
    assert torch.equal(before[0, ~own], after[0, ~own])
    assert not torch.equal(before[0, own], after[0, own])


def test_the_cost_is_that_of_the_samples_not_of_the_pack():
    """The grid of scores is samples x longest x longest: no tensor of pack x pack is ever made."""
    lengths = [7] * 300
    parts = drawn(lengths)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        attend(*parts, lengths)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < sum(lengths) ** 2 / 10  # a mask of single bytes would be ten times as large


def test_a_cpu_takes_the_exact_way():
    assert not takes_flash(torch.zeros(1, HEADS, 3, WIDTH, dtype=torch.bfloat16))


@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 64), (torch.float16, 128)])
def test_the_gpu_way_calls_the_kernel_with_arguments_that_it_takes(monkeypatch, dtype, width):
    """Shapes only, on a pretended GPU; tests/benchmarks/bench_attention.py measures on a real one."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    with FakeTensorMode(), torch.no_grad():
        query, key, value = (
            torch.empty(1, 50, heads, width, dtype=dtype, device="cuda").transpose(1, 2) for heads in (14, 2, 2)
        )
        borders = {name: torch.empty(50, dtype=torch.int64, device="cuda") for name in ("sequence", "positions")}
        borders["cu_seqlens"] = torch.empty(4, dtype=torch.int32, device="cuda")
        output, _ = packed_attention(nn.Identity(), query, key, value, None, max_seqlen=30, scaling=0.1, **borders)
        assert takes_flash(query)
        assert (output.shape, output.dtype, output.device.type) == ((1, 50, 14, width), dtype, "cuda")


@pytest.mark.parametrize(
    ("dtype", "width", "capability"), [(torch.float32, 64, 9), (torch.bfloat16, 12, 9), (torch.bfloat16, 64, 7)]
)
def test_what_the_kernel_cannot_do_goes_the_exact_way(monkeypatch, dtype, width, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (capability, 0))
    with FakeTensorMode():
        assert not takes_flash(torch.empty(1, 4, 50, width, dtype=dtype, device="cuda"))


def logits_and_gradients(model, samples, answering):
    """Logits [T, V] of a pack, and the gradient [T, D] of one sample's loss with respect to all embedded tokens."""
    pack = PackTensors.of(merge(samples))
    embedded = model.embed(pack.input_ids, pack.tiles).detach().requires_grad_()
    model.embed = lambda *_: embedded
    logits = model.language.lm_head(model.hidden_states(pack))
    own = pack.sequence == answering
    loss = F.cross_entropy(logits[own][:-1], pack.input_ids[own][1:])
    del model.embed
    return logits.detach(), torch.autograd.grad(loss, embedded)[0], own


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_disturbed_sample_moves_no_bit_of_the_others_logits_or_gradients(tiny_model, encoded, checkpointed):
    if checkpointed:
        tiny_model.train()
        tiny_model.language.gradient_checkpointing_enable({"use_reentrant": False})
    first, second, other = encoded(20, 1, 1), encoded(33, 2, 2), encoded(20, 1, 5)
    for kept in (0, 1):
        packs = [[first, second], [other, second]] if kept else [[second, first], [second, other]]
        (logits, gradient, own), (others, others_gradient, _) = (
            logits_and_gradients(tiny_model, pack, kept) for pack in packs
        )
        assert torch.equal(logits[own], others[own])
        assert torch.equal(gradient, others_gradient)
        assert not torch.equal(logits[~own], others[~own])
        assert gradient[own].any()
        assert not gradient[~own].any(), "a sample's loss must not depend on its neighbour at all"


def test_packed_logits_equal_those_of_each_sample_alone(tiny_model, encoded):
    samples = [encoded(20, 1, 1), encoded(2, 0, 2), encoded(31, 2, 3), encoded(9, 0, 4)]
    with torch.no_grad():
        packed = tiny_model.hidden_states(PackTensors.of(merge(samples)))
        alone = [tiny_model.hidden_states(PackTensors.of(merge([sample]))) for sample in samples]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-5)


def test_activation_checkpointing_changes_nothing(tiny_model, encoded):
    pack = PackTensors.of(merge([encoded(20, 1, 1), encoded(31, 0, 2)]))
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            tiny_model.train()
            tiny_model.language.gradient_checkpointing_enable({"use_reentrant": False})
        tiny_model.zero_grad()
        tiny_model.hidden_states(pack).square().sum().backward()
        gradients.append({name: p.grad for name, p in tiny_model.named_parameters() if p.grad is not None})
    assert all(torch.equal(gradients[0][name], gradient) for name, gradient in gradients[1].items())


def test_the_borders_are_known_on_the_host_once(encoded):
    pack = PackTensors.of(merge([encoded(20, 1, 1), encoded(31, 0, 2)]))
    lengths = [20 + 16, 31]
    assert isinstance(pack.max_seqlen, int)
    assert pack.max_seqlen == max(lengths)
    assert pack.cu_seqlens.tolist() == [0, lengths[0], sum(lengths)]
    assert pack.cu_seqlens.dtype == torch.int32


def test_no_layer_asks_the_device_for_a_number(tiny_model, encoded):
    """A meta tensor has no values: whatever would make a GPU's host wait for one raises here."""
    pack = PackTensors.of(merge([encoded(20, 0, 1), encoded(31, 0, 2)]))
    tiny_model.language.to("meta")
    tiny_model.embed = lambda ids, _: torch.zeros(len(ids), tiny_model.settings.language.hidden_size, device="meta")
    moved = {name: getattr(pack, name).to("meta") for name in ("positions", "sequence", "cu_seqlens")}
    assert tiny_model.hidden_states(replace(pack, **moved)).is_meta


def test_a_compiled_layer_gives_the_same_numbers(tiny_model, encoded):
    """`aot_eager` traces and differentiates the graph as on a GPU, without the minute that a C++ compiler takes."""
    packs = [PackTensors.of(merge([encoded(20, 1, 1), encoded(length, 0, 2)])) for length in (31, 17)]
    with torch.no_grad():
        expected = [tiny_model.hidden_states(pack) for pack in packs]
    for layer in tiny_model.language.model.layers:
        layer.compile(backend="aot_eager", fullgraph=True)
    for pack, eager in zip(packs, expected, strict=True):
        compiled = tiny_model.hidden_states(pack)
        assert torch.allclose(compiled, eager, atol=1e-6)
        compiled.sum().backward()
