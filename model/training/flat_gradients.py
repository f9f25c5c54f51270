"""ZeRO-1's and ZeRO-2's gradients in one flat tensor a group, from the backward pass to the optimizer.

DeepSpeed 0.19 keeps a list of every parameter's gradient: it asks each whether it is finite and for its norm, copies
them into one tensor, that into float32, and scales it in place. For the 733 parameters of Eagle2-1B on an H100 the GPU
waits for some 80 ms of a step of 580. Here each gradient is written once to where the optimizer reads it, one kernel a
group makes the norm, and another clips while it makes float32 of it.
"""

from typing import Any

import torch
from torch import distributed

TOGETHER = 1 << 24  # numbers of gradients that are written at a time: a layer of Eagle2-1B


def keep_gradients_flat(optimizer: Any) -> None:
    """Give a ZeRO-1 or ZeRO-2 optimizer whose steps have one backward pass flat gradients; others stay as they are."""
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    if isinstance(optimizer, DeepSpeedZeroOptimizer):
        FlatGradients(optimizer)


class FlatGradients:
    """Takes the place of those methods of a `DeepSpeedZeroOptimizer` that look at gradients one by one.

    Of each group a rank holds its partition, in the order of the flat weights: [partition size], in the gradients' own
    type. What no gradient reached is zero, like the padding at the end.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer, self._flat = optimizer, list[torch.Tensor]()
        self._waiting, self._numbers = list[tuple[torch.Tensor, torch.Tensor]](), 0
        self._places = _places(optimizer)
        optimizer.copy_grads_in_partition = self.keep
        optimizer.get_all_grad_tensors = lambda *_, **__: []
        optimizer.get_flat_partition = self._finished
        optimizer.check_overflow = lambda **_: None  # a gradient that isn't finite makes the norm so
        optimizer.scaled_global_norm = self.norm
        optimizer._get_preflattened_grad_partition = self.clipped
        optimizer.unscale_and_clip_grads = lambda *_: None
        if distributed.get_world_size(optimizer.dp_process_group) == 1:  # nothing to reduce, so no buckets to fill
            optimizer.reduce_independent_p_g_buckets_and_remove_grads = self.collect
            optimizer.setup_buckets = lambda: None
            optimizer.reduce_ipg_grads = lambda **_: None

    def keep(self, parameter: torch.nn.Parameter, group: int) -> None:
        """Write a reduced gradient to its place and free it."""
        place, gradient = self._place_and_gradient(parameter, group)
        place.copy_(gradient)
        if gradient.is_cuda and parameter.numel() > self._optimizer.reduce_bucket_size:
            gradient.record_stream(torch.cuda.current_stream())  # reduced outside of the buckets, on another stream
        self._optimizer.clear_grad_attribute(parameter)

    def collect(self, parameter: torch.nn.Parameter, group: int) -> None:
        """Take a gradient that needs no reduction; many are written in one kernel.

        One by one they are 733 small copies for Eagle2-1B, before which an H100 under a profiler waits for Python.
        """
        self._waiting.append(self._place_and_gradient(parameter, group))
        self._numbers += parameter.numel()
        self._optimizer.clear_grad_attribute(parameter)
        if self._numbers >= TOGETHER:
            self._write()

    def norm(self, norm_type: int = 2) -> torch.Tensor:
        """Norm of the gradients of all ranks, float32 [], NaN or infinite if one of them is."""
        flat = list(self._optimizer.averaged_gradients.values())
        exact = torch.float32 if flat[0].is_cuda else torch.float64  # a CPU adds up one by one: 1e-5 off in float32
        total = torch.stack(torch._foreach_norm(flat, norm_type, dtype=exact)).square().sum().float()
        distributed.all_reduce(total, group=self._optimizer.dp_process_group)
        return total.sqrt()

    def clipped(self, group: int) -> torch.Tensor:
        """A group's gradients as the optimizer takes them, float32 [partition size]."""
        flat: torch.Tensor = self._optimizer.averaged_gradients[group]
        if not (limit := self._optimizer.clip_grad):
            return flat.float()
        # one element, not a scalar: a scalar would be rounded to the gradients' type
        excess = ((self._optimizer._global_grad_norm + 1e-6) / limit).clamp(min=1.0).reshape(1)
        return flat * (1.0 / excess)

    def _place_and_gradient(self, parameter: torch.nn.Parameter, group: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where this rank's share of a gradient belongs, and the share, both [count]."""
        if not self._flat:
            self._flat = [_zeros(self._optimizer, number) for number in range(len(self._optimizer.bit16_groups))]
        gradient = self._optimizer.get_gradient_for_reduction(parameter)
        start, at, count = self._places[self._optimizer.get_param_id(parameter)]
        return self._flat[group].narrow(0, at, count), gradient.reshape(-1).narrow(0, start, count)

    def _write(self) -> None:
        if self._waiting:
            places, gradients = zip(*self._waiting, strict=True)
            torch._foreach_copy_(places, gradients)
        self._waiting, self._numbers = [], 0

    def _finished(self, *_: Any, param_group_idx: int, **__: Any) -> torch.Tensor:
        self._write()
        if not self._flat:  # no parameter of any group had a gradient
            return _zeros(self._optimizer, param_group_idx)
        finished = self._flat[param_group_idx]
        if param_group_idx == len(self._flat) - 1:
            self._flat = []
        return finished


def _zeros(optimizer: Any, group: int) -> torch.Tensor:
    return torch.zeros(int(optimizer.partition_size[group]), dtype=optimizer.dtype, device=optimizer.device)


def _places(optimizer: Any) -> dict[int, tuple[int, int, int]]:
    """Of each parameter in this rank's partitions: where the share begins in it, where in the partition, its length."""
    places = {}
    for group, parameters in enumerate(optimizer.params_in_partition):
        rank = distributed.get_rank(optimizer.real_dp_process_group[group])
        size = int(optimizer.partition_size[group])
        for parameter in parameters:
            name = optimizer.get_param_id(parameter)
            start = int(optimizer.grad_start_offset[group][rank][name])
            at = int(optimizer.grad_partition_insertion_offset[group][rank][name])
            places[name] = start, at, int(min(parameter.numel() - start, size - at))
    return places
