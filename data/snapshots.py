"""What a version of the data consists of, step by step: read from a run's folder or through DVC."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes
from data.folders import subfolders
from data.recipe import recipe_document
from data.storage import MANIFEST_NAME, Manifest, manifest_from
from data.versions import Version, version_at, working_version

STEPS = ("validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting")
SECTIONS = ("seed", "data")  # of a recipe, what makes the data
WORKING_TREE = "."
Read = Callable[[str], bytes | None]  # a path below the steps' folder; None when it isn't at hand


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One step of a version. `sha256` is its manifest's, `rows` those that go on by source; both need the manifest.

    `output` is DVC's hash of the folder (empty for a run's folder); `quotas` and `drawn` are by category, of selection.
    """

    output: str = ""
    sha256: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    total: int = 0
    quotas: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A version with all that is at hand of it. `away` names the steps whose manifest is not."""

    name: str
    steps: dict[str, StepFacts]
    params: dict[str, Any]
    away: tuple[str, ...] = ()
    fetch: str = ""


def snapshot(named: str, repository: Path) -> Snapshot:
    """A version by name: a run's folder or s3:// address, a commit, tag or branch, or `.` for the working tree."""
    if named != WORKING_TREE and (is_s3(named) or Path(named).is_dir()):
        return run_snapshot(named)
    return version_snapshot(
        working_version(repository) if named == WORKING_TREE else version_at(repository, named), repository
    )


def run_snapshot(folder: str) -> Snapshot:
    """The data steps that a run has finished."""
    names = [*(f"sourcing/{name}" for name in subfolders(join(folder, "sourcing"))), *STEPS]
    steps: dict[str, StepFacts] = {}
    for name in names:
        if exists(join(folder, name, MANIFEST_NAME)):
            steps[name] = _facts(name, "", lambda path, name=name: read_bytes(join(folder, name, path)))  # type: ignore[misc]
    if not steps:
        raise AerieError(f"{folder} holds no finished data step: name a run's folder, or a version of the data")
    recipe = join(folder, "recipe.yaml")
    document = recipe_document(recipe)[0] if exists(recipe) else {}
    return Snapshot(name=folder, steps=steps, params={key: document[key] for key in SECTIONS if key in document})


def version_snapshot(version: Version, repository: Path, only: Sequence[str] = ()) -> Snapshot:
    """A version with its manifests from DVC's cache or its default remote; `only` names the steps that matter."""
    read = _dvc_reader(repository, version.commit)
    steps, away = {}, []
    for name in _in_order(version.outputs):
        if only and name not in only:
            continue
        folder = version.folders[name]
        steps[name] = _facts(name, version.outputs[name], lambda path, folder=folder: read(join(folder, path)))  # type: ignore[misc]
        if not steps[name].sha256:
            away.append(name)
    fetch = "dvc fetch" if not version.commit else f"git checkout {version.name} && dvc fetch"
    params = _nested(version.params)
    return Snapshot(name=version.name, steps=steps, params=params, away=tuple(away), fetch=fetch if away else "")


def _facts(step: str, output: str, read: Read) -> StepFacts:
    payload = read(MANIFEST_NAME)
    if payload is None:
        return StepFacts(output=output)
    manifest = manifest_from(payload, step)
    quotas, drawn = _stage_2(manifest, read) if step == "selection" else ({}, {})
    rows = {count.source: count.rows_out for count in manifest.counts}
    return StepFacts(
        output=output, sha256=manifest.sha256(), rows=rows, total=manifest.rows, quotas=quotas, drawn=drawn
    )


def _stage_2(manifest: Manifest, read: Read) -> tuple[dict[str, int], dict[str, int]]:
    """Quota and rows of stage 2 by category, from the facts of the border `selected`."""
    entry = manifest.attachments.get("expectations")
    payload = read(entry["path"]) if entry else None
    quotas, drawn = {}, {}
    for facts in json.loads(payload)["facts"] if payload else ():
        scope, _, name = facts["group"].partition(" ")
        if scope == "category":
            drawn[name] = int(facts["stage_2"])
            if facts["quota"] is not None:
                quotas[name] = int(facts["quota"])
    return quotas, drawn


def _dvc_reader(repository: Path, commit: str) -> Read:
    """Reads files of a version out of DVC's cache or remote, whichever has them."""
    from dvc.api import DVCFileSystem  # a second that the data steps need not wait

    system = DVCFileSystem(str(repository), rev=commit or None)

    def read(path: str) -> bytes | None:
        try:
            payload: bytes = system.read_bytes(path)
        except Exception:  # a cache without it; a remote that is missing, far or closed: each has errors of its own
            return None
        return payload

    return read


def _in_order(steps: Mapping[str, Any]) -> list[str]:
    place = {name: number for number, name in enumerate(STEPS)}
    return sorted(steps, key=lambda name: (-1 if "/" in name else place.get(name, len(place)), name))


def _nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """`{"data.gate": {...}}` as `{"data": {"gate": {...}}}`, the form of a recipe."""
    document: dict[str, Any] = {}
    for key, value in params.items():
        *parents, last = key.split(".")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return document
