import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from data.curation.decontamination import Side, find_contaminated
from data.settings.gate import GateSettings


def on_a_circle(*degrees):
    angles = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def side(images, texts, unseen=None):
    """Pictures and texts at angles in degrees; None is no picture."""
    vectors = on_a_circle(*(0 if angle is None else angle for angle in images))
    vectors[[angle is None for angle in images]] = 0
    return Side(images=vectors, texts=on_a_circle(*texts), unseen=["yes"] * len(texts) if unseen is None else unseen)


def found(training, benchmark, rule="both", turns="equal", image=0.99, text=0.99):
    settings = GateSettings(
        decontaminate=rule,
        decontaminate_turns=turns,
        decontaminate_image_above=image,
        decontaminate_text_above=text,
    )
    return [(item.row, item.benchmark_row) for item in find_contaminated(training, benchmark, settings)]


@pytest.mark.parametrize(
    ("rule", "rows"), [("both", [0]), ("image", [0, 1]), ("text", [0, 2]), ("either", [0, 1, 2]), ("none", [])]
)
def test_the_rule_says_what_must_be_near(rule, rows):
    training = side([0, 0, 60, 60], [0, 60, 0, 60])
    assert [row for row, _ in found(training, side([3], [3]), rule)] == rows


def test_rows_without_images_meet_their_like_by_text_alone():
    training, benchmark = side([None, None, 0], [0, 50, 90]), side([0, None, None], [0, 51, 90])
    for rule in ("both", "image", "text", "either"):
        assert (1, 1) in found(training, benchmark, rule)
        assert 0 not in dict(found(training, benchmark, rule))  # its like has an image
    (item,) = find_contaminated(side([None], [0]), side([None], [0]), GateSettings())
    assert item.image_similarity == item.text_similarity == 1


def test_other_answers_are_no_leak_unless_the_recipe_says_so():
    training, benchmark = side([0, 0], [0, 0], ["yes", "no"]), side([0], [0], ["no"])
    assert found(training, benchmark) == [(1, 0)]
    assert found(training, benchmark, turns="any") == [(0, 0), (1, 0)]


def test_each_row_has_its_most_similar_counterpart():
    training = side([0, 0], [0, 4])
    assert found(training, side([7, 2, 2, 3], [1, 3, 3, 0])) == [(0, 3), (1, 1)]


def test_opposite_pairs_are_candidates_and_nothing_more():
    assert found(side([0], [0]), side([180], [180])) == []


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_side_contaminates_nothing(empty):
    sides = [side([0], [0]), side([0], [0])]
    sides[empty] = Side(images=np.zeros((0, 2), np.float32), texts=np.zeros((0, 2), np.float32), unseen=[])
    assert found(*sides) == []


def reference(training, benchmark, rule, turns, image, text):
    """Pair by pair, in plain Python."""
    pairs = []
    for row in range(len(training.unseen)):
        best = None
        for other in range(len(benchmark.unseen)):
            with_image = bool(training.images[row].any())
            if with_image != bool(benchmark.images[other].any()):
                continue
            by_image = float(training.images[row] @ benchmark.images[other])
            by_text = float(training.texts[row] @ benchmark.texts[other])
            near = {"image": by_image > image, "text": by_text > text}
            near |= {"both": all(near.values()), "either": any(near.values())}
            rule_here = rule if with_image else "text"
            same = turns == "any" or training.unseen[row] == benchmark.unseen[other]
            product = by_text if rule_here == "text" else by_image * by_text
            if near[rule_here] and same and (best is None or product > best[0]):
                best = (product, other)
        if best is not None:
            pairs.append((row, best[1]))
    return pairs


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 15),
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from(["both", "image", "text", "either"]),
    st.sampled_from(["equal", "any"]),
)
@limits(deadline=None, max_examples=200)
def test_the_same_as_pair_by_pair_in_blocks_of_any_size(seed, rows, others, block, rule, turns):
    rng = np.random.default_rng(seed)

    def drawn(count):
        # Vectors of halves: cosines are exact multiples of 1/2, so that ties are real.
        images, texts = ((rng.integers(0, 2, (count, 4)) - 0.5).astype(np.float32) for _ in range(2))
        images[rng.random(count) < 0.3] = 0
        return Side(images=images, texts=texts, unseen=rng.integers(0, 2, count).tolist())

    training, benchmark = drawn(rows), drawn(others)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.curation.decontamination.BLOCK", block)
        patch.setattr("data.curation.decontamination.BENCHMARK_BLOCK", block + 1)
        pairs = found(training, benchmark, rule, turns, image=0.4, text=0.4)
    assert pairs == reference(training, benchmark, rule, turns, 0.4, 0.4)
