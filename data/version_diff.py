"""What changed between two versions of the data: recipe, hashes, rows by source and step, quotas. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.snapshots import Snapshot, StepFacts

NOTHING = StepFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value on both sides; None where a side has none (or where its manifest is away, see the snapshot)."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDiff:
    """Only what differs, but for `steps`, which tells of each step whether it does.

    `rows` are changes of (step, source); `quotas` and `drawn` of stage 2 by category.
    """

    before: str
    after: str
    params: tuple[Change, ...]
    steps: tuple[Change, ...]
    rows: tuple[tuple[str, Change], ...]
    quotas: tuple[Change, ...]
    drawn: tuple[Change, ...]

    @property
    def equal(self) -> bool:
        """Whether the data are the same in both."""
        return all(step.before == step.after for step in self.steps)


def diff(before: Snapshot, after: Snapshot) -> VersionDiff:
    """Compare two versions; sources and categories in name order, steps in the order of the graph."""
    names = list(dict.fromkeys([*before.steps, *after.steps]))
    names.sort(key=lambda name: "/" not in name)  # a source that came last is still a source
    pairs = {name: (before.steps.get(name), after.steps.get(name)) for name in names}
    chosen = (before.steps.get("selection", NOTHING), after.steps.get("selection", NOTHING))
    return VersionDiff(
        before=before.name,
        after=after.name,
        params=_changes(dict(_flat(before.params)), dict(_flat(after.params))),
        steps=tuple(_hashes(name, *pair) for name, pair in pairs.items()),
        rows=tuple((name, change) for name, pair in pairs.items() for change in _rows(*pair)),
        quotas=_changes(chosen[0].quotas, chosen[1].quotas),
        drawn=_changes(chosen[0].drawn, chosen[1].drawn),
    )


def _hashes(name: str, before: StepFacts | None, after: StepFacts | None) -> Change:
    """Hashes of the same kind: manifests where both are at hand, else DVC's."""
    there = [facts for facts in (before, after) if facts is not None]
    by_manifest = all(facts.sha256 for facts in there)
    old, new = (
        None if facts is None else (facts.sha256 if by_manifest else facts.output) or None for facts in (before, after)
    )
    return Change(what=name, before=old, after=new)


def _rows(before: StepFacts | None, after: StepFacts | None) -> tuple[Change, ...]:
    """Rows by source where they differ; nothing can be said when a side's manifest is away."""
    old, new = before or NOTHING, after or NOTHING
    if any(facts is not None and not facts.sha256 for facts in (before, after)):
        return ()
    return _changes(old.rows, new.rows)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    keys = sorted({*before, *after})
    changes = (Change(what=key, before=before.get(key), after=after.get(key)) for key in keys)
    return tuple(change for change in changes if change.before != change.after)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; an entry of a list that has a name is called by it, as sources are."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value and all(isinstance(part, dict) and "name" in part for part in value):
        for part in value:
            rest = {key: inner for key, inner in part.items() if key != "name"}
            yield f"{prefix}.{part['name']}", "listed"
            yield from _flat(rest, f"{prefix}.{part['name']}") if rest else ()
    else:
        yield prefix, value
