"""The augmentation step: extra questions with computed answers, and answers that an endpoint made longer."""

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

from data.curation.added_turns import AddedTurn, meta_with, tasks_of
from data.curation.augmentation_rules import RULES, may_fit
from data.curation.augmentation_rules import VERSION as RULES_VERSION
from data.curation.endpoint.service import AnswerService
from data.curation.rewriting.prompts import PROMPT_VERSION
from data.curation.rewriting.rewriter import Rewriter
from data.expectations.border import enforce_border
from data.files import join, write_bytes
from data.ledger import Tally
from data.progress import tracked
from data.recipe import load_data_recipe
from data.registry.rows import seeded_rank
from data.schema import Sample, Turn
from data.settings.augmentation import AugmentationSettings
from data.storage import Manifest, attach, commit, committed, fingerprint, read_manifest, read_samples, write_samples

VERSION = 2
EXAMPLES = 5
RANKS = 2**64  # seeded_rank gives 64 bits
TRAFFIC_NAME = "traffic.json"


def chosen(seed: int, rule: str, sample_id: str, share: float) -> bool:
    """Whether a fitting sample is in the rule's share; independent of the other samples and of their order."""
    return seeded_rank(seed, rule, sample_id) < share * RANKS


def with_turn(sample: Sample, rule: str, added: AddedTurn) -> Sample:
    """The sample with the pair at its end, the pair's task, and where it came from in `meta["augmentation"]`."""
    provenance = {"rule": rule, "version": RULES_VERSION, "inputs": added.inputs}
    pair = (Turn(role="user", content=added.question), Turn(role="assistant", content=added.answer))
    meta = meta_with(sample, [*tasks_of(sample), added.task], provenance)
    return replace(sample, conversations=(*sample.conversations, *pair), meta=meta)


class Augmenter:
    """Applies the recipe's rules and keeps what the report shows."""

    def __init__(self, settings: AugmentationSettings, seed: int) -> None:
        self.shares, self.seed = dict(sorted(settings.rules.items())), seed
        self.report: dict[str, dict[str, Any]] = {
            rule: {"fitting": 0, "augmented": 0, "examples": []} for rule in sorted(settings.rules)
        }

    def __call__(self, sample: Sample) -> Sample:
        """The sample with the turns of every rule that fits and whose share it is in."""
        original = sample
        for rule, share in self.shares.items():
            if not may_fit(rule, original):
                continue
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
    """Add rule-made turns, and rewrite answers through the recipe's endpoint; every row stays, ids too.

    Attachment `report` (JSON): `rules` (fitting, augmented, examples of each), `rewrites` (counts and examples of
    `cot` and `long_answer`, or that they were skipped without an endpoint) and `endpoint` (tokens and cost of the
    answers that the output rests on). What went over the wire in this execution stands beside, in `traffic.json`: it
    is no part of the manifest, since a second run finds its answers in the cache. Raises `AerieError` when the
    endpoint fails and the recipe doesn't say `on_failure: skip`; run again, the step pays for nothing twice.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    enforce_border(selection_uri)
    selection, settings = read_manifest(selection_uri), recipe.data.augmentation
    mark = fingerprint(
        step="augmentation",
        version=[VERSION, RULES_VERSION, PROMPT_VERSION],
        settings=settings.identity(),
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
    with _service(settings) or nullcontext() as service:
        rewrite = Rewriter(settings=settings, seed=recipe.seed, service=service)
        samples = _counted(tracked(read_samples(selection_uri, selection), "augmentation", selection.rows), tally)
        rows = rewrite((sample, augment(sample)) for sample in samples)
        shards = write_samples(out_uri, _kept(rows, tally), recipe.data.rows_per_shard)
    report = {"rules": augment.report, "rewrites": rewrite.document(), "endpoint": _endpoint_report(service)}
    if service is not None:
        write_bytes(join(out_uri, TRAFFIC_NAME), json.dumps(service.traffic.document(), indent=1).encode())
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
            attachments={"report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode())},
        ),
    )


def _service(settings: AugmentationSettings) -> AnswerService | None:
    endpoint = settings.asked()
    return None if endpoint is None else AnswerService(endpoint)


def _endpoint_report(service: AnswerService | None) -> dict[str, Any] | None:
    if service is None:
        return None
    settings = service.settings
    return {
        "host": settings.host,
        "model": settings.model,
        "max_cost": settings.max_cost,
        "stopped": service.stopped,
        "failure": service.failure,
        **asdict(service.totals),
    }


def _counted(samples: Iterable[Sample], tally: Tally) -> Iterator[Sample]:
    for sample in samples:
        tally.take(sample.source)
        yield sample


def _kept(samples: Iterable[Sample], tally: Tally) -> Iterator[Sample]:
    for sample in samples:
        tally.keep(sample.source)
        yield sample
