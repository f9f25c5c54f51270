"""Model FLOPs: against torch's own counter of what the network really computes, and against issue 6's prototypes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.costs import flops
from model.costs.cost import meta_network
from model.presets import preset
from model.training.freezing import freeze

TILES, TOKENS, LABELS = 3, 96, 10
EVERYTHING = ("vision", "connector", "language")


@pytest.fixture(scope="module")
def network():
    return meta_network(preset("tiny"))


def counted(network, trainable: tuple[str, ...], new_ids: tuple[int, ...] = ()) -> tuple[int, int]:
    """What torch counts in forward and backward pass: of the towers and the connector, of decoder and head."""
    settings = network.settings
    freeze(network, trainable, new_ids)
    side = settings.tiling.tile_size
    tiles = torch.zeros(TILES, side, side, 3, dtype=torch.uint8, device="meta")
    with FlopCounterMode(display=False) as seeing:
        features = network.encode_tiles(tiles).flatten(0, 1)
        if features.requires_grad:
            features.sum().backward()
    embeddings = network.language.get_input_embeddings()(torch.zeros(TOKENS, dtype=torch.int64, device="meta"))
    features = features.detach().requires_grad_(features.requires_grad)
    inputs = torch.cat([features, embeddings[len(features) :]]).unsqueeze(0)
    network.language.set_attn_implementation("sdpa")
    with FlopCounterMode(display=False) as reading:
        positions = torch.arange(TOKENS, device="meta").unsqueeze(0)
        mask = {"full_attention": None}  # without one SDPA is causal
        hidden = network.language.model(inputs_embeds=inputs, attention_mask=mask, position_ids=positions)
        logits = network.language.lm_head(hidden.last_hidden_state[0, :LABELS])
        if logits.requires_grad:
            logits.sum().backward()
    return seeing.get_total_flops(), reading.get_total_flops()


@pytest.mark.parametrize("new_tokens", [False, True])
@pytest.mark.parametrize("trainable", [("connector",), ("language",), ("vision",), ("vision", "connector"), EVERYTHING])
def test_torch_counts_the_same_but_for_two_things(network, trainable, new_tokens):
    """It counts causal attention as the whole square, and a depthwise kernel's gradient as that of a full kernel."""
    settings, rows = network.settings, network.vocab_size
    ours = flops.pack_flops(
        settings, rows, lengths=[TOKENS], tiles=TILES, label_tokens=LABELS, trainable=trainable,
        train_new_tokens=new_tokens,
    )  # fmt: skip
    seeing, reading = counted(network, trainable, (1, 2) if new_tokens else ())
    full_kernels = 0
    if "vision" in trainable:
        convnext = settings.convnext
        for level, (depth, width) in enumerate(zip(convnext.depths, convnext.dims, strict=True)):
            cells = (convnext.image_size // 4 // 2**level) ** 2
            full_kernels += TILES * depth * cells * 2 * 49 * width * (width - 1)
    assert seeing - full_kernels == ours.vision + ours.connector
    attention = 3 * flops.decoder_forward(settings.language, [TOKENS]).attention
    assert reading - attention == ours.language + ours.head


def test_a_pack_costs_what_its_samples_cost():
    settings = preset("eagle2-1b")
    whole = flops.decoder_forward(settings.language, [300, 500])
    parts = [flops.decoder_forward(settings.language, [length]) for length in (300, 500)]
    assert whole.total == sum(part.total for part in parts)
    longer = flops.decoder_forward(settings.language, [600]).attention
    assert longer == 4 * parts[0].attention


@pytest.mark.parametrize(
    ("name", "trainable", "teraflops"),
    [
        # The prototypes' formulas at the published geometry, 8 samples of 6 tiles + 512 text tokens, 128 labels each.
        ("eagle2-9b", EVERYTHING, 1035.0),
        ("eagle2-1b", EVERYTHING, 181.4),
    ],
)
def test_the_prototypes_count_the_same_within_a_hundredth(name, trainable, teraflops):
    settings = preset(name)
    found = flops.pack_flops(
        settings, settings.language.embedding_rows, lengths=[2048] * 8, tiles=48, label_tokens=8 * 128,
        trainable=trainable,
    )  # fmt: skip
    assert found.total / 1e12 == pytest.approx(teraflops, rel=0.01)


def test_a_frozen_network_costs_its_forward_pass_alone():
    settings = preset("eagle2-1b")
    found = flops.pack_flops(settings, 1000, lengths=[2048], tiles=6, label_tokens=128, trainable=())
    assert found.vision == 6 * flops.vision_forward(settings).total
    assert found.head == 2 * 128 * settings.language.hidden_size * 1000


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H20", 148e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("h100", 989e12),
        ("cpu", None),
    ],
)
def test_a_device_is_known_by_the_name_that_cuda_gives_it(device, peak):
    assert flops.peak_flops(device) == peak
