import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.sketch import Sketch


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.sampled_from([0.5, 0.9, 0.9995, 1.0]))
@settings(deadline=None, max_examples=100)
def test_no_near_pair_is_ever_missed(seed, width, threshold):
    rng = np.random.default_rng(seed)
    rows = rng.integers(2, 40)
    spread = rng.choice([0.001, 0.03, 0.3, 3])
    images, texts = (unit(rng.normal(size=(1, w)) + spread * rng.normal(size=(rows, w))) for w in (width, 20))
    dtype = rng.choice(["float16", "float32"])
    sketch = Sketch([images.astype(dtype), texts], np.arange(rows), threshold)
    half = rows // 2
    block, others = np.arange(half, rows), np.arange(half)
    near = (images[block] @ images[others].T > threshold) & (texts[block] @ texts[others].T > threshold)
    found = sketch.candidates(block, others)
    assert set(block[near.any(axis=1)]) <= set(found[0])
    assert set(others[near.any(axis=0)]) <= set(found[1])


@pytest.mark.parametrize("count", [1, 2])
def test_strangers_are_told_apart_and_friends_found(count):
    rng = np.random.default_rng(1)
    parts = [unit(rng.normal(size=(400, 384))) for _ in range(count)]
    for part in parts:
        part[300] = unit(part[[7]] + 0.0002 * rng.normal(size=384))[0]
    sketch = Sketch(parts, np.arange(400), 0.9995)
    block, others = sketch.candidates(np.arange(200, 400), np.arange(200))
    assert (block.tolist(), others.tolist()) == ([300], [7])
    block, others = sketch.candidates(np.arange(400), np.arange(400))
    assert (block.tolist(), others.tolist()) == ([7, 300], [7, 300])


def test_rows_are_numbered_by_their_place():
    vectors = unit(np.random.default_rng(2).normal(size=(9, 50)))
    vectors[8] = vectors[3]
    block, others = Sketch([vectors], np.array([3, 5, 8]), 0.999).candidates(np.array([2]), np.array([0, 1]))
    assert (block.tolist(), others.tolist()) == ([2], [0])
