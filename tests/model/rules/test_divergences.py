"""Every row of the table of divergences is shown by one example: the scores of a benchmark under each rule set."""

import pytest

from model.evaluation.rules import DIVERGENCES, RULE_SETS, rule_gap

ABC = ("cat", "dog", "cow")
CHOICE, OPEN = {"question_type": "multiple-choice"}, {"question_type": "open"}
VD = {"category": "VD", "subcategory": "chart", "set_id": "1", "figure_id": "1", "question_id": "0"}
FORMULA = {"type": "Handwritten Mathematical Expression Recognition"}


def free(kind):
    return {"question_type": "free_form", "answer_type": kind, "precision": 1}


EXAMPLES = {  # key -> rule, output, answers, options, facts, benchmark; expected scores
    "exact/period": (("exact", "yes.", "yes!"), (0, 0, 100)),
    "exact/blanks": (("exact", "dark  blue ", "dark  blue"), (100, 100, 0)),
    "anls/half": (("anls", "abcd", "abxy"), (0, 50, 50)),
    "anls/period": (("anls", "abcd.", "abcd"), (100, 80, 80)),
    "anls/raw-length": (("anls", "abcx    ", "abcd"), (75, 75, 87.5)),
    "relaxed/thousands": (("relaxed", "1,200", "1200"), (100, 0, 0)),
    "relaxed/blanks": (("relaxed", "Oct ", "Oct"), (100, 100, 0)),
    "relaxed/zero": (("relaxed", "0.0", "0"), (100, 0, 0)),
    "relaxed/period": (("relaxed", "Yes.", "Yes"), (100, 0, 0)),
    "vqa/comma": (("vqa", "red,white", ["red white"] * 10), (0, 100, 0)),
    "vqa/possessive": (("vqa", "joe's", ["joe 's"] * 10), (100, 0, 100)),
    "ocrbench/formula-case": (("ocrbench", "X^2", "X^2", (), FORMULA), (1000, 1000, 0)),
    "choice/sentence": (("choice", "B, since A is not valid", "B", ABC), (100, 0, 0)),
    "choice/article": (("choice", "A bird sits", "A", ABC), (0, 100, 0)),
    "choice/first-letter": (("choice", "Cannot tell", "C", ABC, {}, "mmstar"), (0, 0, 100)),
    "choice/option-text": (("choice", "It is a dog", "B", ABC), (100, 100, 0)),
    "choice/refusal": (("choice", "Cannot determine the answer: dog", "B", ABC), (100, 0, 0)),
    "mmmu/unread": (("mmmu", "?", "A", ("x",), CHOICE), (0, 0, 100)),  # with one option the guess is right
    "mmmu/inside-word": (("mmmu", "USA is the land", "A", ABC, CHOICE), (0, 0, 100)),
    "mmmu/several": (("mmmu", "not A but B", "B", ABC, CHOICE), (100, 0, 100)),
    "mmmu/open": (("mmmu", "A", "24", (), OPEN), (0, 100, 0)),
    "circular/bracket": (("circular", "not [A] but B.", "B", ABC, {"group": "g"}), (100, 0, 100)),
    "circular/long-text": (("circular", "It is a dog. " * 5, "B", ABC, {"group": "g"}), (100, 0, 100)),
    "hallusion/both-words": (("hallusion", "No, yes is wrong", "No", (), VD), (100, 0, 0)),
    "hallusion/neither": (("hallusion", "It is unclear", "No", (), VD), (0, 0, 100)),
    "mathvista/integer": (("mathvista", "14.0", "14", (), free("integer")), (100, 0, 100)),
    "mathvista/list": (("mathvista", "[1,2]", "[1, 2]", (), free("list")), (100, 0, 0)),
    "mathvista/float": (("mathvista", "0.64", "0.60", (), free("float")), (100, 0, 0)),
    "mathvista/choice": (
        ("mathvista", "a dot", "B", ABC, {"question_type": "multi_choice", "extracted": "dot"}),
        (0, 0, 100),
    ),
    "iou/unit": (("iou", "<box>[[0, 0, 500, 500]]</box>", "[0, 0, 0.5, 0.5]"), (100, 100, 0)),
    "count/substring": (("count", "13", "3"), (0, 100, 0)),
    "any/empty": (("hallusion", " ", "No", (), VD), (0, 0, 0)),
}
ELSEWHERE = {  # these need several questions: test_summaries.py; the guesses of circular/unread: test_circular_rule.py
    "mmstar/mean",
    "hallusion/no-figure",
    "hallusion/subcategory",
    "circular/unread",
}


def test_every_divergence_has_an_example():
    assert {row.key for row in DIVERGENCES} == set(EXAMPLES) | ELSEWHERE
    assert len(DIVERGENCES) == len({row.key for row in DIVERGENCES})


@pytest.mark.parametrize("key", EXAMPLES)
def test_divergence(answered, key):
    (rule, output, answers, *rest), expected = EXAMPLES[key]
    options, facts, benchmark = [*rest, *((), {}, "bench")[len(rest) :]]
    row = answered(rule, output, answers, options, facts, benchmark=benchmark)
    gap = rule_gap([row])
    assert [gap[rules]["aAcc" if rule == "hallusion" else "score"] for rules in RULE_SETS] == pytest.approx(expected)
    assert len(set(expected)) > 1 or key == "any/empty"
