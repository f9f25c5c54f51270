"""The promotion step: a new checkpoint's predictions against the last accepted one's. It only reports."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from data.errors import AerieError
from data.files import exists, read_bytes
from data.storage import Manifest, attach, commit, committed, fingerprint, read_manifest
from model.evaluation.predictions import Prediction, predictions_of, read_benchmarks, read_predictions
from model.evaluation.promotion.benchmarks import BENCHMARK_RULES, benchmark_units
from model.evaluation.promotion.comparison import Side, compare
from model.evaluation.promotion.pairing import LOCAL_RULES, Scorer, local_score, scored
from model.evaluation.promotion.registry import Entry, entries, kept_files, predecessor_of
from model.recipe import Recipe, load_recipe

VERSION = 3
STEP, REPORT = "promotion", "report"
NOT_ASKED = "The recipe has no section `promotion`: nothing is compared, accepted or refused."


def compare_with_accepted(
    recipe_uri: str,
    recipe_sha256: str,
    checkpoint_uri: str,
    evaluation_uri: str,
    judging_uri: str,
    registry_uri: str,
    out_uri: str,
    scorer: Scorer = local_score,
    rules: str = LOCAL_RULES,
) -> Manifest:
    """Compare the last stage's checkpoint with the registry's last of the same name and write the attachment `report`.

    Both sides' stored predictions are scored anew: held-out questions by `scorer`, named by `rules`, benchmarks by
    `BENCHMARK_RULES`, with a judge's verdicts where one was asked. Whatever comes out, nothing is raised:
    `accept_checkpoint` does, so that the report is always there to read.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    checkpoint, evaluation, judging = (read_manifest(uri) for uri in (checkpoint_uri, evaluation_uri, judging_uri))
    predecessor = _predecessor(recipe, registry_uri, checkpoint.sha256())
    lineage = {manifest.step: manifest.sha256() for manifest in (checkpoint, evaluation, judging)}
    mark = fingerprint(
        step=STEP,
        version=VERSION,
        rules=rules,
        benchmark_rules=BENCHMARK_RULES,
        name=recipe.name,
        settings=recipe.promotion.model_dump(exclude={"model_registry_url"}) if recipe.promotion else None,
        seed=recipe.seed,
        inputs=lineage,
        predecessor=predecessor.to_json() if predecessor else "",
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    answered = read_predictions(evaluation_uri, evaluation), read_benchmarks(judging_uri, judging)
    report = _report(recipe, answered, registry_uri, predecessor, scorer)
    named = {"rules": rules, "benchmark_rules": BENCHMARK_RULES, "judge": _judge(answered[1])}
    report |= named | {"candidate": checkpoint.sha256()}
    return commit(
        out_uri,
        Manifest(
            step=STEP,
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=0,
            shards=(),
            lineage=lineage | ({"predecessor": predecessor.checkpoint} if predecessor else {}),
            attachments={REPORT: attach(out_uri, "report.json", json.dumps(report, indent=1).encode())},
        ),
    )


def model_name(recipe: Recipe) -> str:
    """The name under which a recipe's checkpoints are accepted."""
    return (recipe.promotion.model if recipe.promotion else None) or recipe.name


def _predecessor(recipe: Recipe, registry_uri: str, checkpoint: str) -> Entry | None:
    if recipe.promotion is None:
        return None
    return predecessor_of(entries(registry_uri, model_name(recipe)), checkpoint)


def _report(
    recipe: Recipe,
    answered: tuple[list[Prediction], list[Prediction]],
    registry_uri: str,
    predecessor: Entry | None,
    scorer: Scorer,
) -> dict[str, Any]:
    if recipe.promotion is None:
        return {"asked": False, "accepted": False, "reason": NOT_ASKED, "predecessor": None, "lines": [], "notes": []}
    before = _side(*_kept(registry_uri, predecessor), scorer) if predecessor else None
    found = compare(_side(*answered, scorer), before, recipe.promotion, recipe.seed)
    return {
        "asked": True,
        "model": model_name(recipe),
        "accepted": found.accepted,
        "reason": found.reason,
        "confidence": found.chance.confidence,
        "confidence_together": recipe.promotion.confidence if recipe.promotion.family == "all_lines" else None,
        "resamples": found.chance.resamples,
        "predecessor": asdict(predecessor) if predecessor else None,
        "lines": [asdict(line) for line in found.lines],
        "notes": list(found.notes),
    }


def _judge(benchmarks: list[Prediction]) -> str:
    return ", ".join(sorted({row.facts["judge_model"] for row in benchmarks if "judge_model" in row.facts}))


def _side(predictions: list[Prediction], benchmarks: list[Prediction], scorer: Scorer) -> Side:
    return Side(questions=scored(predictions, scorer), benchmarks=benchmark_units(benchmarks))


def _kept(registry_uri: str, entry: Entry) -> tuple[list[Prediction], list[Prediction]]:
    """The predictions of an accepted checkpoint, and its answers to benchmarks: none where the entry has none."""
    files = kept_files(registry_uri, entry)
    read = {name: _read_kept(*file, f"{name} of {entry.model} number {entry.number}") for name, file in files.items()}
    return read["predictions"], read.get("benchmarks", [])


def _read_kept(uri: str, sha256: str, what: str) -> list[Prediction]:
    """`AerieError` names a file that is missing or changed."""
    payload = read_bytes(uri) if exists(uri) else b""
    if hashlib.sha256(payload).hexdigest() != sha256:
        state = "was changed" if payload else "is missing"
        raise AerieError(f"{uri} {state}: the {what}; restore the file")
    try:
        return predictions_of(payload)
    except (pa.ArrowInvalid, KeyError) as error:
        raise AerieError(f"{uri} was written by another version of Aerie ({error})") from None
