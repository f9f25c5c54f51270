"""K-means sums on a GPU: the kernel in Triton's interpreter against float64, and compiled for Hopper."""

import json

import numpy as np
import pytest
from triton_kernels import compiled_for_hopper, interpreted

SUMS = """
import json, sys
import numpy as np, torch
from data.curation.clustering_kernel import cluster_sums

dice = np.random.default_rng(0)
rows = dice.standard_normal((200, 130)).astype(np.float16)
labels = dice.integers(0, 5, 200)
labels[labels == 3] = 0  # a cluster without rows
order = np.argsort(labels, kind="stable")
bounds = np.searchsorted(labels[order], np.arange(6))
found = cluster_sums(*(torch.from_numpy(array) for array in (rows, order, bounds))).numpy()
wanted = np.stack([rows[labels == k].astype(np.float64).sum(0) for k in range(5)])
print(json.dumps({"apart": float(np.abs(found - wanted).max()), "empty": float(np.abs(found[3]).max())}))
"""


def test_each_clusters_rows_are_summed():
    found = json.loads(interpreted("-c", SUMS))
    assert found["empty"] == 0.0
    assert found["apart"] < 64 * np.finfo(np.float32).eps * 10


def test_it_compiles_for_hopper():
    kernel = pytest.importorskip("data.curation.clustering_kernel", reason="triton is not installed")
    types = {"rows": "*fp16", "order": "*i64", "bounds": "*i64", "sums": "*fp32"}
    assert "ld.global" in compiled_for_hopper(kernel._sums, types, {}).asm["ptx"]
