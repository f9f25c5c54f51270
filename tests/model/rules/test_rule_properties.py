"""What holds for every rule and rule set, on generated outputs, and what every rule refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_questions import QUESTIONS

from data.errors import AerieError
from model.evaluation.answered import Answered
from model.evaluation.rules import RULE_SETS, RULES, rule_gap, verdict

PIECES = ["A", "B", "(B)", "dog", "cat", "not ", "The answer is ", "yes", "No", ",", ".", " ", "\n", "%", "12", "1,200"]
PIECES += ["[1, 2]", "<box>[[1, 2, 30, 40]]</box>", "\\boxed{", "}", "license", "stop", "three", "$", "x ^ 2", "1e999"]
OUTPUTS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))


def question(rule, output, question_id="q"):
    answers, options, facts = QUESTIONS[rule]
    return Answered(
        question_id=question_id,
        benchmark="bench",
        rule=rule,
        prompt="?",
        output=output,
        answers=answers,
        options=options,
        facts=facts,
    )


def test_every_rule_is_tried():
    assert set(QUESTIONS) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(output=OUTPUTS)
def test_values_stay_between_0_and_1_and_repeat(rule, output):
    row = question(rule, output)
    for rules in RULE_SETS:
        found = verdict(row, rules)
        assert 0 <= found.value <= 1
        assert found == verdict(row, rules)
        assert output.strip() or found.value == 0


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(outputs=st.lists(OUTPUTS, min_size=1, max_size=6), data=st.data())
def test_summary_ignores_the_order(rule, outputs, data):
    rows = [question(rule, output, str(n)) for n, output in enumerate(outputs)]
    shuffled = data.draw(st.permutations(rows))
    gap = rule_gap(rows)
    assert rule_gap(shuffled) == gap
    assert all(0 <= numbers["score"] <= (1000 if rule == "ocrbench" else 100) for numbers in gap.values())


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "mmvet"])
def test_missing_references_are_named(answered, rule):
    for answers in ([], ["", " "]):
        with pytest.raises(AerieError, match=r"'q' of 'bench': it has no reference answer"):
            verdict(answered(rule, "x", answers), "eagle2")


def test_unknown_names_are_answered_with_the_choices(answered):
    with pytest.raises(AerieError, match="unknown rule 'bleu'; choose one of exact, relaxed, anls"):
        verdict(answered("bleu", "x", "x"), "eagle2")
    with pytest.raises(AerieError, match="unknown rule set 'gpt4'; choose one of eagle2, vlmevalkit, lmms-eval"):
        verdict(answered("exact", "x", "x"), "gpt4")
