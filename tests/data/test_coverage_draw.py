import numpy as np
import pytest

from data.curation.coverage import coverage
from data.curation.coverage_draw import UNIT, coverage_draw, greedy_gains, joint_vectors
from data.curation.row_views import Float32Rows


def scenes(count, width=24, seed=0):
    """Rows around 60 directions whose sizes follow a power law: a few concepts are everywhere, most are rare."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, 61) ** -1.3
    centres = rng.normal(size=(60, width))
    vectors = centres[rng.choice(60, count, p=shares / shares.sum())] + 0.5 * rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ranks(count, seed=1):
    return np.random.default_rng(seed).permutation(count).astype(np.uint64)


def test_lazy_greedy_is_greedy():
    vectors = scenes(60)
    cosines = np.rint(np.clip(vectors @ vectors.T, 0, 1) * UNIT).astype(np.int64)
    covered, expected = np.zeros(60, np.int64), []
    for _ in range(20):
        gains = np.maximum(cosines - covered, 0).sum(axis=1)
        expected.append(int(gains.max()))
        covered = np.maximum(covered, cosines[gains.argmax()])
    assert greedy_gains(vectors)[1][:20].tolist() == expected
    assert greedy_gains(vectors, expected[9])[1].tolist() == [gain for gain in expected if gain >= expected[9]]


@pytest.mark.parametrize("count", [1500, 4000])  # one cell, several cells
def test_it_covers_better_than_chance(count):
    vectors, draw_ranks = scenes(count), ranks(count)
    chosen = coverage_draw(vectors, draw_ranks, 3)(np.arange(count), count // 20)
    assert len(set(chosen.tolist())) == count // 20
    found = coverage(Float32Rows.whole(vectors), chosen, ranks(count, 2), ranks(count, 3))
    assert found["draw"]["mean_distance"] < found["random"]["mean_distance"]
    assert found["draw"]["tail_distance"] < found["random"]["tail_distance"]
    assert found["draw"]["within_radius"] > found["random"]["within_radius"]


def test_copies_are_taken_last():
    vectors = np.concatenate([np.repeat(scenes(1, seed=5), 200, axis=0), scenes(50)])
    chosen = coverage_draw(vectors, ranks(250), 0)(np.arange(250), 30)
    assert (chosen < 200).sum() <= 1


def test_the_order_of_the_rows_asked_for_changes_nothing():
    vectors, draw = scenes(300), coverage_draw(scenes(300), ranks(300), 0)
    rows = np.arange(0, len(vectors), 2)
    assert np.array_equal(draw(rows, 40), draw(rows[::-1], 40))
    assert len(draw(rows, 0)) == 0
    assert len(draw(rows, len(rows))) == len(rows)


def test_joint_vectors_mean_both_cosines():
    images, texts = scenes(20, 8), scenes(20, 8, seed=4)
    joint = joint_vectors(Float32Rows.whole(images), Float32Rows.whole(texts), 0)
    assert np.allclose(joint @ joint.T, (images @ images.T + texts @ texts.T) / 2, atol=1e-5)
    wide = joint_vectors(Float32Rows.whole(scenes(20, 400)), Float32Rows.whole(scenes(20, 300)), 0)
    assert wide.shape == (20, 256)
