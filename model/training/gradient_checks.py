"""What DeepSpeed's ZeRO-1 and ZeRO-2 do in a step with thousands of small calls, done with few.

Each function changes one optimizer of DeepSpeed 0.19 and leaves those alone that it isn't made for: with several packs
a step ZeRO-1 has another optimizer, which is quick.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import distributed


def fuse_gradient_checks(optimizer: Any) -> None:
    """Compute a ZeRO-1 or ZeRO-2 optimizer's gradient norm by torch's fused kernels; others stay as they are.

    DeepSpeed 0.19 asks every gradient whether it is finite and for its norm in float64, ten small kernels each: for
    the 733 parameters of Eagle2-1B the GPU waits 70 ms of a step of 580. One gradient that isn't finite makes the norm
    so, which DeepSpeed's `step` looks at as well. The norm is float32 here, which a GPU adds up in a tree; a CPU would
    lose digits and has float64. Steps of one backward pass have their gradients flat instead (`flat_gradients`).
    """
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    if isinstance(optimizer, DeepSpeedZeroOptimizer):

        def norm(gradients: Iterable[torch.Tensor], params: Sequence[torch.Tensor], norm_type: int = 2) -> torch.Tensor:
            kept = [gradient for gradient in gradients if not getattr(gradient, "_zero_padding", False)]
            exact = torch.float32 if kept and kept[0].is_cuda else torch.float64
            norms = torch._foreach_norm(kept, 2, dtype=exact) if kept else [torch.zeros((), device=optimizer.device)]
            total = torch.linalg.vector_norm(torch.stack(norms)).square().float()
            distributed.all_reduce(total, group=optimizer.dp_process_group)
            return total.sqrt()

        optimizer.get_grad_norm_direct = norm
        optimizer.check_overflow = lambda **_: None


def bind_weights_once(optimizer: Any) -> None:
    """Don't point every parameter to its place in the flat weights again after each step: it is there already.

    Their places never change, for DeepSpeed updates the flat weights where they lie. The GPU, done with the step,
    waits 10 ms a step for the 733 parameters of Eagle2-1B.
    """
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    if not isinstance(optimizer, DeepSpeedZeroOptimizer):
        return
    bind = optimizer._update_model_bit16_weights

    def unless_bound(group: int) -> None:
        flat = optimizer.bit16_groups_flat[group]
        if optimizer.bit16_groups[group][0].untyped_storage().data_ptr() != flat.untyped_storage().data_ptr():
            bind(group)

    optimizer._update_model_bit16_weights = unless_bound
