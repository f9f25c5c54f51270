import pytest

from data.expectations.leakage import LeakCheck, answered_pairs
from data.images import encode_png, image_ref
from data.schema import Turn, make_sample


def sample(question, answer, key, *, image=None):
    images = () if image is None else (image_ref(image, "made.png"),)
    return make_sample(
        images=images,
        conversations=(Turn(role="user", content=question), Turn(role="assistant", content=answer)),
        source="made",
        category="text_only" if image is None else "general_vqa",
        meta={"key": key},
    )


@pytest.fixture
def check():
    held_out = LeakCheck()
    held_out.hold_out(sample("Who are you?", "A network.", "held"), ())
    return held_out


def test_a_reworded_copy_without_image_is_found(check):
    assert check.match(sample("  who ARE you? ", "a  network.", "other"), ()).startswith("question and answer")
    assert check.match(sample("Who are you?", "A person.", "third"), ()) is None


def test_the_same_pixels_under_another_question_are_found(check):
    from PIL import Image

    payload = encode_png(Image.new("RGB", (8, 8), "red"))
    check.hold_out(sample("What colour?", "red", "image", image=payload), ("hash of red",))
    assert check.match(sample("Is it red?", "yes", "copy", image=payload), ("hash of red",)).startswith("image")
    assert check.match(sample("Is it red?", "yes", "copy", image=payload), ("hash of blue",)) is None


def test_every_comparison_is_counted(check):
    check.match(sample("Who are you?", "A network.", "other"), ())
    check.match(sample("What now?", "Nothing.", "more"), ())
    report = check.report()
    assert report["training_rows_compared"] == 2
    assert report["matches_found"] == report["matches_dropped"] == 1
    assert report["matches_by_source"] == {"made": 1}


def test_pairs_skip_the_system_turn():
    turns = (
        Turn(role="system", content="Be kind."),
        Turn(role="user", content="Hi"),
        Turn(role="assistant", content="Hello"),
    )
    spoken = make_sample(images=(), conversations=turns, source="made", category="text_only", meta={})
    assert answered_pairs(spoken) == [("hi", "hello")]
