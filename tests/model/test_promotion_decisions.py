"""Every decision of the gate from a handful of questions, and which limits hold."""

import pytest

from data.errors import AerieError
from data.settings.base import validated
from model.evaluation.predictions import Prediction
from model.evaluation.promotion.comparison import Side, compare
from model.evaluation.promotion.pairing import Scored, group_numbers, local_score, paired, scored
from model.evaluation.promotion.settings import PromotionSettings

BOTH = ("charts", "chart_table")


def rows(values, source="charts", category="chart_table", ties=None, start=0):
    return [
        Scored(
            question_id=f"q{number}",
            source=source,
            category=category,
            value=value,
            ties=(f"sample {source} {number}",) if ties is None else ties[number - start],
            asked="same",
        )
        for number, value in enumerate(values, start)
    ]


def outcome(before, after, **settings):
    given = PromotionSettings(**{"allowed_drop": 0.1, **settings})
    return compare(Side(questions=after), None if before is None else Side(questions=before), given, seed=3)


def only_line(found):
    (line,) = found.lines
    return line


FORTY = [1.0, 0.0] * 20
# 40 questions; the last n lose all they had or gain what they lacked.
LOST_8 = [value if number < 24 else 0.0 for number, value in enumerate(FORTY)]
LOST_4 = [value if number < 32 else 0.0 for number, value in enumerate(FORTY)]


@pytest.mark.parametrize(
    ("after", "settings", "decision", "refused"),
    [
        (FORTY, {}, "same", False),
        ([1.0] * 40, {}, "better", False),
        (LOST_8, {}, "regression", True),  # 20 points
        (LOST_8, {"allowed_drop": 0.2}, "worse_allowed", False),
        (LOST_4, {"allowed_drop": 0.1}, "worse_allowed", False),  # exactly the limit
        ([0.0, *FORTY[1:]], {"allowed_drop": 0.0}, "same", False),  # one question lost: chance
        ([0.0, *FORTY[1:]], {"allowed_drop": 0.0, "evidence": "non_inferiority"}, "regression", True),
        (FORTY, {"allowed_drop": 0.0, "evidence": "non_inferiority"}, "same", False),
        (LOST_8, {"sources": {"charts": {"allowed_drop": 0.3}}}, "worse_allowed", False),
        (FORTY, {"sources": {"charts": {"require": 0.6}}}, "below_minimum", True),
        (FORTY, {"sources": {"charts": {"require": 0.5}}}, "same", False),
    ],
)
def test_decisions(after, settings, decision, refused):
    found = outcome(rows(FORTY), rows(after), **settings)
    line = only_line(found)
    assert (line.decision, line.refused, found.accepted) == (decision, refused, not refused)
    assert line.reason
    assert line.difference == pytest.approx(sum(after) / 40 - 0.5)
    assert line.low <= line.difference <= line.high
    assert (line.shared, line.groups, line.paired) == (40, 40, True)


def test_a_drop_beyond_the_limit_within_a_wide_interval_is_the_same_unless_proof_is_asked():
    before, after = [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]
    assert only_line(outcome(rows(before), rows(after))).decision == "same"
    strict = outcome(rows(before), rows(after), evidence="non_inferiority")
    assert only_line(strict).decision == "regression"
    assert "does not exclude" in only_line(strict).reason
    assert any("4 groups" in note for note in only_line(strict).notes)


def test_first_of_its_name():
    first = outcome(None, rows(FORTY))
    assert (first.accepted, only_line(first).decision) == (True, "new")
    assert "first of its name" in first.reason
    refused = outcome(None, rows(FORTY), first="refuse")
    assert not refused.accepted
    assert "no predecessor" in refused.reason
    below = outcome(None, rows(FORTY), sources={"charts": {"require": 0.9}})
    assert not below.accepted


def test_no_question_in_common():
    before, after = rows(FORTY), rows([1.0] * 30, start=100)
    refused = only_line(outcome(before, after))
    assert (refused.decision, refused.refused, refused.paired) == ("unmatched", True, False)
    assert refused.difference == pytest.approx(0.5)
    assert refused.low < 0.5 < refused.high
    assert "not paired: both means vary by themselves" in refused.notes
    allowed = outcome(before, after, unmatched="allow")
    assert allowed.accepted
    assert "unmatched: allow" in only_line(allowed).reason


def test_only_shared_questions_are_compared_and_the_others_are_told():
    before = rows([1.0] * 30)  # q0 to q29
    after = rows([1.0] * 20, start=10) + rows([0.0] * 50, start=30)  # q10 to q29, and 50 new ones, all wrong
    line = only_line(outcome(before, after))
    assert (line.decision, line.shared, line.before, line.after) == ("same", 20, 1.0, 1.0)
    assert line.score == pytest.approx(20 / 70)
    assert set(line.notes) == {"50 questions are new and not compared", "10 questions of the predecessor are gone"}


def test_a_source_that_is_gone_is_refused_unless_allowed():
    before = rows(FORTY) + rows(FORTY, "digits", "naive_ocr")
    found = {line.name: line for line in outcome(before, rows(FORTY)).lines}
    assert (found["digits"].decision, found["digits"].refused) == ("gone", True)
    assert outcome(before, rows(FORTY), unmatched="allow").accepted
    new = {line.name: line for line in outcome(rows(FORTY), before).lines}
    assert (new["digits"].decision, new["digits"].refused) == ("new", False)


def test_a_required_source_that_nobody_evaluated_is_refused():
    found = outcome(rows(FORTY), rows(FORTY), sources={"docvqa": {"require": 0.5}, "typo": {"allowed_drop": 0.5}})
    line = next(line for line in found.lines if line.name == "docvqa")
    assert (line.decision, line.score) == ("below_minimum", None)
    assert "was not measured" in line.reason
    assert any("promotion.sources.typo concerns nothing" in note for note in found.notes)


def test_a_category_of_several_sources_has_a_line_and_limits_of_its_own():
    before = rows(FORTY) + rows(FORTY, "tables")
    after = rows(LOST_4) + rows(LOST_4, "tables")
    lines = {(line.level, line.name): line for line in outcome(before, after).lines}
    assert set(lines) == {("source", "charts"), ("source", "tables"), ("category", "chart_table")}
    assert lines["category", "chart_table"].shared == 80
    strict = outcome(before, after, categories={"chart_table": {"allowed_drop": 0.05}})
    assert {line.decision for line in strict.lines if line.refused} == {"regression"}
    assert {line.allowed_drop for line in strict.lines} == {0.05}, "its sources have its limit, unless they have one"
    own = {"sources": {"charts": {"allowed_drop": 0.5}}, "categories": {"chart_table": {"allowed_drop": 0.05}}}
    lines = {line.name: line for line in outcome(before, after, **own).lines}
    assert lines["charts"].allowed_drop == 0.5


def test_many_lines_need_more_certainty_each():
    before = [row for number in range(10) for row in rows(FORTY, f"s{number}", "science")]
    together = outcome(before, before)
    assert together.chance.confidence == pytest.approx(1 - 0.05 / 11)  # ten sources and their category
    assert together.chance.resamples == 8800  # twenty beyond each end
    alone = outcome(before, before, family="each_line")
    assert (alone.chance.confidence, alone.chance.resamples) == (0.95, 2000)


def test_false_alarms_of_many_sources_stay_rare():
    """Nothing changed but chance, in 12 sources: few of 20 comparisons may refuse."""
    import numpy as np

    def refusals(family):
        random, refused = np.random.default_rng(5), 0
        for _ in range(20):
            sides = [
                [row for s in range(12) for row in rows((random.random(40) < 0.5).astype(float), f"s{s}", "science")]
                for _ in range(2)
            ]
            refused += not outcome(*sides, allowed_drop=0.0, family=family).accepted
        return refused

    assert refusals("all_lines") <= 2
    assert refusals("each_line") >= 4


def test_nothing_answered_is_never_accepted():
    assert not outcome(None, []).accepted
    assert not outcome(None, rows([None, None])).accepted


def test_answers_without_a_verdict_are_left_out_and_counted():
    line = only_line(outcome(rows(FORTY), rows([None, None, *FORTY[2:]])))
    assert (line.shared, line.questions) == (38, 38)
    assert "4 answers have no verdict" in line.notes


def test_ties_connect_through_chains():
    ties = [("sample a", "image 1"), ("sample b", "image 2"), ("sample c", "image 1", "image 2"), ("sample d",)]
    assert group_numbers(rows([0.0] * 4, ties=ties)).tolist() == [0, 0, 0, 1]


def prediction(number, **change):
    values = {
        "question_id": f"s{number}#0", "sample_id": f"s{number}", "source": "charts", "category": "chart_table",
        "task": "max", "answer_type": "open", "prompt": "?", "answer": "tea", "output": "tea", "majority": "",
        "blind": False, "checkpoint": "c", "rule": "exact", "answers": ("tea",), "images": ("i",),
    }  # fmt: skip
    return Prediction(**{**values, **change})


def test_predictions_are_scored_by_the_given_rules_without_blind_ones():
    given = [prediction(0), prediction(1, output="milk", facts={"group": 7}), prediction(1, blind=True)]
    one, other = scored(given, local_score)
    assert (one.value, other.value) == (1.0, 0.0)
    assert other.ties == ("sample s1", "image i", "group 7")
    assert [row.value for row in scored(given, lambda row: 0.25)] == [0.25, 0.25]


def test_a_repeated_question_and_an_impossible_score_are_named():
    with pytest.raises(AerieError, match=r"question s0#0 of 'charts' was answered twice"):
        scored([prediction(0), prediction(0)], local_score)
    with pytest.raises(AerieError, match=r"question s0#0 of 'charts' scores 80, not in \[0, 1\]"):
        scored([prediction(0)], lambda row: 80)


def test_another_prompt_under_the_same_id_is_told():
    one, other = (scored([prediction(0, prompt=prompt)], local_score) for prompt in ("?", "? Answer briefly."))
    assert paired(one, other).changed == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"allowed": 0.1}, "allowed: Extra inputs are not permitted (unknown key)"),
        ({"allowed_drop": 5}, "allowed_drop: Input should be less than or equal to 1"),
        ({"categories": {"charts": {}}}, "categories.charts"),
        ({"sources": {"a": {"drop": 1}}}, "sources.a.drop"),
        ({"confidence": 95}, "confidence: Input should be less than 1"),
        ({"model_registry_url": "http://user:secret@host"}, "model_registry_url"),
        ({"model": "../up"}, "model: String should match pattern"),
    ],
)
def test_the_section_is_strict(document, said):
    with pytest.raises(AerieError) as error:
        validated(PromotionSettings, document, "recipe.yaml")
    assert said in str(error.value)
