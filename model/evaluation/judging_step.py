"""The judging step: the last stage's answers that only a judge can score, or read, are put before one."""

import json
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from data.files import join, write_bytes
from data.recipe import beside_recipe
from data.settings.endpoint import OPERATIONAL, EndpointSettings
from data.storage import Manifest, attach, commit, committed, fingerprint, read_attachment, read_manifest
from model.evaluation.benchmark_scores import rescored
from model.evaluation.benchmarks.judge_prompts import EXTRACT_VERSION, GRADE_VERSION
from model.evaluation.judging import JUDGED_RULES, Judgement, judged
from model.evaluation.predictions import Prediction, predictions_parquet, read_benchmarks
from model.evaluation.rules import RULES_VERSION
from model.recipe import load_recipe

VERSION = 1
STEP = "judging"
TRAFFIC_NAME = "traffic.json"


def judge_benchmarks(recipe_uri: str, recipe_sha256: str, evaluation_uri: str, out_uri: str) -> Manifest:
    """Let the recipe's judge grade MM-Vet's answers and read MathVista's; without one they stay as they are.

    Attachments: `scores`, the evaluation's scores file, its benchmarks scored anew; `benchmarks`, the answers to
    benchmarks with the judge's word among their facts (where any was asked); `report`, how many answers of which
    benchmark were judged, by whom, at what cost, and why the others weren't. What went over the wire in this execution
    stands beside, in `traffic.json`. `AerieError` when the endpoint fails and the recipe doesn't say
    `on_failure: skip`; run again, the step pays for nothing twice.
    """
    recipe, evaluation = load_recipe(recipe_uri, recipe_sha256), read_manifest(evaluation_uri)
    judge = recipe.evaluation.judge
    lineage = evaluation.lineage | {evaluation.step: evaluation.sha256()}
    mark = fingerprint(
        step=STEP,
        version=VERSION,
        rules=RULES_VERSION,
        prompts=[GRADE_VERSION, EXTRACT_VERSION],
        judge=judge.model_dump(exclude=set(OPERATIONAL)) if judge else None,
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    answers = read_benchmarks(evaluation_uri, evaluation)
    scores: dict[str, Any] = json.loads(read_attachment(evaluation_uri, evaluation, "scores"))
    report: dict[str, Any] = {"judge": None, "benchmarks": {}}
    asked = [row.answered() for row in answers if _for_a_judge(row)]
    if judge is not None and asked:
        paid = judge.model_copy(update={"cache_uri": beside_recipe(judge.cache_uri, recipe_uri)})
        found = judged(asked, paid)
        write_bytes(join(out_uri, TRAFFIC_NAME), json.dumps(found.traffic, indent=1).encode())
        said = iter(found.rows)
        answers = [replace(row, facts=next(said).facts) if _for_a_judge(row) else row for row in answers]
        scores, report = rescored(scores, answers), _report(judge, found)
    files = {
        "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
        "scores": attach(out_uri, "scores.json", json.dumps(scores | {"judging": report}, indent=1).encode()),
    }
    if answers:
        files["benchmarks"] = attach(out_uri, "benchmarks.parquet", predictions_parquet(answers))
    return commit(
        out_uri,
        Manifest(
            step=STEP,
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=len(answers),
            shards=(),
            lineage=lineage,
            attachments=files,
        ),
    )


def _for_a_judge(row: Prediction) -> bool:
    return row.rule in JUDGED_RULES and not row.blind


def _report(judge: EndpointSettings, found: Judgement) -> dict[str, Any]:
    benchmarks: dict[str, dict[str, Any]] = {}
    for row in found.rows:
        entry = benchmarks.setdefault(row.benchmark, {"rule": row.rule, "asked": 0, "judged": 0, "not_judged": {}})
        entry["asked"] += 1
        if "judge_note" in row.facts:
            entry["not_judged"] = dict(Counter(entry["not_judged"]) + Counter([row.facts["judge_note"]]))
        else:
            entry["judged"] += 1
    told = {"host": judge.host, "model": judge.model, "max_cost": judge.max_cost, "stopped": found.stopped}
    return {"judge": told | {"failure": found.failure, **asdict(found.totals)}, "benchmarks": benchmarks}
