"""The augmentation step: a seeded share of the fitting samples gets one more question with a computed answer."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from data.curation.augmentation_rules import RULES, AddedTurn, tasks_of
from data.curation.augmentation_rules import VERSION as RULES_VERSION
from data.expectations.border import enforce_border
from data.ledger import Tally
from data.progress import tracked
from data.recipe import load_data_recipe
from data.registry.rows import seeded_rank
from data.schema import Sample, Turn
from data.settings.augmentation import AugmentationSettings
from data.storage import Manifest, attach, commit, committed, fingerprint, read_manifest, read_samples, write_samples

VERSION = 1
EXAMPLES = 5
RANKS = 2**64  # seeded_rank gives 64 bits


def chosen(seed: int, rule: str, sample_id: str, share: float) -> bool:
    """Whether a fitting sample is in the rule's share; independent of the other samples and of their order."""
    return seeded_rank(seed, rule, sample_id) < share * RANKS


def with_turn(sample: Sample, rule: str, added: AddedTurn) -> Sample:
    """The sample with the pair at its end, the pair's task, and where it came from in `meta["augmentation"]`."""
    tasks = [*tasks_of(sample), added.task]
    meta = {key: value for key, value in sample.meta.items() if key != "task"}
    if len(set(tasks)) == 1:
        meta["task"] = tasks[0]
    provenance = {"rule": rule, "version": RULES_VERSION, "inputs": added.inputs}
    pair = (Turn(role="user", content=added.question), Turn(role="assistant", content=added.answer))
    return replace(
        sample,
        conversations=(*sample.conversations, *pair),
        meta={**meta, "tasks": tasks, "augmentation": [*sample.meta.get("augmentation", []), provenance]},
    )


class Augmenter:
    """Applies the recipe's rules and keeps what the report shows."""

    def __init__(self, settings: AugmentationSettings, seed: int) -> None:
        self.shares, self.seed = settings.rules, seed
        self.report: dict[str, dict[str, Any]] = {
            rule: {"fitting": 0, "augmented": 0, "examples": []} for rule in sorted(settings.rules)
        }

    def __call__(self, sample: Sample) -> Sample:
        """The sample with the turns of every rule that fits and whose share it is in."""
        original = sample
        for rule, share in sorted(self.shares.items()):
            entry = self.report[rule]
            # Rules look at the original: what one adds is no fact for the next.
            added = RULES[rule](original, random.Random(seeded_rank(self.seed, "turn", rule, original.sample_id)))
            if added is None:
                continue
            entry["fitting"] += 1
            if chosen(self.seed, rule, original.sample_id, share):
                before, sample = sample, with_turn(sample, rule, added)
                entry["augmented"] += 1
                if len(entry["examples"]) < EXAMPLES:
                    entry["examples"].append(_example(before, sample))
        return sample


def _example(before: Sample, after: Sample) -> dict[str, str]:
    """The end of the conversation, where the change is."""
    return {
        "sample_id": before.sample_id,
        "source": before.source,
        "before": ending(before, 2),
        "after": ending(after, 4),
    }


def ending(sample: Sample, turns: int) -> str:
    """The last turns as text, with a mark where earlier ones are left out."""
    lines = [f"{turn.role}: {turn.content}" for turn in sample.conversations[-turns:]]
    return "\n".join((["…"] if len(sample.conversations) > turns else []) + lines)


def augment_samples(recipe_uri: str, recipe_sha256: str, selection_uri: str, out_uri: str) -> Manifest:
    """Add rule-made turns; every row stays, ids too.

    Attachment `report` (JSON): per rule `fitting`, `augmented` and `examples` before and after.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    enforce_border(selection_uri)
    selection, settings = read_manifest(selection_uri), recipe.data.augmentation
    mark = fingerprint(
        step="augmentation",
        version=[VERSION, RULES_VERSION],
        settings=settings.model_dump(),
        seed=recipe.seed,
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[selection.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    tally = Tally("augmentation")
    for count in selection.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    augment = Augmenter(settings, recipe.seed)

    def rows() -> Iterator[Sample]:
        for sample in tracked(read_samples(selection_uri, selection), "augmentation", selection.rows):
            tally.take(sample.source)
            yield augment(sample)
            tally.keep(sample.source)

    shards = write_samples(out_uri, rows(), recipe.data.rows_per_shard)
    return commit(
        out_uri,
        Manifest(
            step="augmentation",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage={"selection": selection.sha256()},
            attachments={"report": attach(out_uri, "report.json", json.dumps(augment.report, indent=1).encode())},
        ),
    )
