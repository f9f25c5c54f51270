"""The judging step against a real endpoint process: verdicts enter scores, report, registry; nothing is paid twice."""

import json
from dataclasses import replace

import pytest
import yaml
from openai_server import KEY_NAME
from promotion_runs import RECIPE

from data.curation.endpoint.problems import EndpointFailedError
from data.errors import AerieError
from data.storage import Manifest, attach, commit, read_attachment, read_manifest
from model.evaluation.benchmark_scores import AnsweredBenchmark, benchmark_document
from model.evaluation.judging_step import TRAFFIC_NAME, judge_benchmarks
from model.evaluation.predictions import Prediction, predictions_parquet, read_benchmarks
from model.evaluation.promotion.benchmarks import benchmark_units
from model.evaluation.scoring import score_predictions
from model.evaluation.sections.benchmarks import benchmark_blocks
from model.evaluation.task_views import judging_markdown
from model.recipe import load_recipe


def answer(source, number, output, known, rule, **facts):
    return Prediction(
        question_id=f"{source}/{number}",
        sample_id=f"{source}/{number}",
        source=source,
        category="general_vqa",
        task="open",
        answer_type="open",
        prompt=f"<image>\nWhat is {number} + 4?",
        answer=known,
        output=output,
        majority="",
        blind=False,
        checkpoint="made",
        rule=rule,
        answers=(known,),
        facts=facts,
    )


NUMBER = {"question_type": "free_form", "answer_type": "integer"}
PUBLIC = {
    "mmvet": [answer("mmvet", n, said, "-1<AND>-5", "mmvet") for n, said in enumerate(["x = 3", "-5", "-1 or -5"])],
    "mathvista": [
        answer("mathvista", 3, "Both make seven.", "7", "mathvista", **NUMBER),
        answer("mathvista", 4, "8", "8", "mathvista", **NUMBER),
    ],
    "docvqa": [answer("docvqa", 5, "nine", "9", "anls")],
}
LOCAL = [answer("local-math", 6, "It should be ten.", "10", "mathvista", **NUMBER)]
BLIND = [replace(row, blind=True, output="") for row in LOCAL]


@pytest.fixture
def step(tmp_path, llm):
    """Commit an evaluation that was asked these benchmarks; then a function: judge's settings -> folder, manifest."""
    folder = str(tmp_path / "evaluation")
    public = [AnsweredBenchmark(predictions=tuple(rows), of=len(rows)) for rows in PUBLIC.values()]
    document = {"stage": "stage_2"} | benchmark_document([*LOCAL, *BLIND], public, {"chartqa": "no data"})
    answers = [*LOCAL, *BLIND, *(row for rows in PUBLIC.values() for row in rows)]
    files = {"scores": json.dumps(document).encode(), "benchmarks": predictions_parquet(answers)}
    attached = {name: attach(folder, name, payload) for name, payload in files.items()}
    lineage = {"formatting": "f"}
    commit(folder, Manifest(step="evaluation/stage_2", fingerprint="e", recipe_sha256="", rows=0, shards=(),
                            lineage=lineage, attachments=attached))  # fmt: skip

    def judge(out="judging", **settings):
        usual = {"url": llm.url, "model": "a-judge", "api_key_env": KEY_NAME, "cache_uri": "paid", "tries": 1}
        evaluation = {"benchmark_data": "data", "judge": {**usual, **settings} if settings.get("model", 1) else None}
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(RECIPE | {"evaluation": evaluation}))
        place = str(tmp_path / out)
        return place, judge_benchmarks(str(path), "", folder, place)

    return judge


def documents(place, manifest):
    return (json.loads(read_attachment(place, manifest, name)) for name in ("scores", "report"))


def test_verdicts_enter_scores_averages_and_answers(step, llm, tmp_path):
    place, manifest = step()
    scores, report = documents(place, manifest)
    entries = {entry["benchmark"]: entry for entry in scores["benchmarks"]}
    assert entries["mmvet"]["judged"] is True
    assert entries["mmvet"]["rules"]["eagle2"]["score"] == pytest.approx(50.0)  # grades 0, 0.5, 1
    assert entries["mathvista"]["rules"]["eagle2"]["score"] == 100.0  # the judge read 7 out of "Both make seven."
    assert entries["local-math"]["rules"]["eagle2"]["score"] == 100.0
    assert entries["docvqa"]["rules"]["eagle2"]["score"] == 0.0
    assert set(scores["benchmark_headline"]) == set(PUBLIC)
    assert "mmvet" not in scores["averages"]["eagle2"]["missing"]
    assert scores["not_run"] == {"chartqa": "no data"}
    told = {name: (entry["asked"], entry["judged"]) for name, entry in report["benchmarks"].items()}
    assert told == {"mmvet": (3, 3), "mathvista": (2, 2), "local-math": (1, 1)}
    assert (report["judge"]["model"], report["judge"]["answers"]) == ("a-judge", 6)
    assert len(llm.requests()) == 6, "blind answers and other rules are nobody's business"
    assert (tmp_path / "paid").is_dir(), "a relative cache counts from the recipe's folder"
    facts = [row.facts for row in read_benchmarks(place, manifest) if row.source == "mmvet"]
    assert [one["judge_score"] for one in facts] == [0.0, 0.5, 1.0]
    assert manifest.lineage.keys() == {"formatting", "evaluation/stage_2"}


def test_aerie_score_of_the_steps_folder_has_the_same_figures(step):
    place, manifest = step()
    scores, _ = documents(place, manifest)
    found = score_predictions(place, ["eagle2"])
    for entry in scores["benchmarks"]:
        assert found.benchmarks[entry["benchmark"]][0].numbers == entry["rules"]["eagle2"]


def test_nothing_is_paid_twice(step, llm, tmp_path):
    _, first = step()
    paid = len(llm.requests())
    assert step()[1] == first
    _, other = step(out="elsewhere", timeout_seconds=9)  # how one waits changes no verdict
    assert (other.fingerprint, other.attachments) == (first.fingerprint, first.attachments)
    assert len(llm.requests()) == paid
    assert json.loads((tmp_path / "elsewhere" / TRAFFIC_NAME).read_text()) == {"cache_hits": 6}
    assert step(model="another")[1].fingerprint != first.fingerprint
    assert len(llm.requests()) == 2 * paid


def test_without_a_judge_the_evaluations_figures_stay(step, llm, tmp_path):
    place, manifest = step(model=None)
    scores, _ = documents(place, manifest)
    evaluation = read_manifest(str(tmp_path / "evaluation"))
    before = json.loads(read_attachment(str(tmp_path / "evaluation"), evaluation, "scores"))
    assert scores == before | {"judging": {"judge": None, "benchmarks": {}}}
    assert manifest.attachments["benchmarks"]["sha256"] == evaluation.attachments["benchmarks"]["sha256"]
    assert llm.requests() == []
    assert judging_markdown(scores).startswith("No answer was put before a judge.")


def test_one_cost_cap_holds_for_grading_and_reading(step, llm):
    llm.reset(script=["no_usage"] * 6)  # so each costs what it can cost at most
    _, free = documents(*step(prompt_price=1e6))
    llm.reset(script=["no_usage"] * 6)
    cap = free["judge"]["cost"] - 1
    scores, report = documents(*step(out="capped", model="another", prompt_price=1e6, max_cost=cap))
    assert len(llm.requests()) == 5, "what is asked last is beyond the cap"
    assert report["judge"]["cost"] <= cap
    assert report["judge"]["stopped"] == "cost cap"
    assert report["benchmarks"]["mathvista"]["not_judged"]["the judge wasn't asked: cost cap"] == 1
    *_, text, table = benchmark_blocks(scores)
    assert "Nothing more was asked after: cost cap." in text.text
    assert "1: the judge wasn't asked: cost cap" in next(row[3] for row in table.rows if row[0] == "mathvista")


def test_an_endpoint_that_fails_stops_the_step_or_leaves_answers_unjudged(step, llm, tmp_path):
    llm.reset(script=["pass", "pass", *["error"] * 40])
    with pytest.raises(EndpointFailedError, match="status 500"):
        step(concurrency=1, first_pause_seconds=0)
    assert not (tmp_path / "judging/manifest.json").exists()
    llm.reset()
    step(concurrency=1)
    assert len(llm.requests()) == 4, "what was paid before the failure was kept"
    llm.reset(script=["error"] * 40)
    _, manifest = step(out="skipped", model="b", on_failure="skip", first_pause_seconds=0)
    scores, report = documents(str(tmp_path / "skipped"), manifest)
    assert not next(entry for entry in scores["benchmarks"] if entry["benchmark"] == "mmvet")["judged"]
    assert "mmvet" in scores["averages"]["eagle2"]["missing"]
    assert "status 500" in report["judge"]["failure"]


def test_the_report_says_whose_verdicts_they_are(step):
    scores, _ = documents(*step())
    *_, text, table = benchmark_blocks(scores)
    assert text.text.startswith("a-judge at 127.0.0.1:")
    assert table.rows[0] == ("local-math", "1", "1", "–", "–")
    assert ("mmvet", "3", "3", "–", "gpt-4-1106-preview") in table.rows
    markdown = judging_markdown(scores)
    assert markdown.startswith("# Judged by a-judge")
    assert "| mmvet | 3 of 3 | 50.0 | 50.0 | 50.0 |" in markdown


def test_another_judge_is_another_question_to_the_gate(step):
    asked = []
    for model in ("a", "b", None):
        place, manifest = step(out=f"by {model}", model=model)
        units = benchmark_units(read_benchmarks(place, manifest))
        asked.append({unit.source: unit.asked for unit in units})
    for name in ("mmvet", "mathvista", "local-math"):
        assert len({one[name] for one in asked}) == 3
    assert len({one["docvqa"] for one in asked}) == 1


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({}, "judge is for answers to mmvet or mathvista, so benchmark_data must say where their files are"),
        ({"benchmark_data": "d", "benchmarks": ["docvqa"]}, "so benchmarks must name one of them"),
        ({"local_benchmarks": True, "judge": {"model": "m"}}, r"evaluation\.judge\.url"),
        ({"local_benchmarks": True}, None),
        ({"benchmark_data": "d", "benchmarks": ["mathvista"]}, None),
    ],
)
def test_a_judge_without_work_is_named_before_anything_runs(tmp_path, evaluation, message):
    judge = {"url": "http://h/v1", "model": "m", "cache_uri": "paid"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"evaluation": {"judge": judge, **evaluation}}))
    if message is None:
        assert load_recipe(str(path)).evaluation.judge.model == "m"
        return
    with pytest.raises(AerieError, match=message):
        load_recipe(str(path))
