"""The units of a benchmark: their mean is the score that `aerie score --rules eagle2` prints, in every shape."""

import math
import random

import pytest
from rule_questions import QUESTIONS, hallusion_rows

from data.errors import AerieError
from model.evaluation.benchmarks.cards import benchmark_cards
from model.evaluation.rules import RULES, UNIT_RULES, summarise, units, verdict
from model.evaluation.rules.units import HALLUSION_PARTS, WHOLE

RIGHT = {"exact": "yes", "relaxed": "12%", "anls": "license", "token_f1": "I am", "vqa": "go", "ocrbench": "x ^ 2"}
RIGHT |= {"choice": "B", "mmmu": "24", "mathvista": "[1, 2]", "iou": "[1, 2, 30, 40]", "count": "3", "mmvet": "y"}
PLAIN = [rule for rule in RULES if rule not in ("circular", "hallusion")]


def parts(rows):
    """Part -> its units, and the numbers that `aerie score` prints."""
    verdicts = [verdict(row, UNIT_RULES) for row in rows]
    return units(rows, verdicts), summarise(rows, verdicts, UNIT_RULES)


def mean(some):
    judged = [unit.value for unit in some if unit.value is not None]
    return math.fsum(judged) / len(judged)


@pytest.mark.parametrize("rule", PLAIN)
def test_a_plain_mean_has_one_unit_a_question(answered, rule):
    answers, options, facts = QUESTIONS[rule]
    texts = [text for _, text in options]
    rows = [
        answered(rule, RIGHT[rule] if n % 3 else "nothing like it", answers, texts, facts, question_id=f"q{n}")
        for n in range(10)
    ]
    found, numbers = parts(rows)
    assert list(found) == [WHOLE]
    assert [(unit.name, unit.places) for unit in found[WHOLE]] == [(f"q{n}", (n,)) for n in range(10)]
    assert 0 < mean(found[WHOLE]) <= 1
    scale = 1000 if rule == "ocrbench" else 100
    assert scale * mean(found[WHOLE]) == pytest.approx(numbers["score"])


def test_a_circular_question_is_one_unit_right_only_in_every_rotation(answered):
    options, draw = ("cat", "dog", "cow"), random.Random(3)
    rows = [
        answered("circular", draw.choice("BCCAA") if group % 2 else "BCA"[copy], "BCA"[copy], options, {"group": group},
                 question_id=f"{copy}/{group}")
        for copy in range(3)
        for group in range(20)
    ]  # fmt: skip
    found, numbers = parts(rows)
    assert len(found[WHOLE]) == numbers["groups"] == 20
    assert found[WHOLE][4].places == (4, 24, 44)
    assert 0.5 <= mean(found[WHOLE]) < 1
    assert 100 * mean(found[WHOLE]) == pytest.approx(numbers["score"])
    assert numbers["vanilla"] > numbers["score"]


def test_hallusionbench_has_three_parts_whose_mean_is_the_score(answered):
    found, numbers = parts(hallusion_rows(answered))
    assert tuple(found) == HALLUSION_PARTS
    assert [len(found[name]) for name in HALLUSION_PARTS] == [7, 4, 4]
    for name in HALLUSION_PARTS:
        assert 100 * mean(found[name]) == pytest.approx(numbers[name])
    assert 100 * sum(map(mean, found.values())) / 3 == pytest.approx(numbers["score"])
    assert {place for unit in found["fAcc"] for place in unit.places} == {0, 1, 2, 3, 5, 6}, "row 4 has no figure"


def test_without_a_figure_there_is_no_figure_part(answered):
    facts = {"category": "VS", "set_id": "1", "figure_id": "0"}
    rows = [
        answered("hallusion", "Yes", answer, facts=facts | {"question_id": answer}, question_id=answer)
        for answer in ("Yes", "No")
    ]
    found, numbers = parts(rows)
    assert tuple(found) == ("aAcc", "qAcc")
    assert 100 * sum(map(mean, found.values())) / 2 == pytest.approx(numbers["score"])


def test_answers_that_only_a_judge_can_score_have_no_value(answered):
    judged = [answered("mmvet", "x", "y", facts={"judge_score": s}, question_id=str(s)) for s in (0.5, 1.0)]
    found, numbers = parts([*judged, answered("mmvet", "x", "y", question_id="open")])
    assert [unit.value for unit in found[WHOLE]] == [0.5, 1.0, None]
    assert 100 * mean(found[WHOLE]) == pytest.approx(numbers["score"])


def test_every_card_has_a_shape_that_was_tried():
    rules = {rule for card in benchmark_cards().values() for rule in (card.rule, card.rule_without_options) if rule}
    assert rules <= {*PLAIN, "circular", "hallusion"}


def test_mistakes_are_named(answered):
    row = answered("exact", "yes", "yes")
    with pytest.raises(AerieError, match="more than once, first 'q'"):
        parts([row, row])
