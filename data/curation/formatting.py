"""The formatting step: bare canonical answers, and one explicit answer format per family of tasks."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from data.curation.augmentation_rules import tasks_of
from data.curation.decorations import strip_decorations
from data.curation.instructions import (
    INSTRUCTIONS,
    canonical_answer,
    family_of,
    fits,
    verbatim,
    with_instruction,
    without_instruction,
)
from data.curation.instructions import VERSION as INSTRUCTIONS_VERSION
from data.errors import AerieError
from data.ledger import Tally
from data.progress import tracked
from data.recipe import load_data_recipe
from data.registry.sourcing import parquet_bytes
from data.schema import Sample, Turn, samples_to_table, table_to_samples
from data.settings.formatting import FormattingSettings
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    parquet_table,
    read_attachment,
    read_manifest,
    read_samples,
    write_samples,
)

VERSION = 1
EXAMPLES = 3
SNIPPET_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with its answer, and the kinds of change that made it so."""

    question: str
    answer: str
    instruction: str = ""
    kinds: tuple[str, ...] = ()


def format_pair(task: str, question: str, answer: str, settings: FormattingSettings) -> Pair:
    """One pair in canonical form; image placeholders stay where they are."""
    kinds: list[str] = []
    asked, bare = question, answer
    if settings.strip_decorations:
        asked = question.strip()
        kinds += ["question_whitespace"] if asked != question else []
        bare, taken = strip_decorations(answer, verbatim=verbatim(task))
        kinds += taken
        canonical = canonical_answer(family_of(task, asked, bare), bare)
        kinds += ["canonical_answer"] if canonical != bare else []
        bare = canonical
    family = family_of(task, asked, bare)
    instruction = ""
    if settings.instructions and fits(family, bare):
        own = without_instruction(asked)
        kinds += ["replaced_instruction"] if own != asked else []
        asked, before = with_instruction(own, family, settings.wording), asked
        kinds += [f"instruction_{family}"] if asked != before else []
        instruction = INSTRUCTIONS[settings.wording][family]
    return Pair(question=asked, answer=bare, instruction=instruction, kinds=tuple(kinds))


@dataclass(slots=True)
class Formatter:
    """Formats samples and keeps what the report shows.

    changed: pairs by kind of change; formats: task to the instructions given for it, with the number of pairs.
    """

    settings: FormattingSettings
    changed: Counter[str] = field(default_factory=Counter)
    formats: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: defaultdict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, sample: Sample) -> Sample:
        """The sample with every pair in canonical form; system turns, ids, images and meta stay."""
        tasks = tasks_of(sample)
        answers = sum(turn.role == "assistant" for turn in sample.conversations)
        if len(tasks) != answers:
            raise AerieError(
                f"sample {sample.sample_id} of {sample.source!r}: meta.tasks names {len(tasks)} tasks for {answers} "
                "answers; correct the source's adapter or rows"
            )
        turns: list[Turn] = []
        for turn in sample.conversations:
            if turn.role == "assistant" and turns and turns[-1].role == "user":
                question = turns.pop()
                turns += self._pair(sample, tasks[sum(t.role == "assistant" for t in turns)], question, turn)
            else:
                turns.append(turn)
        return replace(sample, conversations=tuple(turns))

    def _pair(self, sample: Sample, task: str, question: Turn, answer: Turn) -> tuple[Turn, Turn]:
        pair = format_pair(task, question.content, answer.content, self.settings)
        self.formats[task][pair.instruction] += 1
        self.changed.update(set(pair.kinds))
        for kind in pair.kinds:
            # Not two examples of one kind from one conversation: its questions look alike.
            shown = self.examples[kind]
            if len(shown) < EXAMPLES and all(example["sample_id"] != sample.sample_id for example in shown):
                shown.append(
                    {
                        "sample_id": sample.sample_id,
                        "source": sample.source,
                        "kind": kind,
                        "before": _snippet(question.content, answer.content),
                        "after": _snippet(pair.question, pair.answer),
                    }
                )
        return replace(question, content=pair.question), replace(answer, content=pair.answer)

    def report(self) -> dict[str, Any]:
        """JSON: counts by kind, the formats of each task, examples before and after."""
        return {
            "changed": dict(sorted(self.changed.items())),
            "formats": {task: dict(sorted(found.items())) for task, found in sorted(self.formats.items())},
            "examples": [example for kind in sorted(self.examples) for example in self.examples[kind]],
        }


def _snippet(question: str, answer: str) -> str:
    text = f"user: {question}\nassistant: {answer}"
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"


def format_samples(
    recipe_uri: str, recipe_sha256: str, augmentation_uri: str, validation_uri: str, out_uri: str
) -> Manifest:
    """Format the training samples and, by the same rules, the held-out samples of the validation step.

    Attachments: `heldout` (Parquet of `SAMPLE_SCHEMA`) and `report` (JSON; the held-out set apart under `heldout`).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    augmentation, validation = read_manifest(augmentation_uri), read_manifest(validation_uri)
    settings = recipe.data.formatting
    lineage = {"augmentation": augmentation.sha256(), "validation": validation.sha256()}
    mark = fingerprint(
        step="formatting",
        version=[VERSION, INSTRUCTIONS_VERSION],
        settings=settings.model_dump(),
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    tally = Tally("formatting")
    for count in augmentation.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    train, held = Formatter(settings), Formatter(settings)
    rows = tracked(read_samples(augmentation_uri, augmentation), "formatting", augmentation.rows)
    shards = write_samples(out_uri, _formatted(rows, train, tally), recipe.data.rows_per_shard)
    table = parquet_table(read_attachment(validation_uri, validation, "heldout"))
    heldout = [held(sample) for sample in table_to_samples(table)]
    report = {**train.report(), "instructions": INSTRUCTIONS[settings.wording], "heldout": held.report()}
    return commit(
        out_uri,
        Manifest(
            step="formatting",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage=lineage,
            attachments={
                "heldout": attach(out_uri, "heldout.parquet", parquet_bytes(samples_to_table(heldout))),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
            },
        ),
    )


def _formatted(samples: Iterable[Sample], formatter: Formatter, tally: Tally) -> Iterator[Sample]:
    for sample in samples:
        tally.take(sample.source)
        yield formatter(sample)
        tally.keep(sample.source)
