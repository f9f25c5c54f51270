"""What happens to the network's layers before they train: FP8, kernels for GPUs, recomputation, compilation."""

import torch

from data.kernel_compiler import need_kernel_compiler
from model.recipe import StageSettings
from model.training.activations import checkpoint_activations
from model.training.compiling import compile_layers
from model.training.flash_attention import use_flash_attention_3
from model.training.float8 import use_float8
from model.training.hopper import need_hopper, need_package
from model.vision.channels_last import fast_blocks, fast_patches
from model.vision.fused_mlp import fuse_mlps, share_beyond_gelu
from model.vision.joint_attention import join_projections
from model.vlm import VisionLanguageModel


def prepare_layers(model: VisionLanguageModel, settings: StageSettings, device: torch.device) -> None:
    """Give the layers of a network whose parts are frozen already the ways that a stage wants; parameters stay.

    On a GPU and below ZeRO-3, whose hooks would cut the graphs, layers are compiled; the compiler then also decides
    what of a layer to keep, so that a share of recomputation is one of memory. Elsewhere it is a share of the layers
    (torch.compile doesn't look into a layer that `checkpoint` calls).
    """
    shares = settings.activation_checkpointing.model_dump()
    compiled = settings.compile and device.type == "cuda" and settings.zero_stage < 3
    if settings.flash_attention == "fa3":
        use_flash_attention_3()
        if settings.zero_stage < 3:  # it reads weights of modules that it doesn't call
            join_projections(model.vision)
    if settings.fused_mlp == "quack":
        _fuse_mlps(model)
        if compiled:
            shares["siglip"] = share_beyond_gelu(shares["siglip"], model.settings.siglip)
    if settings.float8 != "off":
        use_float8(model, settings.float8)
    if device.type == "cuda":
        fast_patches(model.vision)
        if model.vision.convnext is not None and settings.zero_stage < 3:  # blocks read such weights too
            need_kernel_compiler("ConvNeXt on a GPU")
            fast_blocks(model.vision.convnext.trunk)
    if compiled:
        need_kernel_compiler("`compile: true` on a GPU")
        compile_layers(model, shares)
    else:
        checkpoint_activations(model, shares)


def _fuse_mlps(model: VisionLanguageModel) -> None:
    setting, otherwise = "fused_mlp: quack", "set the stage's fused_mlp to off"
    need_hopper(setting, otherwise)
    need_package(setting, "quack", "the package quack-kernels (pip install 'aerie[hopper]')", otherwise)
    fuse_mlps(model.vision, model.settings.siglip)
