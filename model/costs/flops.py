"""The model FLOPs of a pack, counted from the geometry: what MFU divides by time, and a plan by speed.

Two FLOPs a multiply-add. Products with weights, convolutions, and the two products of attention count; norms,
activations, softmax and rotary positions don't. Recomputation never counts, so checkpointing lowers the MFU and nothing
else. A backward pass costs each product once for its inputs and once for its weights:

    trained                                   both; a part's first layer on pixels needs no gradient of its input
    frozen, something before it trains        inputs alone; attention both, since both its factors are activations
    frozen, nothing before it trains          nothing

The prototypes of issue 6 count the same but for small things: all of a tower's parameters as if they were matrices
(positions, norms and biases, 0.3 % of SigLIP), the backward pass of the first layers whole, frozen attention once, and
151,936 rows of the head of 7B, which has 152,064.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from model.config import ConvNextSettings, LanguageSettings, ModelSettings
from model.costs.gpus import find_gpu

DEPTHWISE_KERNEL, STEM_STRIDE, HALVING = 7, 4, 2  # ConvNeXt's; its pointwise layers widen by 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Model FLOPs of forward and backward pass by part; `head` is the output head, on label tokens alone."""

    vision: float
    connector: float
    language: float
    head: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.vision + self.connector + self.language + self.head


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardFlops:
    """One forward pass of a part: products with weights, the first of them on data, and products of activations."""

    weights: float = 0.0
    first: float = 0.0
    attention: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.first + self.attention

    def with_backward(self, *, trains: bool, before: bool) -> float:
        """Forward and backward pass of a part that `trains` or not; `before`: something before it trains."""
        graph = trains or before
        return (
            self.total + self.weights * (graph + trains) + self.first * (before + trains) + self.attention * 2 * graph
        )


def pack_flops(
    settings: ModelSettings,
    vocab_rows: int,
    *,
    lengths: Sequence[float],
    tiles: float,
    label_tokens: float,
    trainable: Collection[str],
    train_new_tokens: bool = False,
) -> Flops:
    """Model FLOPs of one pack: samples of `lengths` tokens, image tokens included, with `tiles` tiles together.

    `vocab_rows` are the rows of the output head, `label_tokens` the tokens with a loss. `trainable` names parts as a
    stage does; with `train_new_tokens` a frozen language model's token tables learn: no product more in the decoder,
    but gradients flow through it, and the head's table gets its own.
    """
    vision, connector = "vision" in trainable, "connector" in trainable
    language, tables = "language" in trainable, "language" in trainable or train_new_tokens
    before = vision or connector or tables  # the embedding stands before the decoder
    return Flops(
        vision=tiles * vision_forward(settings).with_backward(trains=vision, before=False),
        connector=tiles * connector_forward(settings).with_backward(trains=connector, before=vision),
        language=decoder_forward(settings.language, lengths).with_backward(trains=language, before=before),
        head=head_forward(settings.language, vocab_rows, label_tokens).with_backward(trains=tables, before=before),
    )


def vision_forward(settings: ModelSettings) -> ForwardFlops:
    """Both towers on one tile."""
    towers = [siglip_forward(settings)]
    if settings.convnext is not None:
        towers.append(convnext_forward(settings.convnext))
    return ForwardFlops(
        weights=sum(tower.weights for tower in towers),
        first=sum(tower.first for tower in towers),
        attention=sum(tower.attention for tower in towers),
    )


def siglip_forward(settings: ModelSettings) -> ForwardFlops:
    """SigLIP on one tile; every patch sees every other one."""
    siglip = settings.siglip
    patches, width = (settings.tiling.tile_size // siglip.patch_size) ** 2, siglip.hidden_size
    layer = 4 * width**2 + 2 * width * siglip.intermediate_size  # q, k, v, o and the MLP
    return ForwardFlops(
        weights=2 * patches * siglip.num_layers * layer,
        first=2 * patches * 3 * siglip.patch_size**2 * width,
        attention=4 * patches**2 * width * siglip.num_layers,
    )


def convnext_forward(convnext: ConvNextSettings) -> ForwardFlops:
    """ConvNeXt on one tile, resized to `image_size`."""
    side, weights, before = convnext.image_size // STEM_STRIDE, 0.0, 0
    for depth, width in zip(convnext.depths, convnext.dims, strict=True):
        if before:
            side //= HALVING
            weights += side**2 * HALVING**2 * before * width
        weights += depth * side**2 * (DEPTHWISE_KERNEL**2 * width + 2 * 4 * width**2)
        before = width
    cells = (convnext.image_size // STEM_STRIDE) ** 2
    return ForwardFlops(weights=2 * weights, first=2 * cells * 3 * STEM_STRIDE**2 * convnext.dims[0])


def connector_forward(settings: ModelSettings) -> ForwardFlops:
    """The two matrices on one tile's tokens."""
    width = settings.language.hidden_size
    channels = 4 * settings.siglip.hidden_size + (settings.convnext.dims[-1] if settings.convnext else 0)
    return ForwardFlops(weights=2 * settings.tokens_per_tile * (channels * width + width**2))


def decoder_forward(language: LanguageSettings, lengths: Sequence[float]) -> ForwardFlops:
    """The decoder's layers on samples of these lengths; causal attention is half a sample's square."""
    width = language.hidden_size
    keys = width * language.num_kv_heads // language.num_heads
    layer = 2 * width**2 + 2 * width * keys + 3 * width * language.intermediate_size  # q and o, k and v, the MLP
    return ForwardFlops(
        weights=2.0 * sum(lengths) * language.num_layers * layer,
        attention=2.0 * sum(length**2 for length in lengths) * width * language.num_layers,
    )


def head_forward(language: LanguageSettings, vocab_rows: int, label_tokens: float) -> ForwardFlops:
    """Logits of the label tokens."""
    return ForwardFlops(weights=2.0 * label_tokens * language.hidden_size * vocab_rows)


def peak_flops(device_name: str) -> float | None:
    """Dense bf16 FLOPs a second by the datasheet, for a name of `torch.cuda.get_device_name`; None when unknown."""
    gpu = find_gpu(device_name)
    return gpu.peak_flops if gpu else None
