"""The GPUs that a plan and the MFU know: dense bf16 peak and memory, by their datasheets."""

from dataclasses import dataclass

from data.errors import AerieError

GIB = 1 << 30
# Share of the peak that a large dense bf16 product reaches: 790 of 989 TFLOP/s on an H100, 800 on an H200 (measured,
# 8192 x 8192 x 8192). Nobody measured the other cards here.
REACHABLE = 0.8
# Memory that no tensor gets: CUDA's context, NCCL's buffers, cuBLAS's workspace, holes between blocks.
RESERVED = 4 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One card.

    words: what its name as CUDA tells it holds ("NVIDIA H100 80GB HBM3"), all of them.
    peak_flops: dense bf16 products a second, without sparsity. memory_bytes: what CUDA shows, a little below the name.
    matmul_flops: what one large product reaches, the ceiling that MFU in issue 6 counts from.
    """

    name: str
    words: tuple[str, ...]
    peak_flops: float
    memory_bytes: float
    measured_matmul: float | None = None

    @property
    def matmul_flops(self) -> float:
        """FLOPs a second of one large product: measured, or `REACHABLE` of the peak."""
        return self.measured_matmul or REACHABLE * self.peak_flops

    @property
    def usable_bytes(self) -> float:
        """Memory for tensors."""
        return self.memory_bytes - RESERVED


# The first match counts, so the special kinds of a card stand before it.
GPUS = (
    Gpu(name="h100-pcie", words=("h100", "pcie"), peak_flops=756e12, memory_bytes=79.1 * GIB),
    Gpu(name="h100-nvl", words=("h100", "nvl"), peak_flops=835e12, memory_bytes=93.1 * GIB),
    Gpu(name="h100", words=("h100",), peak_flops=989e12, memory_bytes=79.1 * GIB, measured_matmul=790e12),
    Gpu(name="h200-nvl", words=("h200", "nvl"), peak_flops=835e12, memory_bytes=139.8 * GIB),
    Gpu(name="h200", words=("h200",), peak_flops=989e12, memory_bytes=139.8 * GIB, measured_matmul=800e12),
    Gpu(name="h800", words=("h800",), peak_flops=989e12, memory_bytes=79.1 * GIB),
    Gpu(name="h20", words=("h20",), peak_flops=148e12, memory_bytes=95.6 * GIB),
    Gpu(name="b200", words=("b200",), peak_flops=2250e12, memory_bytes=178.4 * GIB),
    Gpu(name="a100-40gb", words=("a100", "40gb"), peak_flops=312e12, memory_bytes=39.4 * GIB),
    Gpu(name="a100", words=("a100",), peak_flops=312e12, memory_bytes=79.1 * GIB),
    Gpu(name="l40s", words=("l40s",), peak_flops=362e12, memory_bytes=44.4 * GIB),
)


def find_gpu(name: str) -> Gpu | None:
    """The card of a name, ours ("h100") or CUDA's ("NVIDIA H100 80GB HBM3"); None for one that the table lacks."""
    lowered = name.lower()
    return next((gpu for gpu in GPUS if gpu.name == lowered or all(word in lowered for word in gpu.words)), None)


def gpu(name: str) -> Gpu:
    """As `find_gpu`; `AerieError` lists the names when there is none of this one."""
    found = find_gpu(name)
    if found is None:
        raise AerieError(f"there is no GPU {name!r} in the table; choose from {', '.join(gpu.name for gpu in GPUS)}")
    return found
