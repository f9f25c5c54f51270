import pytest

from data.curation.measures import MEASURES, explain, measure
from data.curation.talk import Talk
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


def shown(sample, name):
    return explain(Talk.of(sample), name, measure(sample)[name])


LENGTHS = {"answer_chars", "max_turn_chars"}
WRONG = [
    (sample(("What?", " \n")), "empty_turns", 1, "turn 2 (assistant) is empty"),
    (sample(("", "a dog")), "empty_turns", 1, "turn 1 (user) is empty"),
    (sample(("What?", "<image> a dog")), "placeholder_leaks", 1, "<image> in an answer"),
    (sample(("What?<|im_end|>", "a dog")), "placeholder_leaks", 1, "<|im_end|>"),
    (sample(("What?", "I'm sorry, but I can't see it.")), "refusals", 1, "I'm sorry, but I can't"),
    (sample(("What?", r"\begin{align*} x")), "template_residues", 1, r"\begin{align*}"),
    (sample(("Is it red?", "circle"), ("Is it blue?", "yes")), "mismatched_turns", 1, "yes/no question"),
    (sample(("what color is it?", "red"), ("What color  is it?", "blue")), "mismatched_turns", 1, "'red' before"),
    (sample(("What is in the image?", "a dog"), ("Who are you?", "x"), images=0), "questions_beyond_images", 1, "no"),
]


def test_a_clean_sample_measures_nothing_wrong():
    found = measure(CLEAN)
    assert {name: value for name, value in found.items() if value and name not in LENGTHS} == {}
    assert found["answer_chars"] == len("nobluecircle")
    assert found["max_turn_chars"] == len("<image>\nis there a red circle in the image?")
    assert shown(CLEAN, "answer_chars") == "answer_chars = 12"


@pytest.mark.parametrize(("bad", "name", "count", "detail"), WRONG)
def test_what_is_wrong_is_counted_and_shown(bad, name, count, detail):
    found = measure(bad)
    assert found[name] == count
    assert detail in shown(bad, name)
    assert {other for other, value in found.items() if value and other not in LENGTHS} == {name}


def test_a_free_dialogue_may_answer_anything():
    pairs = [("Are you happy?", "Software lacks moods"), ("Are you happy?", "Ask me later")]
    assert measure(sample(*pairs, images=0, task="dialogue"))["mismatched_turns"] == 0
    assert measure(sample(*pairs, images=0, tasks=["dialogue"] * 2))["mismatched_turns"] == 0
    assert measure(sample(*pairs, images=0))["mismatched_turns"] == 2


def test_the_same_words_about_a_next_image_or_for_more_are_no_contradiction():
    twice = [("<image>\nWhat animal is this one?", "a dog"), ("<image>\nWhat animal is this one?", "a cat")]
    assert measure(sample(*twice, images=0))["mismatched_turns"] == 0
    assert measure(sample(twice[0], (twice[1][0].strip("<image>\n"), "a cat")))["mismatched_turns"] == 1
    same = [(question, "a dog") for question, _ in twice]
    assert measure(sample(*same * 2, images=0))["repeated_turn_ratio"] == 0
    more = [("What else?", "a dog"), ("What else?", "a cat")]
    more += [("Go on and tell me more.", "x"), ("Go on and tell me more.", "y")]
    assert measure(sample(*more))["mismatched_turns"] == 0


def test_odd_meta_and_long_boxes_do_no_harm():
    talk = Talk(roles=("user", "assistant"), texts=("Is it?", "yes"), images=1, meta="[1]")
    assert talk.known == {}
    assert measure(sample(("Where?", "<box>" + " " * 20_000 + "x</box>")))["markup_errors"] == 1


def test_decimals_are_held_against_the_facts_of_the_sample():
    facts = {"chart": {"labels": ["a", "b"], "values": ["13.2", "8"]}}
    question = "What is the low for a?"
    assert measure(sample((question, "13.2"), **facts))["unsupported_decimals"] == 0
    assert measure(sample((question, "13.2417"), **facts))["unsupported_decimals"] == 3
    assert measure(sample((question, "13.2417"), precision=4))["unsupported_decimals"] == 0
    assert measure(sample((question, "13.2417"), images=0))["unsupported_decimals"] == 0
    text = shown(sample((question, "13.2417"), **facts), "unsupported_decimals")
    assert text == "'13.2417' has 4 decimals, 1 are supported"


def test_repetition_in_and_between_answers():
    pairs = [("what shape?", "circle"), ("What  shape?", "circle"), ("what color?", "red"), ("what shape?", "Circle")]
    assert measure(sample(*pairs))["repeated_turn_ratio"] == 0.5
    assert measure(sample(("Describe it.", "a dog on a mat " * 5)))["repeated_ngram_ratio"] > 0.7


def test_pairs_and_order_of_odd_conversations():
    turns = (Turn(role="system", content="s"), Turn(role="assistant", content="hello"), Turn(role="user", content="q"))
    odd = make_sample(source="mine", category="text_only", images=(), conversations=turns, meta={})
    assert Talk.of(odd).pairs() == [("", "hello")]
    assert measure(odd)["order_errors"] == 3
    assert shown(odd, "order_errors") == "turn 2 is by 'assistant', expected 'user'"
    lonely = make_sample(source="mine", category="text_only", images=(), conversations=turns[2:], meta={})
    assert measure(lonely)["empty_turns"] == 1
    assert measure(lonely)["order_errors"] == 1


def test_every_measure_says_what_it_means():
    assert all(one.meaning for one in MEASURES.values())
