"""Numbers of all ranks, exchanged on the device without waiting for it before somebody reads them."""

import torch
from torch import distributed


def on_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A small tensor of the host on the device; through pinned memory, since any other copy waits for the device."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)


def sum_of_ranks(value: float, device: torch.device) -> torch.Tensor:
    """The sum of the ranks' values, float64 and 0-d, on the device."""
    total = torch.full((), value, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total


class Gathered:
    """Every rank's vector [K]; the collective and the copy to the host start here, `read` waits for them.

    Work that is queued on the device between the two isn't waited for.
    """

    def __init__(self, vector: torch.Tensor) -> None:
        self._rows = [torch.empty_like(vector) for _ in range(distributed.get_world_size())]
        distributed.all_gather(self._rows, vector)
        self._event: torch.cuda.Event | None = None
        if vector.is_cuda:
            self._rows = [row.to("cpu", non_blocking=True) for row in self._rows]
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> torch.Tensor:
        """[ranks, K] on the host."""
        if self._event is not None:
            self._event.synchronize()
        return torch.stack(self._rows)
