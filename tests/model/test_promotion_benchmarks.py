"""The gate compares benchmarks too: real local questions, answered right or not at all, and a HallusionBench."""

import dataclasses
import json
from pathlib import Path

import pytest
from promotion_runs import RECIPE, GatedRun, answers, benchmark_answers, hallusion_answers, local_questions

from data.errors import AerieError
from data.settings.base import validated
from model.evaluation.local_benchmarks import LOCAL_BENCHMARKS
from model.evaluation.promotion import gate
from model.evaluation.promotion.benchmarks import benchmark_units
from model.evaluation.promotion.comparison import Side, compare
from model.evaluation.promotion.pairing import group_numbers
from model.evaluation.promotion.registry import benchmarks_uri, entries, entry_uri
from model.evaluation.promotion.settings import PromotionSettings
from model.evaluation.scoring import score_predictions
from model.recipe import load_recipe

PARTS = ["hallusionbench/aAcc", "hallusionbench/fAcc", "hallusionbench/qAcc"]
WRONG = ["No" if answer.answer == "Yes" else "Yes" for answer in hallusion_answers()]


def some_wrong():
    """Every local question, of which every fourth has no answer, and a HallusionBench."""
    rows = [row for row in benchmark_answers() if not row.blind]
    local = [dataclasses.replace(row, output="") if place % 4 == 0 else row for place, row in enumerate(rows)]
    return [*local, *hallusion_answers()]


def lines_of(after, before, **settings):
    sides = [Side(questions=(), benchmarks=benchmark_units(rows)) for rows in (after, before)]
    return {line.name: line for line in compare(*sides, PromotionSettings(**settings), seed=3).lines}


def test_each_line_s_mean_is_what_aerie_score_prints(tmp_path):
    run = GatedRun(str(tmp_path), "a", answers(0), {}, benchmarks=some_wrong())
    run.compare()
    lines = {line["name"]: line["score"] for line in run.report()["lines"] if line["level"] == "benchmark"}
    assert set(lines) == {*LOCAL_BENCHMARKS, *PARTS}
    printed = score_predictions(f"{run.uri}/judging", ["eagle2"]).benchmarks
    for name in LOCAL_BENCHMARKS:
        (result,) = printed[name]
        assert 0 < lines[name] < 1
        assert lines[name] == pytest.approx(result.score / (1000 if name == "local-ocrbench" else 100))
    (result,) = printed["hallusionbench"]
    assert [100 * lines[name] for name in PARTS] == pytest.approx([result.numbers[name[-4:]] for name in PARTS])
    assert 100 * sum(lines[name] for name in PARTS) / 3 == pytest.approx(result.score)


def test_what_shares_a_sample_a_group_or_a_set_of_figures_falls_together():
    units = benchmark_units(some_wrong())
    circular = [unit for unit in units if unit.source == "local-circular"]
    copies = [question for question in local_questions() if question.source == "local-circular"]
    assert len(circular) == len({question.facts["group"] for question in copies}) < len(copies)
    choice = [unit for unit in units if unit.source == "local-choice"]
    assert int(group_numbers(choice).max()) + 1 < len(choice), "questions about one image"
    single = [unit for unit in units if unit.source == "hallusionbench/aAcc"]
    assert group_numbers(single).tolist() == [0, 0, 0, 0, 1, 1, 2]


def test_a_benchmark_that_fell_refuses_and_its_limit_allows():
    before, after = benchmark_answers(), benchmark_answers({"local-choice"})
    lines = lines_of(after, before)
    assert {name: line.decision for name, line in lines.items() if line.decision != "same"} == {
        "local-choice": "regression"
    }
    assert lines["local-choice"].refused
    assert (lines["local-choice"].level, lines["local-choice"].difference) == ("benchmark", -1.0)
    allowed = lines_of(after, before, benchmarks={"local-choice": {"allowed_drop": 1}})
    assert (allowed["local-choice"].decision, allowed["local-choice"].refused) == ("worse_allowed", False)
    below = lines_of(before, before, benchmarks={"mmstar": {"require": 0.5}})
    assert (below["mmstar"].decision, below["mmstar"].score) == ("below_minimum", None)


def test_limits_of_a_benchmark_hold_for_its_parts_unless_one_has_its_own():
    limits = {"hallusionbench": {"allowed_drop": 0.9, "require": 0.1}, PARTS[1]: {"allowed_drop": 0.2}}
    lines = lines_of(hallusion_answers(WRONG), hallusion_answers(), benchmarks=limits)
    assert [(lines[name].allowed_drop, lines[name].require) for name in PARTS] == [(0.9, 0.1), (0.2, 0.1), (0.9, 0.1)]
    assert {line.decision for line in lines.values()} == {"below_minimum"}


def test_one_that_was_not_run_is_gone_and_a_first_one_is_new():
    lines = lines_of([], hallusion_answers())
    assert [(lines[name].decision, lines[name].refused) for name in PARTS] == [("gone", True)] * 3
    assert not any(line.refused for line in lines_of([], hallusion_answers(), unmatched="allow").values())
    assert {line.decision for line in lines_of(hallusion_answers(), []).values()} == {"new"}


def test_what_only_a_judge_can_score_is_told_and_refuses_nothing():
    rows = [
        dataclasses.replace(row, source="mmvet", rule="mmvet", question_id=f"mmvet/{number}", facts={})
        for number, row in enumerate(hallusion_answers())
    ]
    judged = [dataclasses.replace(row, facts={"judge_score": 0.5}) for row in rows]
    for after, before, score in ((rows, rows, None), (judged, rows, 0.5), (rows, judged, None)):
        (line,) = lines_of(after, before).values()
        assert (line.decision, line.refused, line.score) == ("unjudged", False, score)
        assert "have no verdict" in line.notes[0]
    (line,) = lines_of(judged, judged).values()
    assert (line.decision, line.score) == ("same", 0.5)


def vet_answers(judge, score):
    return [
        dataclasses.replace(row, source="mmvet", rule="mmvet", facts={"judge_score": score, "judge_model": judge})
        for row in hallusion_answers()
    ]


def test_scores_carry_their_judges_name_and_another_judge_is_noted(tmp_path):
    run, entry = accepted(tmp_path, "a", benchmarks=vet_answers("one", 0.5))
    assert (run.report()["judge"], entry.judge, entries(run.registry, "gated")[0].judge) == ("one", "one", "one")
    same, other = (lines_of(vet_answers(name, 0.5), vet_answers("one", 0.5))["mmvet"] for name in ("one", "two"))
    assert (same.decision, other.decision) == ("same", "same")
    assert set(other.notes) - set(same.notes) == {
        "7 shared questions have another prompt, reference or judge than before"
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [("local-docvq", "no benchmark 'local-docvq'; the nearest names are local-docvqa"), (PARTS[0] + "x", PARTS[0])],
)
def test_a_name_that_no_benchmark_has_is_an_error(name, said):
    with pytest.raises(AerieError, match=said):
        validated(PromotionSettings, {"benchmarks": {name: {"allowed_drop": 0.1}}}, "recipe.yaml")


def test_limits_of_benchmarks_that_are_never_asked_are_an_error(tmp_path):
    section = {"benchmarks": {"local-docvqa": {"require": 0.1}}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE | {"promotion": section}))
    assert load_recipe(str(tmp_path / "recipe.yaml")).promotion.benchmarks
    (tmp_path / "off.yaml").write_text(json.dumps(RECIPE | {"promotion": section, "evaluation": {}}))
    with pytest.raises(AerieError, match=r"so evaluation\.local_benchmarks must be true"):
        load_recipe(str(tmp_path / "off.yaml"))


def accepted(tmp_path, name, **more):
    run = GatedRun(str(tmp_path), name, answers(15), {}, **more)
    run.compare()
    return run, run.accept().entry


def test_the_registry_keeps_what_was_answered(tmp_path):
    run, entry = accepted(tmp_path, "a", benchmarks=some_wrong())
    kept = Path(benchmarks_uri(run.registry, entry))
    assert kept.read_bytes() == (tmp_path / "a/judging/benchmarks").read_bytes()
    assert (entry.benchmark_rules, entry.rules) == ("eagle2 1", "local 1")
    assert set(entry.benchmark_scores) == set(entry.benchmark_units) == {*LOCAL_BENCHMARKS, *PARTS}
    assert set(entry.scores) == {"easy-vqa"}
    assert entry.benchmark_units["local-circular"] < entry.benchmark_units["local-choice"]
    candidate = GatedRun(str(tmp_path), "b", answers(15), {}, benchmarks=some_wrong())
    kept.write_bytes(b"x")
    with pytest.raises(AerieError, match=r"benchmarks.*\.parquet was changed: the benchmarks of gated number 1; rest"):
        candidate.compare()


def test_an_entry_from_before_benchmarks_is_compared_by_its_questions(tmp_path):
    run, _ = accepted(tmp_path, "a")
    place = Path(entry_uri(run.registry, "gated", 1))
    old = {name: value for name, value in json.loads(place.read_text()).items() if not name.startswith("benchmark")}
    place.write_text(json.dumps(old))
    second, entry = accepted(tmp_path, "b", benchmarks=hallusion_answers())
    decisions = {line["name"]: line["decision"] for line in second.report()["lines"]}
    assert decisions == {"easy-vqa": "same", **dict.fromkeys(PARTS, "new")}
    assert (entry.number, entries(run.registry, "gated")[0].benchmarks) == (2, "")


def test_other_rules_compare_anew(tmp_path, monkeypatch):
    run = GatedRun(str(tmp_path), "a", answers(15), {}, benchmarks=hallusion_answers())
    before = run.compare().fingerprint
    assert run.report()["benchmark_rules"] == "eagle2 1"
    monkeypatch.setattr(gate, "BENCHMARK_RULES", "eagle2 2")
    assert run.compare().fingerprint != before
    assert run.report()["benchmark_rules"] == "eagle2 2"
