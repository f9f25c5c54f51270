"""What a layer keeps: the counts against what autograd really keeps for real layers in bfloat16, and their sum."""

import pytest
import torch
from timm.models.convnext import ConvNeXtBlock
from transformers import AttentionInterface, Qwen2Config, SiglipVisionConfig
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from model.config import ModelSettings
from model.costs import activation_memory as memory
from model.presets import preset
from model.vision.channels_last import fast_blocks

TOKENS, WIDTH, INSIDE, HEADS, KEY_HEADS = 64, 48, 112, 4, 2
NOTHING = {"siglip": 0.0, "convnext": 0.0, "language": 0.0}
EVERYTHING = ("vision", "connector", "language")


@torch.library.custom_op("aerie_test::flash", mutates_args=())
def flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As a graph sees flash attention, which a CPU lacks: one node with an output and a sum for each head."""
    return torch.zeros_like(query), query.new_zeros(query.shape[:-1], dtype=torch.float32)


@torch.library.custom_op("aerie_test::flash_backward", mutates_args=())
def flash_backward(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    output: torch.Tensor,
    sums: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)


flash.register_fake(lambda q, k, v: (torch.empty_like(q), q.new_empty(q.shape[:-1], dtype=torch.float32)))
flash_backward.register_fake(lambda g, q, k, v, *_: (torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)))
flash.register_autograd(
    lambda ctx, gradient, _: flash_backward(gradient.contiguous(), *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs, *output),
)


def packed(module, query, key, value, mask, **_):
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    return flash(query, key, value)[0].unsqueeze(0), None


AttentionInterface.register("aerie_test", packed)


def kept_bytes(layer: torch.nn.Module, call, data: torch.Tensor, given: tuple[torch.Tensor, ...] = ()) -> int:
    """Bytes of the storages that autograd keeps, but for weights and what is `given` from outside."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*layer.parameters(), *given)}
    storages = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        call(data)
    return sum(size for size, _ in storages.values())


def settings() -> ModelSettings:
    """One layer of each kind, as below."""
    return ModelSettings(
        tiling={"tile_size": 64, "max_tiles": 1},
        siglip={
            "hidden_size": WIDTH, "intermediate_size": INSIDE, "num_layers": 1, "num_heads": HEADS, "patch_size": 8,
        },
        convnext={"depths": (1, 1, 1, 1), "dims": (16, 16, 16, 16), "image_size": 128},
        language={
            "hidden_size": WIDTH, "intermediate_size": INSIDE, "num_layers": 1, "num_heads": HEADS,
            "num_kv_heads": KEY_HEADS,
        },
    )  # fmt: skip


SHAPE = memory.PackShape(tokens=TOKENS, tiles=3, label_tokens=8)


@pytest.mark.parametrize(("trains", "compiled"), [(True, True), (True, False), (False, False)])
def test_a_decoder_layer_keeps_what_is_counted(trains, compiled):
    config = Qwen2Config(
        hidden_size=WIDTH, intermediate_size=INSIDE, num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS
    )
    config._attn_implementation = "aerie_test"
    layer = Qwen2DecoderLayer(config, 0).bfloat16().requires_grad_(trains)
    rotary = tuple(torch.randn(1, TOKENS, WIDTH // HEADS, dtype=torch.bfloat16) for _ in range(2))
    data = torch.randn(1, TOKENS, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    called = layer
    if compiled:  # torch's own partitioner, as the GPU's compiler asks it, without writing kernels
        called = torch.compile(layer, backend="aot_eager_decomp_partition")
        called(data, position_embeddings=rotary, attention_mask=None)
    found = kept_bytes(
        layer, lambda x: called(x, position_embeddings=rotary, attention_mask=None), data, rotary
    )  # fmt: skip
    counted = next(memory.language_layers(settings(), SHAPE, trains, True, 0.0, 2, compiled))
    # float32 statistics of the norms are left out: 4 bytes a token each
    assert found == pytest.approx(counted.kept, abs=2 * 4 * TOKENS)


def test_a_siglip_layer_keeps_what_is_counted():
    config = SiglipVisionConfig(hidden_size=WIDTH, intermediate_size=INSIDE, num_attention_heads=HEADS)
    config._attn_implementation = "sdpa"
    layer = SiglipEncoderLayer(config).bfloat16()
    data = torch.randn(3, 64, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    found = kept_bytes(layer, lambda x: layer(x, None), data)
    counted = list(memory.siglip_layers(settings(), SHAPE, True, 0.0, 2, True))[1]
    assert found == pytest.approx(counted.kept, abs=4 * 4 * 3 * 64)


def test_a_convnext_block_keeps_what_is_counted():
    block = ConvNeXtBlock(16, 16)
    fast_blocks(block)  # as on a GPU
    block = block.bfloat16()
    data = torch.randn(3, 16, 32, 32, dtype=torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()
    found = kept_bytes(block, block, data)
    counted = list(memory.convnext_layers(settings(), SHAPE, True, 0.0, 2, True))[1]
    assert found == pytest.approx(counted.kept, abs=2 * 4 * 3 * 32 * 32)


def peak(layers: list[memory.LayerMemory]) -> float:
    return memory.fullest_moment(layers).activations


def test_the_peak_lies_where_most_is_alive():
    layer = memory.LayerMemory(kept=10, entry=1, backward=5)
    assert peak([layer] * 4) == 4 * 10 + 5
    again = memory.LayerMemory(kept=10, entry=1, backward=5, remade=1.0)
    assert peak([again] * 4) == 4 * 1 + 9 + 5
    assert peak([again, again, layer, layer]) == 2 * 1 + 2 * 10 + 5
    half = memory.LayerMemory(kept=10, entry=2, backward=5, remade=0.5)
    assert peak([half] * 4) == 4 * 6 + 4 + 5
    assert peak([memory.LayerMemory(kept=0, forward=100), layer]) == 100


def test_gradients_that_grow_can_move_the_peak():
    layers = [memory.LayerMemory(kept=4, learns=10), memory.LayerMemory(kept=4, learns=10)]
    found = memory.fullest_moment(layers, lambda learned: learned)
    assert (found.activations, found.learned) == (4, 10)


def activations(name: str = "eagle2-9b", **changes) -> float:
    arguments = {"trainable": EVERYTHING, "checkpointed": NOTHING} | changes
    pack = memory.PackShape(tokens=16384, tiles=48, label_tokens=1024)
    return peak(memory.network_layers(preset(name), 152_064, pack, **arguments))


def test_each_layer_that_recomputes_saves_memory():
    shares = (0.0, 0.25, 0.5, 1.0)
    for part in NOTHING:
        peaks = [activations(checkpointed={**NOTHING, part: share}) for share in shares]
        assert peaks == sorted(peaks, reverse=True)
        assert peaks[0] > peaks[-1]


def test_a_frozen_tower_keeps_nothing_and_float32_takes_twice_as_much():
    everything, connector = activations(), activations(trainable=("connector",))
    assert connector < 0.4 * everything
    assert activations(element=4) == pytest.approx(2 * everything, rel=0.05)
    assert activations(compiled=False) > everything
