"""The repeated layers of the network's three deep parts: what is compiled, recomputed or replaced one by one."""

from timm.models.convnext import ConvNeXtBlock
from torch import nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from model.vlm import VisionLanguageModel

KINDS: dict[str, type[nn.Module]] = {
    "siglip": SiglipEncoderLayer,
    "convnext": ConvNeXtBlock,
    "language": Qwen2DecoderLayer,
}


def repeated_layers(model: VisionLanguageModel) -> dict[str, list[nn.Module]]:
    """The layers of `siglip`, `convnext` (none without that tower) and `language`, first to last.

    Found by their class: the modules around them have other names in each version of transformers.
    """
    return {name: [module for module in model.modules() if isinstance(module, kind)] for name, kind in KINDS.items()}
