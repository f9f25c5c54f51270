"""The door for `aerie score`: predictions from a folder or file, scored by one rule set or by all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from data.errors import AerieError
from data.files import exists, is_s3, join, write_bytes
from data.folders import subfolders
from data.storage import MANIFEST_NAME, read_manifest
from model.evaluation.answer_shards import SETTINGS_FILE
from model.evaluation.answered import Answered
from model.evaluation.benchmark_data import benchmark_questions
from model.evaluation.benchmarks.averages import averages
from model.evaluation.judging import judged, read_judge
from model.evaluation.prediction_files import READERS
from model.evaluation.prediction_join import answered_rows
from model.evaluation.prediction_store import read_prediction_set
from model.evaluation.predictions import Prediction, heldout_name, read_benchmarks, read_predictions
from model.evaluation.rules import RULE_SETS, RULES_VERSION
from model.evaluation.scored import Scored, check_rules, gap, scored, verdict_lines

__all__ = ["RULE_SETS", "Scores", "check_rules", "score_predictions", "write_verdicts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What one reading of predictions is worth. `blind` counts answers to blanked images, which are left out."""

    rows: tuple[Answered, ...]
    results: tuple[Scored, ...]
    blind: int = 0

    @property
    def benchmarks(self) -> dict[str, list[Scored]]:
        """The results of each benchmark, one a rule set."""
        names = dict.fromkeys(result.benchmark for result in self.results)
        return {name: [result for result in self.results if result.benchmark == name] for name in names}

    def document(self) -> dict[str, Any]:
        """As JSON: for each benchmark its numbers by rule set, and the gap between the sets where there are several."""
        told = []
        for name, results in self.benchmarks.items():
            entry: dict[str, Any] = {"benchmark": name, "rules": {result.rules: result.numbers for result in results}}
            told.append(entry | ({"gap": gap([result.score for result in results])} if len(results) > 1 else {}))
        sets = list(dict.fromkeys(result.rules for result in self.results))
        scores = {rules: {one.benchmark: one.final for one in self.results if one.rules == rules} for rules in sets}
        return {
            "rules_version": RULES_VERSION,
            "benchmarks": told,
            "averages": averages(scores),
            "blind_left_out": self.blind,
        }


def score_predictions(
    place: str | Sequence[str],
    rules: Sequence[str],
    *,
    benchmark: str = "",
    data: str = "",
    empty_ok: bool = False,
    judge: str = "",
) -> Scores:
    """Score what lies at `place` (local or s3://), or at several places together, by each of the rule sets.

    A place is a prediction set, a folder of sets, RUN/evaluation/STAGE or RUN/judging, or a file of another tool; the
    questions of `benchmark` are then read from the folder `data`. `judge` is the file of an endpoint that grades what
    no rule can; without it such answers stay unjudged. `AerieError`: nothing there, unfinished, damaged;
    unknown rule set; an answer that is missing, given twice, or to no known question.
    """
    check_rules(rules)
    places = [place] if isinstance(place, str) else list(place)
    read = [_read(one, benchmark, data, empty_ok) for one in places]
    rows, blind = [row for some, _ in read for row in some], sum(count for _, count in read)
    if not rows:
        raise AerieError(f"{', '.join(places)}: no answers there")
    if judge:
        rows = list(judged(rows, read_judge(judge)).rows)
    return Scores(rows=tuple(rows), results=tuple(one for name in rules for one in scored(rows, name)), blind=blind)


def write_verdicts(scores: Scores, uri: str) -> None:
    """Each question's verdict by each rule set, as JSON lines."""
    write_bytes(uri, verdict_lines(scores.rows, scores.results))


def _read(place: str, benchmark: str, data: str, empty_ok: bool) -> tuple[list[Answered], int]:
    """The answers, and how many blind ones were left out."""
    if PurePosixPath(place).suffix.lower() in READERS or (not is_s3(place) and exists(place)):
        questions = benchmark_questions(benchmark, data) if benchmark else None
        return answered_rows(place, questions, empty_ok=empty_ok), 0
    if benchmark:
        raise AerieError(f"--benchmark is for a file of another tool; the answers in {place} know their questions")
    return _folder(place)


def _folder(folder: str) -> tuple[list[Answered], int]:
    if exists(join(folder, SETTINGS_FILE)):
        return [row.answered() for row in read_prediction_set(folder).predictions()], 0
    if exists(join(folder, MANIFEST_NAME)):
        manifest = read_manifest(folder)
        if not {"predictions", "benchmarks"} & set(manifest.attachments):
            raise AerieError(f"{folder} holds the output of step {manifest.step!r}, which has no predictions")
        heldout = read_predictions(folder, manifest) if "predictions" in manifest.attachments else []
        benchmarks = read_benchmarks(folder, manifest)
        taken = {row.source for row in benchmarks}
        seeing = [_heldout(row, taken) for row in heldout if not row.blind]
        seeing += [row.answered() for row in benchmarks if not row.blind]
        return seeing, len(heldout) + len(benchmarks) - len(seeing)
    sets = [join(folder, name) for name in subfolders(folder) if exists(join(folder, name, SETTINGS_FILE))]
    if not sets:
        raise AerieError(
            f"{folder} holds no predictions; name a folder that aerie evaluate wrote, RUN/evaluation/STAGE of a run, "
            f"or a file ({', '.join(READERS)})"
        )
    rows = [row for one in sets for row in read_prediction_set(one).predictions()]
    return [row.answered() for row in rows], 0


def _heldout(prediction: Prediction, taken: set[str]) -> Answered:
    row = prediction.answered()
    return replace(row, benchmark=heldout_name(row.benchmark, taken))
