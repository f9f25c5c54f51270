"""Prediction sets: one checkpoint's answers to one benchmark, asked once, stored raw, scored as often as wanted.

A set is a folder, local or s3://: `settings.json` (what was asked of whom, and how), shards of predictions, and the
manifest that commits them. A killed evaluation leaves whole shards and no manifest; asked again it asks the rest.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import AerieError
from data.files import exists, join
from data.ledger import StepCount, Tally
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    manifest_uri,
    read_manifest,
    read_tables,
)
from model.evaluation.answer_shards import (
    QUESTIONS_PER_SHARD,
    SETTINGS_FILE,
    Ask,
    answer_in_shards,
    begun_with,
    settings_bytes,
)
from model.evaluation.predictions import Prediction, table_predictions
from model.evaluation.questions import Question

STEP = "predictions"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSettings:
    """All that a set's answers depend on. The batch size is not among it: it only sets the speed.

    `checkpoint`, `tokenizer` and `card` are hashes: of the checkpoint's manifest (of its files where it has none), of
    the tokenizer's file, of the benchmark's card with its prompt. `questions_sha256` is `questions_hash`. `generation`
    says how was answered: decoding, max_new_tokens, dtype, device, torch.
    """

    benchmark: str
    checkpoint: str
    tokenizer: str
    card: str
    questions: int
    questions_sha256: str
    generation: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "generation": dict(self.generation)}


@dataclass(frozen=True, slots=True)
class PredictionSet:
    """A finished set."""

    folder: str
    manifest: Manifest
    settings: SetSettings

    def predictions(self) -> Iterator[Prediction]:
        """All predictions in the order of the questions; `AerieError` names a missing or changed shard."""
        for table in read_tables(self.folder, self.manifest):
            yield from table_predictions(table)


def questions_hash(questions: Sequence[Question]) -> str:
    """Hash of what is asked and of what scorers will know of it: text, images, references, rules."""
    whole = hashlib.sha256()
    for question in questions:
        images = [image.content_hash() for image in question.images]
        known = [question.rule, question.answers, question.options, dict(question.facts)]
        row = [question.question_id, question.source, question.task, question.prompt, images, known]
        whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return whole.hexdigest()


def store_predictions(
    folder: str,
    settings: SetSettings,
    questions: Sequence[Question],
    ask: Ask,
    *,
    questions_per_shard: int = QUESTIONS_PER_SHARD,
) -> PredictionSet:
    """Ask what a set still lacks and commit it; a finished set of these settings is given back unasked.

    `ask(first, last, progress)` answers questions[first:last]. `AerieError`: two questions of one id; the folder holds
    something else, or a set of another checkpoint, of other settings or other questions.
    """
    keys = [(question.question_id, False) for question in questions]
    _check_ids(settings.benchmark, [question_id for question_id, _ in keys])
    document = settings.document()
    mark = fingerprint(**document)
    if begun_with(folder) is None and exists(manifest_uri(folder)):
        step = read_manifest(folder).step
        raise AerieError(f"{folder} holds the output of step {step!r}; name another folder for the predictions")
    if (done := committed(folder, mark)) is not None:
        return PredictionSet(folder, done, settings)
    shards = answer_in_shards(
        folder, document, keys, ask, label=settings.benchmark, questions_per_shard=questions_per_shard
    )
    manifest = Manifest(
        step=f"{STEP}/{settings.benchmark}",
        fingerprint=mark,
        recipe_sha256="",
        rows=len(keys),
        shards=shards,
        counts=_counts(settings.benchmark, len(keys)),
        lineage={name: document[name] for name in ("checkpoint", "tokenizer", "card")},
        attachments={"settings": attach(folder, SETTINGS_FILE, settings_bytes(document))},
    )
    return PredictionSet(folder, commit(folder, manifest), settings)


def read_prediction_set(folder: str) -> PredictionSet:
    """A finished set; `AerieError` when there is none, or one that a killed evaluation left half asked."""
    settings = begun_with(folder)
    if settings is None:
        raise AerieError(f"{folder} holds no predictions: no {SETTINGS_FILE} there")
    try:
        known = SetSettings(**settings)
    except TypeError as error:
        raise AerieError(
            f"{join(folder, SETTINGS_FILE)} holds other settings than a prediction set's: {error}"
        ) from None
    if not exists(manifest_uri(folder)):
        raise AerieError(
            f"the predictions in {folder} are not finished; give the same aerie evaluate again: it asks only what is "
            "missing"
        )
    manifest = read_manifest(folder)
    if manifest.fingerprint != fingerprint(**known.document()):
        raise AerieError(f"{join(folder, SETTINGS_FILE)} was changed after its answers were given; evaluate anew")
    return PredictionSet(folder, manifest, known)


def _counts(benchmark: str, questions: int) -> tuple[StepCount, ...]:
    tally = Tally(STEP)
    tally.take(benchmark, questions)
    tally.keep(benchmark, questions)
    return tally.counts()


def _check_ids(benchmark: str, ids: Sequence[str]) -> None:
    twice = [question_id for question_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise AerieError(
            f"benchmark {benchmark!r} has {len(twice)} question ids twice, the first {twice[0]!r}; "
            "its data were joined wrongly: read them anew from their source"
        )
