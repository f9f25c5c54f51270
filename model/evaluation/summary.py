"""The report step: all manifests of a run in one self-contained page and one summary for programs."""

import hashlib
import json
from importlib import resources
from typing import Any

from data.files import exists, join, read_bytes
from data.ledger_csv import ledger_csv
from data.ledger_report import LedgerFlow
from data.reporting.html import Page, render_page
from data.storage import Manifest, attach, commit, committed, fingerprint, read_manifest
from model.evaluation.curves import read_curves
from model.evaluation.flow import run_flow
from model.evaluation.promotion.views import against, verdict
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.artifacts import artifacts_section
from model.evaluation.sections.augmentation import augmentation_section
from model.evaluation.sections.examples import examples_section
from model.evaluation.sections.filtering import filtering_section
from model.evaluation.sections.ledger import ledger_section
from model.evaluation.sections.overview import overview_section
from model.evaluation.sections.packing import packing_section
from model.evaluation.sections.promotion import promotion_section
from model.evaluation.sections.rewriting import formatting_section
from model.evaluation.sections.scoreboard import evaluation_section, scoreboard
from model.evaluation.sections.selection import selection_section
from model.evaluation.sections.signatures import signatures_section
from model.evaluation.sections.similarity import similarity_section
from model.evaluation.sections.training import training_section
from model.evaluation.sections.validation import validation_section
from model.evaluation.sections.weaknesses import (
    RankedWeaknesses,
    run_weaknesses,
    weaknesses_document,
    weaknesses_section,
)
from model.evaluation.signatures.of_run import COMPARED, RunSignatures, earlier_run, run_signatures
from model.evaluation.step_times import step_seconds
from model.recipe import STAGES

VERSION = 4
LOOKS = ("page.html", "page.css")


def write_report(
    recipe_uri: str, recipe_sha256: str, run_uri: str, out_uri: str, against_uri: str | None = None
) -> Manifest:
    """Render the report of a run whose steps have all finished.

    Attachments: `page` (index.html), `ledger` (ledger.csv) and `summary` (summary.json). The ledger of the whole run
    is checked on the way: `AerieError` names the source and the step where rows vanish. Times stand in the page but
    not in the fingerprint: equal inputs make the step's work done. Scores that fell are those since the run in the
    folder `against_uri`, or without one since the stage before the last.
    """
    run = RunFolder.open(recipe_uri, recipe_sha256, run_uri)
    lineage = {step: run.manifest(step).sha256() for step in run.steps}
    if against_uri is not None:
        lineage |= {f"against/{step}": read_manifest(join(against_uri, *step.split("/"))).sha256() for step in COMPARED}
    mark = fingerprint(step="report", version=VERSION, looks=_looks(), recipe=run.recipe.sha256, inputs=lineage)
    done = committed(out_uri, mark)
    if done is not None and _whole(out_uri, done):
        return done
    flow, seconds = run_flow(run), step_seconds(run_uri)
    signed = run_signatures(run, None if against_uri is None else earlier_run(against_uri))
    ranked = run_weaknesses(run)
    summary = summary_document(run, flow, seconds, signed, ranked)
    return commit(
        out_uri,
        Manifest(
            step="report",
            fingerprint=mark,
            recipe_sha256=run.recipe.sha256,
            rows=0,
            shards=(),
            lineage=lineage,
            attachments={
                "page": attach(out_uri, "index.html", render_page(run_page(run, flow, seconds, signed, ranked))),
                "ledger": attach(out_uri, "ledger.csv", ledger_csv(flow)),
                "summary": attach(out_uri, "summary.json", json.dumps(summary, indent=1).encode()),
            },
        ),
    )


def run_page(
    run: RunFolder, flow: LedgerFlow, seconds: dict[str, float], signed: RunSignatures, ranked: RankedWeaknesses
) -> Page:
    """All sections in the order of the graph, after the summary."""
    return Page(
        title=f"Aerie: {run.recipe.name}",
        subtitle=f"Run {run.run_id}, seed {run.recipe.seed}, recipe {run.recipe.sha256[:12]}",
        sections=(
            overview_section(run, flow, seconds),
            evaluation_section(run),
            promotion_section(run),
            examples_section(run),
            signatures_section(run, signed),
            ledger_section(flow),
            validation_section(run),
            similarity_section(run),
            filtering_section(run),
            selection_section(run),
            augmentation_section(run),
            formatting_section(run),
            packing_section(run),
            training_section(run),
            artifacts_section(run),
            weaknesses_section(*ranked),
        ),
        footer="Written by Aerie. The page holds everything it shows; it loads nothing and runs no script.",
    )


def summary_document(
    run: RunFolder, flow: LedgerFlow, seconds: dict[str, float], signed: RunSignatures, ranked: RankedWeaknesses
) -> dict[str, Any]:
    """The report's figures as plain JSON.

    `evaluation` has one entry per source and answer type, as in `scoreboard`: group, answer_type, questions, majority,
    blind, exact and `stages` (score by stage), all scores in [0, 1]. `public_benchmarks` is there where the recipe asks
    any, with the scores file's entries. `promotion` says what was decided, and why,
    `signatures` is that of `RunSignatures.document`.
    """
    parameters, promotion = run.parameters, run.document("promotion")
    return {
        "run": {
            "recipe": run.recipe.name,
            "recipe_sha256": run.recipe.sha256,
            "run_id": run.run_id,
            "seed": run.recipe.seed,
            "parameters": {**parameters, "total": sum(parameters.values())},
            "seconds": sum(seconds.values()) if seconds else None,
        },
        "evaluation": scoreboard(run, "source"),
        "promotion": {"verdict": verdict(promotion), "text": against(promotion)},
        "categories": scoreboard(run, "category"),
        **_public(run),
        "signatures": signed.document(),
        "ledger": flow.document(),
        "gate": [
            {name: entry[name] for name in ("source", "category", "rows", "score", "decision")}
            for entry in run.document("gate")["sources"]
        ],
        "packing": {stage: run.document(f"packing/{stage}")["metrics"] for stage in STAGES},
        "training": {stage: _trained(run, stage) for stage in STAGES},
        "weaknesses": weaknesses_document(*ranked),
    }


def _public(run: RunFolder) -> dict[str, Any]:
    """Scores and averages of public benchmarks, and those that were not run; nothing where the recipe asks none."""
    scores = run.scores(STAGES[-1])
    if "not_run" not in scores:
        return {}
    told = {"asked": [row for row in scores["benchmarks"] if "of" in row]}
    return {"public_benchmarks": told | {name: scores[name] for name in ("averages", "not_run")}}


def _trained(run: RunFolder, stage: str) -> dict[str, Any]:
    curves = read_curves(run, stage)
    return {"steps": len(curves.lines), "first_loss": curves.first_loss, "final_loss": curves.final_loss}


def _looks() -> str:
    """The hash of the template: a new look is written anew."""
    folder = resources.files("data.reporting")
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in LOOKS)).hexdigest()


def _whole(out_uri: str, done: Manifest) -> bool:
    """True when nobody deleted or changed what the step wrote."""
    files = [(join(out_uri, entry["path"]), entry["sha256"]) for entry in done.attachments.values()]
    return all(exists(uri) and hashlib.sha256(read_bytes(uri)).hexdigest() == sha256 for uri, sha256 in files)
