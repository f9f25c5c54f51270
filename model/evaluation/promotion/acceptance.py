"""The acceptance step: refuses what the comparison refused, else enters the checkpoint into the registry."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.create_once import create_once
from data.errors import AerieError
from data.files import exists, join, read_bytes
from data.storage import Manifest, read_attachment, read_manifest
from model.evaluation.judging_step import STEP as JUDGING
from model.evaluation.promotion.decision import confidence_text, percent
from model.evaluation.promotion.gate import REPORT, STEP
from model.evaluation.promotion.model_registry import Published, publish
from model.evaluation.promotion.registry import Entry, append, entries, entry_uri, kept_files
from model.recipe import STAGES, load_recipe

LAST = STAGES[-1]
EVALUATION = f"evaluation/{LAST}"
ANSWERS = {"predictions": EVALUATION, "benchmarks": JUDGING}  # what the registry keeps, and the step that attached it
ROOT = Path(__file__).resolve().parents[3]
GIT_SHA = "AERIE_GIT_SHA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What came of an acceptance; `entry` is None when the recipe asks for none.

    `new` tells whether this call wrote the entry, `said` is one line for the log, `published` what the Kubeflow Model
    Registry made of it.
    """

    entry: Entry | None
    new: bool
    said: str
    uri: str = ""
    published: Published | None = None

    def metadata(self) -> dict[str, str]:
        """Plain texts for a KFP artifact."""
        if self.entry is None:
            return {"accepted": "not asked"}
        texts = {name: str(value) for name, value in asdict(self.entry).items() if not isinstance(value, Mapping)}
        return {"accepted": "yes", "entry": self.uri, **texts}

    def to_json(self) -> str:
        """The entry, or that there is none."""
        return self.entry.to_json() if self.entry else json.dumps({"accepted": "not asked"})


def accept_checkpoint(recipe_uri: str, recipe_sha256: str, run_uri: str, registry_uri: str) -> Accepted:
    """Accept the last stage's checkpoint of a run whose comparison allows it.

    `AerieError` when the comparison says no: one line for each source, category or benchmark that
    stops it. Repeated, it finds
    the entry that is there.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    folder = join(run_uri, STEP)
    promotion = read_manifest(folder)
    report = json.loads(read_attachment(folder, promotion, REPORT))
    if not report["asked"]:
        return Accepted(entry=None, new=False, said=report["reason"])
    answers = _compared(run_uri, promotion)
    if not report["accepted"]:
        raise AerieError(_refusal(report, run_uri))
    entry = _entry(report, promotion, answers, run_uri, recipe.name, recipe.sha256)
    known = [old for old in entries(registry_uri, entry.model) if old.checkpoint == entry.checkpoint]
    written = known[0] if known else _written(registry_uri, entry, run_uri, answers)
    uri = entry_uri(registry_uri, written.model, written.number)
    said = f"{written.model} number {written.number}: {uri}"
    url = os.environ.get("MODEL_REGISTRY_URL") or (recipe.promotion.model_registry_url if recipe.promotion else None)
    published = publish(written, join(run_uri.rpartition("/")[0], written.run_id, written.stage), url) if url else None
    return Accepted(entry=written, new=written is entry, said=said, uri=uri, published=published)


def _compared(run_uri: str, promotion: Manifest) -> dict[str, Manifest]:
    """The steps whose answers were compared; `AerieError` when one or the checkpoint was made anew since."""
    for step in (LAST, *ANSWERS.values()):
        if read_manifest(join(run_uri, step)).sha256() != promotion.lineage.get(step):
            raise AerieError(f"{join(run_uri, step)} changed after it was compared; run the pipeline again")
    return {step: read_manifest(join(run_uri, step)) for step in ANSWERS.values()}


def _entry(
    report: dict[str, Any],
    promotion: Manifest,
    answers: Mapping[str, Manifest],
    run_uri: str,
    recipe: str,
    recipe_sha256: str,
) -> Entry:
    before, evaluation = report["predecessor"], answers[EVALUATION]
    kept = {name: answers[step].attachments.get(name, {"sha256": ""})["sha256"] for name, step in ANSWERS.items()}
    scores, questions = _measured(report, "source")
    benchmark_scores, units = _measured(report, "benchmark")
    return Entry(
        model=report["model"],
        number=before["number"] + 1 if before else 1,
        run_id=run_uri.rstrip("/").rpartition("/")[2],
        stage=LAST,
        checkpoint=report["candidate"],
        recipe=recipe,
        recipe_sha256=recipe_sha256,
        data_version=evaluation.lineage.get("formatting", ""),
        evaluation=evaluation.sha256(),
        promotion=promotion.sha256(),
        predictions=kept["predictions"],
        rules=report["rules"],
        scores=scores,
        questions=questions,
        benchmarks=kept["benchmarks"],
        benchmark_rules=report["benchmark_rules"] if kept["benchmarks"] else "",
        judge=report["judge"],
        benchmark_scores=benchmark_scores,
        benchmark_units=units,
        predecessor=before["checkpoint"] if before else "",
        git_sha=code_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _measured(report: dict[str, Any], level: str) -> tuple[dict[str, float], dict[str, int]]:
    """The checkpoint's own score of each line of a level, where it has one, and how much was asked for it."""
    lines = [line for line in report["lines"] if line["level"] == level]
    scores = {line["name"]: line["score"] for line in lines if line["score"] is not None}
    return scores, {line["name"]: line["questions"] for line in lines}


def _written(registry_uri: str, entry: Entry, run_uri: str, answers: Mapping[str, Manifest]) -> Entry:
    """The answers first, so that an entry never lacks them; their name is their hash."""
    for name, (uri, sha256) in kept_files(registry_uri, entry).items():
        payload = read_attachment(join(run_uri, ANSWERS[name]), answers[ANSWERS[name]], name)
        if not create_once(uri, payload) and hashlib.sha256(read_bytes(uri)).hexdigest() != sha256:
            raise AerieError(f"{uri} was changed: its name is the hash that it should have; remove or restore it")
    return append(registry_uri, entry)


def code_version() -> str:
    """The commit of the code, with `-dirty` after changes: from AERIE_GIT_SHA, else from the checkout that runs."""
    if given := os.environ.get(GIT_SHA):
        return given
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    return ""


def _refusal(report: dict[str, Any], run_uri: str) -> str:
    before = report["predecessor"]
    than = f"number {before['number']} (run {before['run_id']})" if before else "no predecessor"
    stopping = [line for line in report["lines"] if line["refused"]]
    shown = "\n".join(f"  {_refused_line(line, report['confidence'])}" for line in stopping)
    page = join(run_uri, "report", "index.html")
    where = page if exists(page) else join(run_uri, STEP, "report.json")
    head = f"the checkpoint of {LAST} is not accepted as {report['model']}, compared with {than}"
    limits = "what may get worse stands in the recipe's section promotion"
    return f"{head}:\n{shown or '  ' + report['reason']}\nSee {where}; {limits}"


def _refused_line(line: dict[str, Any], confidence: float) -> str:
    named = f"{line['level']} {line['name']}"
    if line["difference"] is None or line["decision"] == "below_minimum":
        return f"{named}: {line['reason']}"
    interval = "no interval" if line["low"] is None else f"[{100 * line['low']:+.1f}, {100 * line['high']:+.1f}]"
    return (
        f"{named}: {percent(line['before'])} -> {percent(line['after'])} %, difference "
        f"{100 * line['difference']:+.1f} points, {confidence_text(confidence)} % interval {interval}: "
        f"{line['reason']}"
    )
