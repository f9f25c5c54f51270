import io

import pytest
from PIL import Image

from data.errors import AerieError
from data.schema import ImageRef, Turn, make_sample
from model.evaluation.questions import answer_type, capped, sample_questions


def picture(grey: int) -> ImageRef:
    sink = io.BytesIO()
    Image.new("L", (4, 4), grey).save(sink, format="PNG")
    return ImageRef(bytes=sink.getvalue(), path=f"{grey}.png", width=4, height=4)


def conversation(*turns, images=(), source="s", **meta):
    roles = ("user", "assistant")
    return make_sample(
        source=source,
        category="general_vqa",
        images=images,
        conversations=tuple(Turn(role=roles[i % 2], content=text) for i, text in enumerate(turns)),
        meta=meta,
    )


def test_a_conversation_becomes_one_question_per_pair():
    sample = conversation(
        "<image>\nIs it red?", "yes", "Which shape?", "circle", images=(picture(1),), tasks=["yes_no", "shape"]
    )
    first, second = sample_questions(sample)
    assert first.question_id == f"{sample.sample_id}#0"
    assert second.question_id == f"{sample.sample_id}#1"
    assert [q.prompt for q in (first, second)] == ["<image>\nIs it red?", "<image>\nWhich shape?"]
    assert [q.answer for q in (first, second)] == ["yes", "circle"]
    assert [q.task for q in (first, second)] == ["yes_no", "shape"]
    assert [q.answer_type for q in (first, second)] == ["yes_no", "open"]
    assert first.images == second.images == sample.images
    assert first.image_key == second.image_key != ""


def test_a_question_sees_the_images_placed_so_far_and_no_later_one():
    one, two = picture(1), picture(2)
    sample = conversation("<image>\nA?", "x", "<image>\nB?", "y", images=(one, two), task="open")
    first, second = sample_questions(sample)
    assert (first.images, second.images) == ((one,), (one, two))
    assert second.prompt == "<image>\n<image>\nB?"
    assert first.image_key != second.image_key


def test_text_only_has_no_image_key_and_a_single_task_counts_for_every_pair():
    questions = sample_questions(conversation("Hi", "Hello", "Bye", "See you", task="dialogue"))
    assert {q.task for q in questions} == {"dialogue"}
    assert {q.image_key for q in questions} == {""}
    assert {q.prompt for q in questions} == {"Hi", "Bye"}


@pytest.mark.parametrize(
    "sample",
    [
        conversation("Hi", "Hello", "Bye", task="dialogue"),
        conversation("Hi", "Hello", tasks=["a", "b"]),
    ],
    ids=["odd", "tasks"],
)
def test_broken_conversations_name_the_sample(sample):
    with pytest.raises(AerieError, match=sample.sample_id):
        sample_questions(sample)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("yes", "yes_no"), ("No.", "yes_no"), ("YES", "yes_no"), ("maybe", "open"), ("no idea", "open"), ("", "open")],
)
def test_answer_type(answer, kind):
    assert answer_type(answer) == kind


def test_the_cap_is_per_source_seeded_and_keeps_the_order():
    samples = [conversation(f"Q{i}", "a", source="s" if i % 2 else "t", task="open") for i in range(20)]
    chosen = capped(samples, 3, seed=7)
    assert [sum(sample.source == name for sample in chosen) for name in "st"] == [3, 3]
    assert [samples.index(sample) for sample in chosen] == sorted(samples.index(sample) for sample in chosen)
    assert chosen == capped(samples, 3, seed=7) != capped(samples, 3, seed=8)
    assert capped(samples, None, seed=7) == samples
