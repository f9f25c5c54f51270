import json

import pytest

from data.curation.measures import MEASURES_SCHEMA, measure, measures_bytes, measures_from, question_answers
from data.schema import ImageRef, Turn, make_sample

IMAGE = ImageRef(bytes=b"png", path="a.png", width=8, height=8)


def sample(*pairs, images=1, **meta):
    turns = []
    for index, (question, answer) in enumerate(pairs):
        turns.append(Turn(role="user", content="<image>\n" * (images if index == 0 else 0) + question))
        turns.append(Turn(role="assistant", content=answer))
    return make_sample(
        source="mine", category="general_vqa", images=(IMAGE,) * images, conversations=tuple(turns), meta=meta
    )


CLEAN = sample(
    ("is there a red circle in the image?", "no"),
    ("what color is the shape?", "blue"),
    ("what shape is in the image?", "circle"),
    tasks=["yes_no", "color", "shape"],
)
ZERO = ("empty_turns", "placeholder_leaks", "refusals", "template_residues", "mismatched_turns", "unsupported_decimals")


def details(measures):
    return json.loads(measures.details)


def test_a_clean_sample_measures_nothing_wrong():
    found = measure(CLEAN)
    assert {name: getattr(found, name) for name in ZERO} == dict.fromkeys(ZERO, 0)
    assert (found.repeated_ngram_ratio, found.repeated_turn_ratio, found.relevance, details(found)) == (0, 0, 1, {})
    assert found.answer_chars == len("nobluecircle")
    assert found.max_turn_chars == len("<image>\nis there a red circle in the image?")
    assert (found.sample_id, found.source, found.category) == (CLEAN.sample_id, "mine", "general_vqa")


@pytest.mark.parametrize(
    ("bad", "name", "count", "detail"),
    [
        (sample(("What?", " \n")), "empty_turns", 1, "turn 2 (assistant) is empty"),
        (sample(("", "a dog")), "empty_turns", 1, "turn 1 (user) is empty"),
        (sample(("What?", "<image> a dog")), "placeholder_leaks", 1, "<image> in an answer"),
        (sample(("What?<|im_end|>", "a dog")), "placeholder_leaks", 1, "<|im_end|>"),
        (sample(("What?", "I'm sorry, but I can't see it.")), "refusals", 1, "I'm sorry, but I can't"),
        (sample(("What?", r"\begin{align*} x")), "template_residues", 1, r"\begin{align*}"),
        (sample(("Is it red?", "circle"), ("Is it blue?", "yes")), "mismatched_turns", 1, "yes/no question"),
        (sample(("what color is it?", "red"), ("What color  is it?", "blue")), "mismatched_turns", 1, "'red' before"),
    ],
)
def test_what_is_wrong_is_counted_and_shown(bad, name, count, detail):
    found = measure(bad)
    assert getattr(found, name) == count
    assert detail in details(found)[name]
    assert {other: getattr(found, other) for other in ZERO if other != name} == dict.fromkeys(set(ZERO) - {name}, 0)


def test_a_free_dialogue_may_answer_anything():
    pairs = [("Are you happy?", "Software lacks moods"), ("Are you happy?", "Ask me later")]
    assert measure(sample(*pairs, images=0, task="dialogue")).mismatched_turns == 0
    assert measure(sample(*pairs, images=0, tasks=["dialogue"] * 2)).mismatched_turns == 0
    assert measure(sample(*pairs, images=0)).mismatched_turns == 2


def test_decimals_are_held_against_the_facts_of_the_sample():
    facts = {"chart": {"labels": ["a", "b"], "values": ["13.2", "8"]}}
    question = "What is the low for a?"
    assert measure(sample((question, "13.2"), **facts)).unsupported_decimals == 0
    assert measure(sample((question, "13.2417"), **facts)).unsupported_decimals == 3
    assert measure(sample((question, "13.2417"), precision=4)).unsupported_decimals == 0
    assert measure(sample((question, "13.2417"), images=0)).unsupported_decimals == 0
    found = measure(sample((question, "13.2417"), **facts))
    assert details(found)["unsupported_decimals"] == "'13.2417' has 4 decimals, 1 are supported"


def test_repetition_in_and_between_answers():
    pairs = [("what shape?", "circle"), ("What  shape?", "circle"), ("what color?", "red"), ("what shape?", "Circle")]
    assert measure(sample(*pairs)).repeated_turn_ratio == 0.5
    assert measure(sample(("Describe it.", "a dog on a mat " * 5))).repeated_ngram_ratio > 0.7


def test_relevance_counts_questions_beyond_the_images():
    found = measure(sample(("What is in the image?", "a dog"), ("Who are you?", "a program"), images=0))
    assert found.relevance == 0
    assert "no image" in details(found)["relevance"]


def test_pairs_of_odd_conversations():
    turns = (Turn(role="system", content="s"), Turn(role="assistant", content="hello"), Turn(role="user", content="q"))
    odd = make_sample(source="mine", category="text_only", images=(), conversations=turns, meta={})
    assert question_answers(odd) == [("", "hello")]
    lonely = make_sample(source="mine", category="text_only", images=(), conversations=turns[2:], meta={})
    assert measure(lonely).empty_turns == 1
    assert measure(lonely).relevance == 1


def test_measures_survive_parquet():
    rows = [measure(CLEAN), measure(sample(("What?", "I'm sorry, but I can't see it.")))]
    assert measures_from(measures_bytes(rows)) == rows
    assert measures_from(measures_bytes([])) == []
    assert MEASURES_SCHEMA.field("repeated_turn_ratio").type == "double"
