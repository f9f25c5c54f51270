import pytest

from data.curation.endpoint.chat import Answer
from data.curation.rewriting.answer_check import check
from data.settings.augmentation import CotSettings, RewriteSettings

BODY = "The blue bar ends at five and the red one at twelve, so red is higher."


def answer(text, finish_reason="stop"):
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "estimated": False}
    return Answer(text=text, finish_reason=finish_reason, host="h", model="m", **counts)


def cot(text, known="red", family="phrase", finish_reason="stop", **settings):
    return check("cot", answer(text, finish_reason), known, family, CotSettings(**settings))


def long(text, known="red", family="phrase", **settings):
    return check("long_answer", answer(text), known, family, RewriteSettings(**settings))


@pytest.mark.parametrize(
    "last",
    [
        "Answer: red",
        "Answer: Red.",
        "**Answer:** red",
        "**Answer: red**",
        "### Answer: red",
        "Final answer: red",
        "The answer is red.",
        "Therefore, the answer is: red",
        "The correct answer is **red**.",
        "Answer:\nred",
        "Answer：red",
        r"Answer: \boxed{red}",
        'Answer: "red"',
        "answer: the red",
    ],
)
def test_reasoning_that_ends_in_the_known_answer(last):
    verdict = cot(f"{BODY}\n\n{last}\n")
    assert (verdict.reason, verdict.text) == ("", f"{BODY}\nAnswer: red")


@pytest.mark.parametrize(
    ("known", "family", "said"),
    [("1,200", "number", "1200"), ("B", "letter", "(B) blue"), ("yes", "yes_no", "Yes."), ("3", "number", "three")],
)
def test_the_last_line_is_written_as_it_was_known(known, family, said):
    assert cot(f"{BODY}\nAnswer: {said}", known, family).text == f"{BODY}\nAnswer: {known}"


def test_a_number_within_the_recipes_tolerance():
    assert cot(f"{BODY}\nAnswer: 101", "100", "number").reason == "wrong_answer"
    assert cot(f"{BODY}\nAnswer: 101", "100", "number", number_tolerance=0.02).text.endswith("Answer: 100")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (f"{BODY}\nAnswer: blue", "wrong_answer"),
        (f"{BODY}\nAnswer: blue\nNo, once more.\nAnswer: red", "wrong_answer"),
        (f"{BODY}\nThe answer is clear from the picture: red", "wrong_answer"),
        (f"{BODY}", "no_final_answer"),
        (f"{BODY}\nAnswer:", "no_final_answer"),
        (f"{BODY}\nAnswer: red\nI hope this helps with your question.", "no_final_answer"),
        ("Answer: red", "too_short"),
        ("It is red.\nAnswer: red", "too_short"),
        ("I'm sorry, but I can't see the image.\nAnswer: red", "refusal"),
        ("As an AI language model, I cannot tell what it shows.\nAnswer: red", "refusal"),
        ("In <image> one bar is red and it is longer than the blue one.\nAnswer: red", "placeholder"),
        (f"{BODY}<|im_end|>\nAnswer: red", "placeholder"),
        (f"{BODY}\0\nAnswer: red", "broken_text"),
        (BODY + " {answer}\nAnswer: red", "template_residue"),
        (BODY + "\n\\begin{align*} x\nAnswer: red", "template_residue"),
        ("The bar is red. " * 30 + "\nAnswer: red", "repetition"),
        ("x" * 3000, "too_long"),
        (
            "The correct answer is given as red, for its bar is the longest one.\nAnswer: red",
            "mentions_given_answer",
        ),
        ("As you told me, the bar that ends at twelve is the red one.\nAnswer: red", "mentions_given_answer"),
        ("The answer you provided is right: the red bar is the longer one.\nAnswer: red", "mentions_given_answer"),
    ],
)
def test_reasoning_that_is_rejected(text, reason):
    assert cot(text) == cot(text)
    assert cot(text).reason == reason
    assert cot(text).text == ""


@pytest.mark.parametrize(
    "body",
    [
        "The answer is given by the difference of the two bars, and the longer bar is the red one.",
        "As given in the table, the second row holds the highest of all the values, and it is red.",
        "Of the given answer choices only one is a colour that the picture shows, and that is red.",
        "Provided that the bars start at zero, the longest bar is the one that is drawn in red.",
    ],
)
def test_words_that_only_look_like_a_told_answer(body):
    assert not cot(f"{body}\nAnswer: red").reason


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [("length", "cut_off"), ("too_large", "too_long"), ("refusal", "refusal"), ("content_filter", "refusal")],
)
def test_an_answer_that_ended_for_a_wrong_reason(finish_reason, reason):
    assert cot(f"{BODY}\nAnswer: red", finish_reason=finish_reason).reason == reason
    assert not cot(f"{BODY}\nAnswer: red", finish_reason="").reason


@pytest.mark.parametrize(
    ("known", "family", "text"),
    [
        ("red", "phrase", "The longest of the three bars is the red one, as it ends at twelve."),
        ("red circle", "phrase", "There is not only a square here: a red circle stands in the middle."),
        ("red", "phrase", "It is not blue, and it is no square: the figure in the picture is red."),
        ("12", "number", "There are twelve bars in this chart, four of them in each group."),
        ("1,200", "number", "In the last year shown the price was 1200 dollars, the highest of all."),
        ("yes", "yes_no", "Yes, the figure in the middle of the picture is a circle."),
        ("no", "yes_no", "No. The figure in the middle of the picture is a square."),
    ],
)
def test_sentences_that_state_the_answer(known, family, text):
    assert long(text, known, family).text == text


@pytest.mark.parametrize(
    ("known", "family", "text", "reason"),
    [
        ("red", "phrase", "The longest of the three bars is the blue one, as it ends at five.", "answer_missing"),
        ("red", "phrase", "The figure in the middle of the picture is not really red at all.", "wrong_answer"),
        ("red", "phrase", "It is red.", "too_short"),
        ("12", "number", "There are thirteen bars in this chart, and some more in each group.", "answer_missing"),
        ("yes", "yes_no", "No, the figure in the middle of the picture is a square.", "wrong_answer"),
        ("yes", "yes_no", "The figure in the middle of the picture is a circle, yes.", "answer_missing"),
        ("red", "phrase", "I'm unable to see the image, but the red one is likely to be longest.", "refusal"),
    ],
)
def test_sentences_that_are_rejected(known, family, text, reason):
    assert long(text, known, family).reason == reason


def test_the_recipe_says_how_long_and_how_repetitive():
    text = f"{BODY}\nAnswer: red"
    assert cot(text, min_words=40).reason == "too_short"
    assert cot(text, max_chars=20).reason == "too_long"
    twice = f"{BODY} {BODY}\nAnswer: red"
    assert cot(twice).reason == "repetition"
    assert not cot(twice, max_repeated_ngram_ratio=0.6).reason
