"""FlashAttention 3 for every attention of a training process, by torch's own switch.

It is a package for Hopper GPUs beside torch (`flash_attn_3`, from PyTorch's package index). torch then runs it where
it would run its built-in FlashAttention 2: in the decoder's attention over packs and in the towers'.
"""

import torch

from data.errors import AerieError
from model.training.compiling import mark_caches
from model.training.hopper import need_hopper

WITHOUT = "set the stage's flash_attention to torch"


def use_flash_attention_3() -> None:
    """Switch this process to FlashAttention 3; `AerieError` where GPU or package don't allow it."""
    need_hopper("flash_attention: fa3", WITHOUT)
    try:
        torch.nn.attention.activate_flash_attention_impl("FA3")
    except (ImportError, RuntimeError, ValueError) as error:
        raise AerieError(
            f"flash_attention: fa3 needs the package flash_attn_3 from PyTorch's package index ({error}); install it "
            f"or {WITHOUT}"
        ) from error
    torch.backends.cuda.enable_cudnn_sdp(False)  # torch would ask cuDNN first, whose backward pass is slower
    # Graphs name the attention that they were traced with, but their caches' keys don't.
    mark_caches("fa3")
