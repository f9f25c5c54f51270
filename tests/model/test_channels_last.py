"""The tower's GPU form against timm's own: the same numbers, gradients and names."""

import copy

import pytest
import torch
from timm.models.convnext import ConvNeXt
from torch import nn

from model.vision.channels_last import ChannelsLastBlock, PatchConv, fast_blocks, fast_patches


@pytest.fixture
def trunk():
    """A small trunk in which every LayerScale, norm and bias matters."""
    torch.manual_seed(5)
    made = ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=0, global_pool="")
    for parameter in made.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return made


@pytest.fixture
def fast(trunk):
    made = copy.deepcopy(trunk)
    fast_blocks(made)
    fast_patches(made)
    return made


@pytest.fixture
def pixels():
    drawn = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(6))
    return drawn.contiguous(memory_format=torch.channels_last)


def features(trunk, pixels):
    return trunk.stages(trunk.stem(pixels))


def test_features_and_gradients_are_timms(trunk, fast, pixels):
    wanted, ours = features(trunk, pixels), features(fast, pixels)
    assert (ours - wanted).abs().max() < 1e-5 * wanted.abs().max()
    slope = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(7))
    wanted.backward(slope)
    ours.backward(slope)
    for (name, parameter), mine in zip(trunk.named_parameters(), fast.parameters(), strict=True):
        if parameter.grad is not None:  # not the final norm's
            assert (mine.grad - parameter.grad).abs().max() < 1e-5 * parameter.grad.abs().max(), name


def test_every_block_and_patch_convolution_is_replaced_and_keeps_its_names(trunk, fast, pixels):
    kinds = [type(module) for module in fast.modules()]
    assert kinds.count(ChannelsLastBlock) == 5
    assert kinds.count(PatchConv) == 4
    assert list(fast.state_dict()) == list(trunk.state_dict())
    assert features(fast, pixels).is_contiguous(memory_format=torch.channels_last)


def test_no_gradient_needs_the_second_matrixs_result(fast):
    """What autograd keeps of a block: nothing of the result's size but the input and what the first half makes."""
    block, x = fast.stages[2].blocks[0], torch.randn(1, 24, 4, 4).contiguous(memory_format=torch.channels_last)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        block(x.requires_grad_())
    inner = {tensor.data_ptr() for tensor in kept if tensor.numel() == x.numel()}
    assert len(inner) == 3  # input, convolution's result, LayerNorm's result


def test_another_kind_of_linear_layer_is_called(trunk, fast, pixels):
    """FP8 layers replace nn.Linear by a class of their own, with its own product."""

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    block, x = fast.stages[1].blocks[0], torch.randn(1, 16, 4, 4)
    plain = block(x) - x
    block.mlp.fc2.__class__ = Doubled
    assert torch.allclose(block(x) - x, 2 * plain, atol=1e-5)
