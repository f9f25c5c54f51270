import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.duplicates import Duplicate, find_duplicates


def on_a_circle(*degrees):
    angles = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def found(images, texts, unseen=None, contents=None, threshold=0.99):
    rows = len(texts)
    unseen = ["yes"] * rows if unseen is None else unseen
    contents = [f"content {row}" for row in range(rows)] if contents is None else contents
    return find_duplicates(images, texts, unseen, contents, threshold)


def pairs(duplicates):
    return [(item.row, item.kept) for item in duplicates]


def reference(images, texts, unseen, contents, threshold):
    """Row by row in plain Python: an equal content goes to its first row, a look-alike to the first kept one."""
    gone, kept = {}, []
    for row, content in enumerate(contents):
        if content in contents[:row]:
            first = contents.index(content)
            gone[row] = gone.get(first, first)
            continue
        for other in kept:
            both = images[row].any() and images[other].any()
            neither = not images[row].any() and not images[other].any()
            images_alike = neither or (both and float(images[row] @ images[other]) > threshold)
            if unseen[row] == unseen[other] and images_alike and float(texts[row] @ texts[other]) > threshold:
                gone[row] = other
                break
        else:
            kept.append(row)
    return list(gone.items())


@given(st.integers(0, 2**32 - 1), st.integers(0, 24), st.integers(1, 7), st.sampled_from([2, 2048]))
@settings(deadline=None, max_examples=200)
def test_the_same_as_row_by_row_in_blocks_of_any_size(seed, rows, block, sketch_above):
    rng = np.random.default_rng(seed)
    # Vectors of halves: cosines are exact multiples of 1/2, and "above 0.4" leads in chains from row to row.
    images, texts = ((rng.integers(0, 2, (rows, 4)) - 0.5).astype(np.float32) for _ in range(2))
    images[rng.random(rows) < 0.3] = 0
    unseen = [f"answer {number}" for number in rng.integers(0, 2, rows)]
    contents, originals = [f"content {row}" for row in range(rows)], rng.integers(0, max(rows, 1), rows)
    for row, original in enumerate(originals):
        if original < row and rng.random() < 0.3:  # an exact copy is equal in everything
            contents[row], unseen[row] = contents[original], unseen[original]
            images[row], texts[row] = images[original], texts[original]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.curation.duplicates.BLOCK", block)
        patch.setattr("data.curation.duplicates.KEPT_BLOCK", block + 1)
        patch.setattr("data.curation.duplicates.SKETCH_ABOVE", sketch_above)
        duplicates = find_duplicates(images, texts, unseen, contents, 0.4)
    assert pairs(duplicates) == reference(images, texts, unseen, contents, 0.4)
    removed = {item.row for item in duplicates}
    assert not removed & {item.kept for item in duplicates}


def test_near_duplicates_point_at_the_first_with_both_cosines():
    images, texts = on_a_circle(0, 90, 4, 2), on_a_circle(0, 0, 3, 180)
    (item,) = found(images, texts)
    assert (item.row, item.kept, item.exact) == (2, 0, False)
    assert item.image_similarity == pytest.approx(np.cos(np.radians(4)), abs=1e-6)
    assert item.text_similarity == pytest.approx(np.cos(np.radians(3)), abs=1e-6)


@pytest.mark.parametrize(("image", "text", "gone"), [(1, 1, True), (1, 30, False), (30, 1, False), (0, 0, True)])
def test_both_modalities_must_agree(image, text, gone):
    assert bool(found(on_a_circle(0, image), on_a_circle(0, text))) == gone


def test_equal_vectors_with_other_answers_stay():
    one = on_a_circle(0, 0, 0)
    assert pairs(found(one, one, unseen=["yes", "no", "yes"])) == [(2, 0)]


def test_a_chain_of_small_steps_keeps_a_sample_in_each_reach():
    steps = on_a_circle(*range(0, 60, 6))  # neighbours are alike (cos 6° > 0.99), the next but one are not
    assert pairs(found(steps, steps)) == [(1, 0), (3, 2), (5, 4), (7, 6), (9, 8)]


def test_samples_without_images_are_compared_by_their_texts_and_never_with_pictures():
    images = np.concatenate([np.zeros((2, 2)), on_a_circle(0, 0), np.zeros((1, 2))]).astype(np.float32)
    duplicates = found(images, on_a_circle(0, 1, 1, 0, 2))
    assert pairs(duplicates) == [(1, 0), (3, 2), (4, 0)]
    assert duplicates[0].image_similarity == 1


def test_equal_contents_are_exact_duplicates_whatever_their_vectors():
    spread = on_a_circle(0, 90, 180)
    assert found(spread, spread, contents=["a", "a", "b"]) == [
        Duplicate(row=1, kept=0, exact=True, image_similarity=1.0, text_similarity=1.0)
    ]


def test_a_copy_of_a_near_duplicate_points_at_the_row_that_stays():
    vectors = on_a_circle(0, 3, 3)
    near, copy = found(vectors, vectors, contents=["a", "b", "b"])
    assert pairs([near, copy]) == [(1, 0), (2, 0)]
    assert not copy.exact
    assert copy.image_similarity == near.image_similarity < 1


def test_a_row_at_the_threshold_stays():
    half = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, -0.5]], np.float32)
    same = half[[0, 0]]
    for images, texts in ((half, same), (same, half)):
        assert not found(images, texts, threshold=0.5)
        assert pairs(found(images, texts, threshold=0.49)) == [(1, 0)]


def test_more_rows_than_a_block_and_none():
    every = on_a_circle(*([0, 90, 180] * 400))
    kept = {item.kept for item in found(every, every)}
    assert (len(found(every, every)), kept) == (1197, {0, 1, 2})
    assert found(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32)) == []


def test_a_threshold_of_one_leaves_the_exact_ones_only():
    """float32 puts the cosine of many a unit vector with itself above 1."""
    vectors = np.random.default_rng(1).normal(size=(100, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (np.einsum("nd,nd->n", vectors, vectors) > 1).any()
    twice = np.repeat(vectors, 2, axis=0)
    assert not found(twice, twice, threshold=1.0)


def test_a_large_group_gives_the_same_with_and_without_its_sketch(monkeypatch):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(3000, 48))
    vectors[1500:] = vectors[rng.integers(0, 1500, 1500)] + rng.choice([0.001, 0.05], (1500, 1)) * vectors[1500:]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    quick = found(vectors, vectors, threshold=0.9995)
    monkeypatch.setattr("data.curation.duplicates.SKETCH_ABOVE", 10**6)
    slow = found(vectors, vectors, threshold=0.9995)
    assert pairs(quick) == pairs(slow)
    assert 600 < len(quick) < 900
