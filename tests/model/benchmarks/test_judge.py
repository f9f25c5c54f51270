"""The judge against a real server process: paid once, never imitated, and unjudged when a reply can't be read."""

from contextlib import ExitStack

import pytest
from openai_server import KEY_NAME

from data.curation.endpoint.problems import EndpointFailedError
from data.curation.endpoint.service import AnswerService
from data.settings.endpoint import EndpointSettings
from model.evaluation.answered import Answered
from model.evaluation.benchmarks.judge import extracted, graded
from model.evaluation.benchmarks.judge_prompts import (
    EXTRACT,
    GRADE,
    JudgePrompt,
    extract_request,
    grade_request,
    read_extract,
    read_grade,
)


@pytest.fixture
def endpoint(llm, tmp_path):
    """A function: settings that differ -> the judge's service."""
    quick = {"first_pause_seconds": 0.002, "longest_pause_seconds": 0.01, "timeout_seconds": 5.0, "tries": 2}
    usual = {
        "url": llm.url,
        "model": "gpt-4-1106-preview",
        "api_key_env": KEY_NAME,
        "cache_uri": str(tmp_path),
        **quick,
    }
    with ExitStack() as services:
        yield lambda **given: services.enter_context(AnswerService(EndpointSettings(**{**usual, **given})))


def row(number, output, answer="-1<AND>-5", rule="mmvet", **facts):
    prompt = f"<image>\nWhat is x in equation {number}?"
    return Answered(
        question_id=f"mmvet/v1_{number}",
        benchmark="mmvet",
        rule=rule,
        prompt=prompt,
        output=output,
        answers=(answer,),
        facts={"capability": "ocr,math", **facts},
    )


ROWS = [row(0, "x = 3"), row(1, "x = -5"), row(2, "x = -1 or x = -5")]


def test_grades_are_the_judges_and_stand_among_the_facts(endpoint, llm):
    judged = graded(ROWS, endpoint())
    assert [verdict.value for verdict in judged.verdicts] == [0.0, 0.5, 1.0]
    assert [found.facts["judge_score"] for found in judged.rows] == [0.0, 0.5, 1.0]
    assert judged.rows[0].facts == {"capability": "ocr,math", "judge_score": 0.0, "judge_model": "gpt-4-1106-preview"}
    assert judged.unjudged == 0
    texts = sorted(request["text"] for request in llm.requests())
    assert texts[0] == "Question: What is x in equation 0?\nGround truth: -1 <AND> -5\nPrediction: x = 3"


def test_a_second_run_asks_nothing(endpoint, llm):
    first = graded(ROWS, endpoint())
    llm.reset()
    again = graded(ROWS, service := endpoint())
    assert llm.requests() == []
    assert (again.rows, again.verdicts) == (first.rows, first.verdicts)
    assert service.traffic.document() == {"cache_hits": 3}


@pytest.mark.parametrize(
    "change",
    [{"model": "another"}, {"prompt": JudgePrompt(version="mmvet-grade-2", system=GRADE.system)}, {"output": "x = 5"}],
    ids=["model", "version", "output"],
)
def test_what_decides_a_verdict_is_part_of_its_key(endpoint, llm, change):
    graded(ROWS[:1], endpoint())
    llm.reset()
    given = {"prompt": change["prompt"]} if "prompt" in change else {}
    rows = [row(0, change.get("output", "x = 3"))]
    graded(rows, endpoint(model=change.get("model", "gpt-4-1106-preview")), **given)
    assert len(llm.requests()) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("refusal", "sorry"),
        ("empty", "''"),
        ("placeholder", "one grade"),
        ("length", "ended by length"),
        ("refuse", "400"),
    ],
)
def test_a_broken_verdict_is_unjudged_and_says_why_and_is_not_zero(endpoint, llm, fault, words):
    llm.reset(match={"equation 1": fault})
    judged = graded(ROWS, endpoint())
    assert [verdict.value for verdict in judged.verdicts] == [0.0, None, 1.0]
    assert judged.unjudged == 1
    assert words in judged.verdicts[1].note
    assert "judge_score" not in judged.rows[1].facts
    assert judged.rows[1].facts["judge_note"] == judged.verdicts[1].note


def test_without_an_endpoint_nothing_is_judged_and_an_old_score_is_not_kept(llm):
    judged = graded([*ROWS, row(3, "x", judge_score=1.0, judge_model="old")], None)
    assert [verdict.value for verdict in judged.verdicts] == [None] * 4
    assert all("no judge was asked" in verdict.note for verdict in judged.verdicts)
    assert all("judge_score" not in found.facts for found in judged.rows)
    assert judged.unjudged == 4
    assert llm.requests() == []


def test_the_cost_cap_leaves_the_rest_unjudged(endpoint, llm):
    most = grade_request(ROWS[0]).tokens(endpoint().settings)
    judged = graded(ROWS, endpoint(prompt_price=1e6, max_cost=most + 5, max_tokens=1))
    assert [verdict.value for verdict in judged.verdicts] == [0.0, None, None]
    assert "cost cap" in judged.verdicts[1].note
    assert len(llm.requests()) == 1


def test_an_endpoint_that_fails_stops_the_run_or_leaves_its_rows_unjudged(endpoint, llm):
    llm.reset(script=["error"] * 20)
    with pytest.raises(EndpointFailedError, match="status 500"):
        graded(ROWS, endpoint())
    llm.reset(script=["error"] * 20)
    judged = graded(ROWS, endpoint(on_failure="skip"))
    assert judged.unjudged == 3
    assert "endpoint failed" in judged.verdicts[0].note
    assert "status 500" in judged.verdicts[0].note


def test_an_extracted_answer_stands_beside_the_output(endpoint, llm):
    asked = row(0, "Adding both gives 7 apples, so 7.", "7", rule="mathvista")
    sums = [Answered(**{**fields(asked), "prompt": "<image>\nWhat is 3 + 4?"})]
    found = extracted(sums, endpoint())
    assert [entry.facts["extracted"] for entry in found] == ["7"]
    assert found[0].output == asked.output
    assert "Ground truth" not in llm.requests()[0]["text"]
    llm.reset(match={"3 + 4": "refusal"})
    kept = extracted(found, endpoint(model="another"))
    assert "extracted" not in kept[0].facts
    assert "not a line" in kept[0].facts["judge_note"]


def fields(answered):
    return {name: getattr(answered, name) for name in Answered.__slots__}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("0.7", 0.7), ("1", 1.0), ("Correctness: 0.5.", 0.5), ("**0.3**", 0.3), ("0.5, so 0.5", 0.5)],
        *[("1.1", None), ("-0.5", None), ("0.5 of 1", None), ("70%", None), ("half", None), ("", None), ("0,5", None)],
    ],
)
def test_a_grade_is_one_number(text, value):
    assert read_grade(text) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *[("Answer: B", "B"), ("So it is.\n**Answer: 3.5**", "3.5"), ("Answer: 1\nAnswer: [2, 3]", "[2, 3]")],
        *[("Answer: none", None), ("B", None), ("Answer:", None), ("Answer: -5", "-5")],
    ],
)
def test_an_extract_is_the_last_answer_line(text, found):
    assert read_extract(text) == found


def test_the_judge_sees_neither_images_nor_when_extracting_the_truth():
    request = extract_request(row(0, "x = 3", "truth"))
    assert "truth" not in request.text + request.system
    assert request.version == EXTRACT.version
    assert grade_request(row(0, "<image> x")).images == ()
