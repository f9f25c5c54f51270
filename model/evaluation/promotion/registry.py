"""The registry of accepted checkpoints: STORAGE/registry/NAME/000001.json and so on, written once each.

The next number belongs to whoever creates its file first; everything that a later comparison needs lies beside it, so
that an entry outlives its run's folder.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.create_once import create_once
from data.errors import AerieError
from data.files import join, read_bytes
from data.folders import files_below, subfolders

FOLDER = "registry"
ENTRY = re.compile(r"^(\d{6,})\.json$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted checkpoint.

    `checkpoint`, `evaluation`, `promotion` and `data_version` are hashes of manifests: the stage's, its evaluation's,
    the comparison's and that of the formatted samples. `predictions` is the SHA-256 of the Parquet file kept here,
    `benchmarks` that of the answers to benchmarks with a judge's verdicts, "" where none were asked. `scores` and
    `questions` are by source, by the rules `rules`; `benchmark_scores` and `benchmark_units` by line
    (`benchmarks.line_name`), by `benchmark_rules`; `judge` is the model that graded or read some of these answers, ""
    where none did. `predecessor` is the checkpoint of the entry before, "" in the first. `date` is UTC; `git_sha` is ""
    outside of a checkout.
    """

    model: str
    number: int
    run_id: str
    stage: str
    checkpoint: str
    recipe: str
    recipe_sha256: str
    data_version: str
    evaluation: str
    promotion: str
    predictions: str
    rules: str
    scores: Mapping[str, float] = field(default_factory=dict)
    questions: Mapping[str, int] = field(default_factory=dict)
    benchmarks: str = ""
    benchmark_rules: str = ""
    judge: str = ""
    benchmark_scores: Mapping[str, float] = field(default_factory=dict)
    benchmark_units: Mapping[str, int] = field(default_factory=dict)
    predecessor: str = ""
    git_sha: str = ""
    date: str = ""

    def to_json(self) -> str:
        """Sorted keys, one a line."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)

    @property
    def mean_score(self) -> float | None:
        """The plain mean over sources, as the paper's average over benchmarks."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else None


def registry_folder(storage_uri: str) -> str:
    """Where a storage keeps its registry."""
    return join(storage_uri, FOLDER)


def models(registry_uri: str) -> list[str]:
    """The names that have an entry."""
    return [name for name in subfolders(registry_uri) if _numbers(registry_uri, name)]


def entries(registry_uri: str, model: str) -> list[Entry]:
    """All entries of a name, the oldest first; `AerieError` names a damaged file or a number that is missing."""
    numbers = _numbers(registry_uri, model)
    if numbers != list(range(1, len(numbers) + 1)):
        missing = next(number for number in range(1, max(numbers)) if number not in numbers)
        raise AerieError(f"{entry_uri(registry_uri, model, missing)} is missing: entries are never deleted; restore it")
    return [read_entry(registry_uri, model, number) for number in numbers]


def read_entry(registry_uri: str, model: str, number: int) -> Entry:
    """One entry; `AerieError` when it is missing or damaged."""
    uri = entry_uri(registry_uri, model, number)
    try:
        return Entry(**json.loads(read_bytes(uri)))
    except (ValueError, TypeError) as error:
        raise AerieError(f"{uri} is damaged ({error}); restore it from a backup, entries never change") from None


def entry_uri(registry_uri: str, model: str, number: int) -> str:
    """Where an entry lies."""
    return join(registry_uri, model, f"{number:06d}.json")


def predictions_uri(registry_uri: str, entry: Entry) -> str:
    """Where an entry's predictions lie."""
    return join(registry_uri, entry.model, "predictions", f"{entry.predictions}.parquet")


def benchmarks_uri(registry_uri: str, entry: Entry) -> str:
    """Where an entry's answers to benchmarks lie, if it has any."""
    return join(registry_uri, entry.model, "benchmarks", f"{entry.benchmarks}.parquet")


def kept_files(registry_uri: str, entry: Entry) -> dict[str, tuple[str, str]]:
    """Attachment of a run -> where the registry keeps a copy, and its SHA-256."""
    kept = {"predictions": (predictions_uri(registry_uri, entry), entry.predictions)}
    if entry.benchmarks:
        kept["benchmarks"] = benchmarks_uri(registry_uri, entry), entry.benchmarks
    return kept


def predecessor_of(known: list[Entry], checkpoint: str) -> Entry | None:
    """What a checkpoint is compared with: the last entry, or the one before its own when it was accepted already."""
    for place, entry in enumerate(known):
        if entry.checkpoint == checkpoint:
            return known[place - 1] if place else None
    return known[-1] if known else None


def append(registry_uri: str, entry: Entry) -> Entry:
    """Write an entry, or find the same checkpoint's; `AerieError` when another one took its number."""
    uri = entry_uri(registry_uri, entry.model, entry.number)
    if create_once(uri, entry.to_json().encode()):
        return entry
    there = read_entry(registry_uri, entry.model, entry.number)
    if there.checkpoint == entry.checkpoint:
        return there
    raise AerieError(
        f"{entry.model}: run {there.run_id} was accepted as number {there.number} after this checkpoint was compared; "
        "run the pipeline again: finished steps are kept, the comparison is made anew"
    )


def _numbers(registry_uri: str, model: str) -> list[int]:
    found = (ENTRY.match(name) for name in files_below(join(registry_uri, model)))
    return sorted(int(match[1]) for match in found if match)


def document(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON."""
    return dataclasses.asdict(entry)
