"""K-means on a GPU: runs where there is one and flash-kmeans is installed."""

import numpy as np
import pytest

from data.curation.clustering_gpu import flash_cluster, gpu_kmeans_available

pytestmark = pytest.mark.skipif(not gpu_kmeans_available(), reason="no CUDA device, or flash-kmeans is not installed")


def grouped(rows: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(5)
    own = dice.integers(0, groups, rows)
    vectors = np.eye(groups, 64, dtype=np.float32)[own] + 0.02 * dice.standard_normal((rows, 64), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), own


def test_equal_seeds_give_equal_bits():
    vectors, _ = grouped(50_000, 40)
    one, other = (flash_cluster(vectors, 100, 3, 10) for _ in range(2))
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.similarity, other.similarity)


def test_a_row_is_as_near_to_its_centroid_as_the_similarity_says():
    vectors, _ = grouped(20_000, 30)
    found = flash_cluster(vectors, 60, 3, 10)
    for label in np.unique(found.labels)[:5]:
        members = vectors[found.labels == label]
        centroid = members.mean(0) / np.linalg.norm(members.mean(0))
        np.testing.assert_allclose(found.similarity[found.labels == label], members @ centroid, atol=5e-3)


def test_no_more_clusters_than_rows():
    vectors, _ = grouped(7, 7)
    assert flash_cluster(vectors, 100, 0, 3).k == 7
