"""The activations of one pack: what autograd keeps of each layer until its backward pass, from the geometry.

A layer under torch.compile, everything training, keeps these bf16 tensors of each token (D width, K key width, I width
inside the MLP); torch's partitioner keeps the factors of every product and recomputes what is cheap:

    SigLIP     8 D + 2 I        input, q, k, v, attention's output, its sum with the input, two norms; MLP before
                                and after GELU
    ConvNeXt   11 C             input, depthwise output, norm; MLP (4 C) before and after GELU
    Qwen2      6 D + 2 K + 3 I  input, two norms, q, attention's output, its sum with the input; k, v; gate,
                                up, their product

and attention its softmax's sum, float32 a head. Uncompiled, Qwen2's norms keep float32 copies and SiLU its output.
A frozen layer that gradients pass through needs no factor of a weight's gradient. What is recomputed
isn't kept, but for the layer's input. tests/model/test_activation_memory.py compares these counts with what autograd
keeps.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from model.config import ModelSettings
from model.costs.flops import DEPTHWISE_KERNEL, HALVING, STEM_STRIDE
from model.cross_entropy import BLOCK

LOGIT_BYTES = 12  # a logit in its backward pass: log-softmax, its gradient, the logit's gradient, float32 each
LSE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PackShape:
    """A pack: all its tokens, image tokens included, the tiles behind those, and the tokens with a loss."""

    tokens: int
    tiles: int
    label_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMemory:
    """Bytes of one layer: kept for its backward pass, its input alone, temporary in forward and in backward pass.

    A layer without graph keeps nothing. `remade` is the share of what it would keep besides its input that its backward
    pass makes again. `learns`: how many parameters have their gradient after it.
    """

    kept: float
    entry: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    remade: float = 0.0
    learns: float = 0.0

    @property
    def held(self) -> float:
        """Bytes between forward and backward pass."""
        return self.kept - self.remade * (self.kept - self.entry)

    @property
    def peak_backward(self) -> float:
        """Bytes on top of what is held, while the layer's backward pass runs."""
        return self.kept - self.held + self.backward


@dataclass(frozen=True, slots=True, kw_only=True)
class FullestMoment:
    """Bytes of activations at the fullest moment of a pack, and the parameters whose gradients are complete then."""

    activations: float
    learned: float


def fullest_moment(
    layers: Sequence[LayerMemory], beside: Callable[[float], float] = lambda learned: 0.0
) -> FullestMoment:
    """When most bytes are alive, as a pack runs forward through the layers and back.

    `beside` says what else grows with the gradients that are complete.
    """
    alive, learned, moments = 0.0, 0.0, []
    for layer in layers:
        moments.append(FullestMoment(activations=alive + layer.forward, learned=0.0))
        alive += layer.held
    for layer in reversed(layers):
        moments.append(FullestMoment(activations=alive + layer.peak_backward, learned=learned))
        alive -= layer.held
        learned += layer.learns
    return max(moments, key=lambda moment: moment.activations + beside(moment.learned))


def network_layers(
    settings: ModelSettings,
    vocab_rows: int,
    pack: PackShape,
    *,
    trainable: Collection[str],
    train_new_tokens: bool = False,
    checkpointed: Mapping[str, float],
    element: int = 2,
    compiled: bool = True,
) -> list[LayerMemory]:
    """The network's layers in the order of the forward pass, as one pack fills them.

    `checkpointed` are the shares that `siglip`, `convnext` and `language` recompute: of each layer's memory where they
    are `compiled`, else of the layers, the first ones of each.
    `element` is the bytes of a number: 2 in bf16, 4 in fp32.
    """
    vision, connector = "vision" in trainable, "connector" in trainable
    graph = vision or connector or "language" in trainable or train_new_tokens
    layers = list(siglip_layers(settings, pack, vision, checkpointed["siglip"], element, compiled))
    if settings.convnext is not None:
        layers += convnext_layers(settings, pack, vision, checkpointed["convnext"], element, compiled)
    layers.append(connector_layer(settings, pack, connector, vision, element))
    learns = "language" in trainable
    layers += language_layers(settings, pack, learns, graph, checkpointed["language"], element, compiled)
    layers.append(head_layer(settings, vocab_rows, pack, learns or train_new_tokens, element))
    return layers


def _remade(share: float, count: int, compiled: bool) -> Iterator[float]:
    """What each of `count` layers makes again: compiled ones `share` of their memory each, else so many of them all."""
    yield from (share if compiled else float(number < math.ceil(share * count)) for number in range(count))


def siglip_layers(
    settings: ModelSettings, pack: PackShape, trains: bool, share: float, element: int, compiled: bool
) -> Iterator[LayerMemory]:
    """SigLIP: the pixels, its layers, the input of its last norm."""
    siglip = settings.siglip
    width, inside = siglip.hidden_size, siglip.intermediate_size
    patches = pack.tiles * (settings.tiling.tile_size // siglip.patch_size) ** 2
    if not trains:
        yield LayerMemory(kept=0.0, forward=patches * (2 * width + 2 * inside) * element)
        return
    yield LayerMemory(kept=pack.tiles * 3 * settings.tiling.tile_size**2 * element)  # pixels
    matrices = 4 * width**2 + 2 * width * inside
    for remade in _remade(share, siglip.num_layers, compiled):
        yield LayerMemory(
            kept=patches * ((8 * width + 2 * inside) * element + LSE_BYTES * siglip.num_heads),
            entry=patches * width * element,
            backward=(patches * (2 * inside + 2 * width) + matrices) * element,
            remade=remade,
            learns=matrices,
        )
    yield LayerMemory(kept=patches * width * element)  # the last norm's input


def convnext_layers(
    settings: ModelSettings, pack: PackShape, trains: bool, share: float, element: int, compiled: bool
) -> Iterator[LayerMemory]:
    """ConvNeXt: stem or downsampling before the blocks of each stage."""
    convnext = settings.convnext
    assert convnext is not None
    shares = _remade(share, sum(convnext.depths), compiled)
    side, before = convnext.image_size // STEM_STRIDE, 0
    for depth, width in zip(convnext.depths, convnext.dims, strict=True):
        # what the norms of the stem and the downsampling keep: pixels and the stem's output, or input and norm
        edge = pack.tiles * (side**2 * 2 * before if before else 3 * convnext.image_size**2 + side**2 * width)
        yield LayerMemory(kept=edge * element if trains else 0.0)
        side //= HALVING if before else 1
        cells, before = pack.tiles * side**2, width
        if not trains:
            yield LayerMemory(kept=0.0, forward=cells * 10 * width * element)
            continue
        matrices = DEPTHWISE_KERNEL**2 * width + 8 * width**2
        for _ in range(depth):
            yield LayerMemory(
                kept=cells * 11 * width * element,
                entry=cells * width * element,
                backward=(cells * 10 * width + matrices) * element,
                remade=next(shares),
                learns=matrices,
            )


def connector_layer(settings: ModelSettings, pack: PackShape, trains: bool, before: bool, element: int) -> LayerMemory:
    """Both matrices with their norm; nothing of it recomputes."""
    tokens, width = pack.tiles * settings.tokens_per_tile, settings.language.hidden_size
    channels = 4 * settings.siglip.hidden_size + (settings.convnext.dims[-1] if settings.convnext else 0)
    # the norm's input and the matrices' inputs, the second one before GELU too; a frozen one needs fewer
    kept = 2 * (channels + width) if trains else (channels + width) * before
    return LayerMemory(
        kept=tokens * kept * element,
        forward=tokens * 2 * (channels + width) * element,
        backward=(tokens * (channels + 2 * width) * element if kept else 0.0),
        learns=trains * (channels * width + width**2),
    )


def language_layers(
    settings: ModelSettings, pack: PackShape, trains: bool, graph: bool, share: float, element: int, compiled: bool
) -> Iterator[LayerMemory]:
    """The decoder's layers and its last norm."""
    language = settings.language
    width, inside = language.hidden_size, language.intermediate_size
    keys = width * language.num_kv_heads // language.num_heads
    counts = {(True, True): (6, 3), (True, False): (10, 4), (False, True): (4, 2), (False, False): (6, 3)}
    widths, insides = counts[trains, compiled]
    kept = (widths * width + 2 * keys + insides * inside) * element + LSE_BYTES * language.num_heads
    matrices = 2 * width**2 + 2 * width * keys + 3 * width * inside if trains else 0
    for remade in _remade(share, language.num_layers, compiled):
        yield LayerMemory(
            kept=pack.tokens * kept * graph,
            entry=pack.tokens * width * element * graph,
            forward=pack.tokens * (2 * width + 3 * inside) * element,
            backward=(pack.tokens * (3 * inside + 2 * width) + matrices) * element * graph,
            remade=remade,
            learns=matrices,
        )
    # the last norm, never compiled: a float32 copy, the norm, its output
    yield LayerMemory(kept=pack.tokens * width * (LSE_BYTES + 2 * element) * graph)


def head_layer(settings: ModelSettings, vocab_rows: int, pack: PackShape, trains: bool, element: int) -> LayerMemory:
    """The output head on label tokens. A tied one's gradient waits for the embedding's, at the very end."""
    language, table = settings.language, trains * vocab_rows * settings.language.hidden_size
    return LayerMemory(
        kept=pack.label_tokens * language.hidden_size * element,
        backward=min(pack.label_tokens, BLOCK) * vocab_rows * LOGIT_BYTES + table * element,
        learns=0 if language.tie_embeddings else table,
    )
