"""The random generators of a process: their state as JSON, and back."""

import hashlib
import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """The states of Python's, numpy's and torch's global generators, the GPU's too where there is one."""
    numpy_name, numpy_keys, *numpy_rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [numpy_name, np.asarray(numpy_keys).tolist(), *numpy_rest],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": torch.cuda.get_rng_state().numpy().tobytes().hex() if torch.cuda.is_available() else None,
    }


def restore_random_state(document: dict[str, Any]) -> None:
    """Set the generators to what `random_state` gave."""
    version, keys, gauss = document["python"]
    random.setstate((version, tuple(keys), gauss))
    name, numpy_keys, *rest = document["numpy"]
    np.random.set_state((name, np.array(numpy_keys, dtype=np.uint32), *rest))
    torch.set_rng_state(_bytes(document["torch"]))
    if document["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(document["cuda"]))


def seed_randomness(text: str) -> None:
    """Start the generators from a text: the same one gives the same numbers, another one unrelated ones."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # the GPU's too


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
