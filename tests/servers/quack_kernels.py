"""The fused MLP's kernels compiled for an H100 where no GPU is: our calls to QuACK, all but the launch.

    QUACK_ARCH=90 CUTE_DSL_ARCH=sm_90a python quack_kernels.py

Prints, as JSON, what would have been launched: the kernels' plans, the shapes handed over and those that come back.
"""

import json
import sys

import torch
from quack.epilogue import frontend
from torch._subclasses.fake_tensor import FakeTensorMode

from model.config import SiglipSettings
from model.vision.gelu_products import gelu_gradient, gelu_mlp

CORES, TOKENS = 132, 3 * 1024
launched = []


def ask_no_driver():
    """How many clusters fit the card at once is a question to the driver; an H100's cores answer it."""
    for module in list(sys.modules.values()):
        if hasattr(module, "get_max_active_clusters"):
            module.get_max_active_clusters = lambda size, *_, **__: CORES // size


def note(plan, a, b, d, c, epilogue, **_):
    """Keep what a launch would have got."""
    tensors = {"a": a, "b": b, "d": d, "c": c, **epilogue}
    launched.append({name: list(tensor.shape) for name, tensor in tensors.items() if torch.is_tensor(tensor)})


def main():
    siglip = SiglipSettings()
    width, inside = siglip.hidden_size, siglip.intermediate_size
    ask_no_driver()
    frontend.run_gemm_epi_plan = note
    with FakeTensorMode():

        def made(*shape):
            return torch.empty(*shape, device="cuda", dtype=torch.bfloat16)

        matrices = made(inside, width), made(inside), made(width, inside), made(width)
        kept = gelu_mlp._init_fn(made(TOKENS, width), *matrices, True)
        frozen = gelu_mlp._init_fn(made(TOKENS, width), *matrices, False)
        back = gelu_gradient._init_fn(made(TOKENS, width), matrices[2], made(TOKENS, inside))
    results = {name: [list(t.shape) for t in found] for name, found in
               {"kept": kept, "frozen": frozen, "back": back}.items()}  # fmt: skip
    print(json.dumps({"launched": launched, "sum": str(back[2].dtype), **results}))


if __name__ == "__main__":
    main()
