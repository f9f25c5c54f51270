"""SigLIP's attention with query, key and value as one product and one tensor, for FlashAttention 3.

Three products over the same tiles read them three times, and their backward passes write three gradients of the input,
which are then added. As one they fill the GPU better and the sum is the product's own. FlashAttention 3 reads its
arguments out of the joint tensor and writes their gradients into another one, so nothing is copied.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula
from transformers.models.siglip.modeling_siglip import SiglipAttention


@torch.library.custom_op("aerie::joint_attention", mutates_args=())
def joint_attention(joint: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[P, T, 3, heads, d] in half precision to output [P, T, heads, d] and the scores' log-sum-exp [P, heads, T].

    Every token of a tile sees every other. Needs FlashAttention 3 (`model.training.flash_attention`).
    """
    query, key, value = joint.unbind(2)
    output, sums, *_ = torch.ops.flash_attn_3.fwd(query, key, value, softmax_scale=scale, num_splits=1)
    return output, sums


@joint_attention.register_fake
def _(joint: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    tiles, tokens, _, heads, width = joint.shape
    sums = joint.new_empty(tiles, heads, tokens, dtype=torch.float32)
    return joint.new_empty(tiles, tokens, heads, width), sums


@torch.library.custom_op("aerie::joint_attention_backward", mutates_args=())
def joint_attention_backward(
    gradient: torch.Tensor, joint: torch.Tensor, output: torch.Tensor, sums: torch.Tensor, scale: float
) -> torch.Tensor:
    """Gradient of `joint`, [P, T, 3, heads, d]."""
    made = torch.empty_like(joint, memory_format=torch.contiguous_format)
    into = dict(zip(("dq", "dk", "dv"), made.unbind(2), strict=True))
    given = (gradient.contiguous(), *joint.unbind(2), output, sums)
    torch.ops.flash_attn_3.bwd(*given, **into, softmax_scale=scale)
    return made


@joint_attention_backward.register_fake
def _(
    gradient: torch.Tensor, joint: torch.Tensor, output: torch.Tensor, sums: torch.Tensor, scale: float
) -> torch.Tensor:
    return torch.empty_like(joint, memory_format=torch.contiguous_format)


@register_flop_formula(torch.ops.aerie.joint_attention)
def _(joint: Any, *_: Any, out_shape: Any = None) -> int:
    """Two products of every token with every other; without it torch's compiler takes attention for free to repeat."""
    tiles, tokens, _three, heads, width = joint
    return 4 * tiles * heads * tokens**2 * width


def _keep(ctx: Any, inputs: tuple[torch.Tensor, float], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    ctx.save_for_backward(inputs[0], *output)
    ctx.scale = inputs[1]
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, gradient: torch.Tensor, _: Any) -> tuple[torch.Tensor, None]:
    return joint_attention_backward(gradient, *ctx.saved_tensors, ctx.scale), None


joint_attention.register_autograd(_backward, setup_context=_keep)


class JointAttention(SiglipAttention):
    """transformers' attention with the same parameters and, up to rounding, the same result."""

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
    ) -> tuple[torch.Tensor, None]:
        """[P, T, D] to [P, T, D]; SigLIP's tiles need no mask."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        weight = torch.cat([layer.weight for layer in projections])
        bias = torch.cat([layer.bias for layer in projections])
        joint = F.linear(hidden_states, weight, bias).unflatten(-1, (3, self.num_heads, self.head_dim))
        output, _sums = joint_attention(joint, self.scale)
        return self.out_proj(output.flatten(2)), None


def join_projections(tower: nn.Module) -> None:
    """Give SigLIP's layers the attention above; parameters and their names stay."""
    for module in tower.modules():
        if isinstance(module, SiglipAttention):
            module.__class__ = JointAttention
