import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.row_views import RowView
from data.curation.similarity import has_image, pool_similarity


def unit(rng, rows, width):
    vectors = rng.normal(size=(rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def signs(rng, rows, width=4):
    """Unit vectors of halves: every cosine is a multiple of 1/2, exactly, so that ties are real."""
    return (rng.integers(0, 2, (rows, width)) - 0.5).astype(np.float32)


def without_some_images(rng, images):
    return images * (rng.random(len(images)) < 0.7)[:, None].astype(np.float32)


def brute_force(images, texts, pool_images, pool_texts):
    """Eq. 1 as it is printed, a sample at a time, with the rules for missing images."""
    best, nearest = [], []
    for image, text in zip(images, texts, strict=True):
        products = []
        for other_image, other_text in zip(pool_images, pool_texts, strict=True):
            factor = sum(a * b for a, b in zip(image.tolist(), other_image.tolist(), strict=True)) if image.any() else 1
            products.append(factor * sum(a * b for a, b in zip(text.tolist(), other_text.tolist(), strict=True)))
        best.append(max(products))
        nearest.append(products.index(max(products)))
    return sum(best) / len(best), best, nearest


shape = (st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))


@given(*shape)
@settings(deadline=None, max_examples=150)
def test_equation_1_by_brute_force_with_ties_in_any_blocks(seed, rows, pool, row_block, pool_block):
    rng = np.random.default_rng(seed)
    images, pool_images = (without_some_images(rng, signs(rng, n)) for n in (rows, pool))
    texts, pool_texts = signs(rng, rows), signs(rng, pool)
    found = pool_similarity(images, texts, pool_images, pool_texts, row_block=row_block, pool_block=pool_block)
    score, best, nearest = brute_force(images, texts, pool_images, pool_texts)
    assert found.score == pytest.approx(score)
    assert found.best.tolist() == best
    assert found.nearest.tolist() == nearest


@given(*shape)
@settings(deadline=None, max_examples=50)
def test_equation_1_by_brute_force_on_any_unit_vectors(seed, rows, pool, row_block, pool_block):
    rng = np.random.default_rng(seed)
    images, pool_images = (without_some_images(rng, unit(rng, n, 7)) for n in (rows, pool))
    texts, pool_texts = unit(rng, rows, 5), unit(rng, pool, 5)
    found = pool_similarity(images, texts, pool_images, pool_texts, row_block=row_block, pool_block=pool_block)
    score, best, _ = brute_force(images, texts, pool_images, pool_texts)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert np.allclose(found.best, best, atol=1e-5)


def test_more_rows_than_a_default_block():
    rng = np.random.default_rng(1)
    images, texts = unit(rng, 600, 6), unit(rng, 600, 6)
    pool_images, pool_texts = unit(rng, 5000, 6), unit(rng, 5000, 6)
    found = pool_similarity(images, texts, pool_images, pool_texts)
    products = (images @ pool_images.T) * (texts @ pool_texts.T)
    assert np.allclose(found.best, products.max(axis=1), atol=1e-5)
    assert np.allclose(products[np.arange(600), found.nearest], products.max(axis=1), atol=1e-5)
    assert found.score == pytest.approx(products.max(axis=1).mean(), abs=1e-5)


def test_a_copy_scores_one_and_finds_itself():
    rng = np.random.default_rng(2)
    images, texts = unit(rng, 20, 8), unit(rng, 20, 8)
    turn = rng.permutation(20)
    found = pool_similarity(images, texts, images[turn], texts[turn])
    assert found.score == pytest.approx(1, abs=1e-5)
    assert turn[found.nearest].tolist() == list(range(20))


def test_a_larger_pool_is_never_less_similar():
    rng = np.random.default_rng(3)
    images, texts, pool_images, pool_texts = (unit(rng, n, 4) for n in (10, 10, 30, 30))
    scores = [pool_similarity(images, texts, pool_images[:n], pool_texts[:n]).score for n in (1, 5, 20, 30)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


def test_missing_images_on_either_side():
    text = np.array([[1, 0]], np.float32)
    picture, none = np.array([[0, 1]], np.float32), np.zeros((1, 2), np.float32)
    assert pool_similarity(none, text, picture, text).score == 1  # nothing to compare but the texts
    assert pool_similarity(none, text, none, text).score == 1
    assert pool_similarity(picture, text, none, text).score == 0
    assert has_image(np.concatenate([picture, none, -picture])).tolist() == [True, False, True]


def test_two_opposite_directions_make_a_high_product_as_the_equation_has_it():
    one = np.array([[1, 0]], np.float32)
    assert pool_similarity(one, one, -one, -one).score == 1
    assert pool_similarity(one, one, -one, one).score == -1


@pytest.mark.parametrize(("rows", "pool"), [(0, 3), (3, 0)])
def test_no_rows_on_one_side_is_an_error(rows, pool):
    with pytest.raises(ValueError, match="at least one"):
        pool_similarity(*(np.zeros((n, 2), np.float32) for n in (rows, rows, pool, pool)))


def test_the_inputs_stay_as_they_were():
    rng = np.random.default_rng(4)
    given_arrays = [unit(rng, 5, 3) for _ in range(4)]
    given_arrays[0][2] = 0
    before = [array.copy() for array in given_arrays]
    pool_similarity(*given_arrays)
    assert all(np.array_equal(one, other) for one, other in zip(given_arrays, before, strict=True))


def test_small_parts_of_both_sides_change_nothing(monkeypatch):
    rng = np.random.default_rng(5)
    arrays = [unit(rng, n, 6) for n in (70, 70, 90, 90)]
    arrays[0][::3] = 0
    whole = pool_similarity(*arrays, row_block=8, pool_block=8)
    monkeypatch.setattr("data.curation.similarity.NEW_ROWS", 24)
    monkeypatch.setattr("data.curation.similarity.POOL_ROWS", 16)
    parts = pool_similarity(*arrays, row_block=8, pool_block=8)
    assert np.array_equal(parts.best, whole.best)
    assert np.array_equal(parts.nearest, whole.nearest)


def test_the_number_of_threads_changes_no_digit():
    rng = np.random.default_rng(6)
    arrays = [unit(rng, n, 33) for n in (300, 300, 500, 500)]
    one, three = (pool_similarity(*arrays, threads=threads) for threads in (1, 3))
    assert one.score == three.score
    assert np.array_equal(one.best, three.best)
    assert np.array_equal(one.nearest, three.nearest)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mapped_files_and_views_of_their_rows(tmp_path, dtype):
    rng = np.random.default_rng(7)
    files = []
    for name, rows in enumerate((40, 40, 60, 60)):
        np.save(tmp_path / f"{name}.npy", unit(rng, rows, 16).astype(dtype))
        files.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    new, pool = rng.permutation(40)[:25], rng.permutation(60)[:50]
    picked = [RowView(files[0], new), RowView(files[1], new), RowView(files[2], pool), RowView(files[3], pool)]
    found = pool_similarity(*picked)
    one, two, three, four = (np.asarray(view[:], np.float64) for view in picked)
    products = (one @ three.T) * (two @ four.T)
    assert found.best.dtype == np.float32
    assert np.allclose(found.best, products.max(axis=1), atol=1e-6)
    assert np.allclose(products[np.arange(25), found.nearest], products.max(axis=1), atol=1e-6)
