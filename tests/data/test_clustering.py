import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.clustering import balanced_quotas, cluster
from data.errors import AerieError


def groups(seed, sizes, width=16, spread=0.05):
    """Unit vectors around as many random directions as there are sizes, and their group numbers."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), width))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    vectors = centres[labels] + spread * rng.normal(size=(len(labels), width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_clear_groups_are_found():
    vectors, truth = groups(1, [40, 25, 10])
    found = cluster(vectors, 3, seed=0)
    assert len({(label, group) for label, group in zip(found.labels, truth, strict=True)}) == 3
    assert (found.similarity > 0.9).all()


def test_the_seed_decides():
    vectors, _ = groups(2, [30] * 8, spread=0.8)
    one, two = cluster(vectors, 6, seed=4), cluster(vectors, 6, seed=4)
    assert np.array_equal(one.labels, two.labels)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_more_clusters_than_rows(rows):
    vectors, _ = groups(3, [rows])
    found = cluster(vectors, 9, seed=0)
    assert found.k == rows
    assert found.labels.max() < rows


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 400))
@settings(deadline=None)
def test_quotas_fill_and_balance(sizes, quota):
    taken = balanced_quotas(sizes, quota)
    assert sum(taken) == min(quota, sum(sizes))
    assert all(0 <= count <= size for count, size in zip(taken, sizes, strict=True))
    # Who gives less than another gives all it has (up to the odd ones left by the division).
    for count, size in zip(taken, sizes, strict=True):
        assert count == size or count >= max(taken) - 1


def test_quotas_example():
    assert balanced_quotas([100, 5, 50], 65) == [30, 5, 30]
    assert balanced_quotas([10, 10, 10], 31) == [10, 10, 10]


def test_threads_change_no_bit():
    import faiss

    vectors, _ = groups(5, [900] * 40, width=24, spread=0.9)  # large enough for the sampled way
    threads, found = faiss.omp_get_max_threads(), []
    try:
        for count in (1, 2):
            faiss.omp_set_num_threads(count)
            found.append(cluster(vectors, 32, seed=9, backend="faiss"))
    finally:
        faiss.omp_set_num_threads(threads)
    assert np.array_equal(found[0].labels, found[1].labels)
    assert found[0].similarity.tobytes() == found[1].similarity.tobytes()


def test_a_gpu_that_is_not_there_is_named():
    from data.curation.clustering import choose_backend

    if choose_backend("auto") == "faiss":
        with pytest.raises(AerieError, match="kmeans_backend"):
            cluster(groups(1, [4])[0], 2, seed=0, backend="flash")
