"""Where DeepSpeed keeps the training state of each parameter, whatever its ZeRO stage: named views, to read or to fill.

Stage 0 in fp32 is plain AdamW on the parameters; stage 0 in bf16 has a master copy of each on every rank; stages 1 and
2 flatten all parameters of a group and give each rank an equal stretch; stage 3 cuts each parameter into equal parts.
A fragment (parameter's name, start in the flattened parameter) means the same in all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import distributed, nn

KINDS = ("master", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A stretch of one parameter's training state on this rank. The tensors are views: filling them fills the state.

    `name` as in `named_parameters`, `start` in elements of the flattened parameter; `master` (the fp32 weights),
    `exp_avg` and `exp_avg_sq` (AdamW's moments) are float32 [n]; `step` is AdamW's count of updates, float32 [].
    """

    name: str
    start: int
    master: torch.Tensor
    exp_avg: torch.Tensor
    exp_avg_sq: torch.Tensor
    step: torch.Tensor

    @property
    def end(self) -> int:
        """One past the last element, in the flattened parameter."""
        return self.start + self.master.numel()

    def part(self, start: int, end: int) -> "Fragment":
        """The elements `start` to `end` of the flattened parameter."""
        tensors = {kind: getattr(self, kind)[start - self.start : end - self.start] for kind in KINDS}
        return replace(self, start=start, **tensors)


class Span(NamedTuple):
    """`size` elements of a parameter from `start` on lie in the tensor that AdamW updates, `flat`, from `offset` on."""

    parameter: nn.Parameter
    start: int
    size: int
    flat: torch.Tensor
    offset: int


def held_fragments(module: nn.Module, optimizer: Any) -> list[Fragment]:
    """All that this rank needs to go on. `optimizer` is DeepSpeed's around a torch AdamW, or that AdamW itself."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    base = getattr(optimizer, "optimizer", optimizer)
    return [_fragment(names[id(span.parameter)], span, adam_state(base, span.flat)) for span in _spans(optimizer)]


def replicated(optimizer: Any) -> bool:
    """True where every rank holds the whole state (stage 0)."""
    return isinstance(optimizer, torch.optim.AdamW) or hasattr(optimizer, "fp32_groups")


def adam_state(optimizer: torch.optim.Optimizer, flat: torch.Tensor) -> dict[str, torch.Tensor]:
    """AdamW's state of a tensor that it updates; before its first step as that step would begin it."""
    state: dict[str, torch.Tensor] = optimizer.state[flat]
    if "exp_avg" not in state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=flat.device)  # on the device, as fused AdamW has it
        state["exp_avg"] = torch.zeros_like(flat.detach(), memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(flat.detach(), memory_format=torch.preserve_format)
    return state


@torch.no_grad()
def refresh_weights(optimizer: Any) -> None:
    """Set the weights that compute to the masters, on all ranks; every rank calls this.

    They are the masters rounded to the network's precision, as after each optimizer step.
    """
    if isinstance(optimizer, torch.optim.AdamW):
        return
    if hasattr(optimizer, "fp32_groups"):
        for weights, masters in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True):
            for weight, master in zip(weights, masters, strict=True):
                weight.data.copy_(master.data)
    elif hasattr(optimizer, "fp32_partitioned_groups_flat"):
        optimizer.checkpoint_event_prologue()
        for number in range(len(optimizer.fp32_partitioned_groups_flat)):
            optimizer._reassign_or_swap_out_partitioned_parameters(number)
        optimizer.checkpoint_event_epilogue()  # small parameters stay whole on each rank: gather them anew
    else:
        optimizer.update_lp_params()


def _fragment(name: str, span: Span, state: dict[str, torch.Tensor]) -> Fragment:
    def view(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().view(-1)[span.offset : span.offset + span.size]

    tensors = {"master": view(span.flat), "exp_avg": view(state["exp_avg"]), "exp_avg_sq": view(state["exp_avg_sq"])}
    return Fragment(name=name, start=span.start, step=state["step"], **tensors)


def _spans(optimizer: Any) -> Iterator[Span]:
    """The spans of this rank; padding at the ends of flat tensors belongs to no parameter."""
    if isinstance(optimizer, torch.optim.AdamW):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                yield Span(parameter, 0, parameter.numel(), parameter, 0)
    elif hasattr(optimizer, "fp32_groups"):  # stage 0 in bf16
        for parameters, masters in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True):
            for parameter, master in zip(parameters, masters, strict=True):
                yield Span(parameter, 0, parameter.numel(), master, 0)
    elif hasattr(optimizer, "fp32_partitioned_groups_flat"):
        yield from _partitioned_spans(optimizer)
    else:  # stage 1 with fp32 sums of bf16 gradients is another class than stages 1 and 2 otherwise
        half = hasattr(optimizer, "bf16_groups")
        groups = optimizer.bf16_groups if half else optimizer.bit16_groups
        flats = optimizer.fp32_groups_flat_partition if half else optimizer.single_partition_of_fp32_groups
        for parameters, flat in zip(groups, flats, strict=True):
            for parameter in parameters:
                if (mapping := parameter._hp_mapping) is not None:
                    address = mapping.lp_fragment_address
                    offset = mapping.get_hp_fragment_address().start
                    yield Span(parameter, address.start, address.numel, flat, offset)


def _partitioned_spans(optimizer: Any) -> Iterator[Span]:
    """Stage 3: each rank has `ceil(n / ranks)` elements of each parameter, the last ranks fewer or none."""
    rank = distributed.get_rank()
    for parameters, flat in zip(optimizer.fp16_groups, optimizer.fp32_partitioned_groups_flat, strict=True):
        offset = 0
        for parameter in parameters:
            share = parameter.partition_numel()
            start = rank * share
            if (size := min(share, parameter.ds_numel - start)) > 0:
                yield Span(parameter, start, size, flat, offset)
            offset += share
