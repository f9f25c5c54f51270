"""Dataset versions: the Git history of dvc.lock, which holds the hash of each data step's output."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data.errors import AerieError

LOCK = "dvc.lock"
FIELD, RECORD = "\x1f", "\x1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One dvc.lock. `commit` is empty for the one in the working tree.

    `outputs` maps a step (`sourcing/NAME`, `formatting`, ...) to the hash of its folder as DVC counts it, `folders` to
    the folder in the repository; `params` maps a recipe's dotted keys, as DVC stages watch them, to their values.
    """

    commit: str = ""
    date: str = ""
    subject: str = ""
    tags: tuple[str, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a person calls it: a tag, else the short commit."""
        return self.tags[0] if self.tags else self.commit[:10] or "working tree"


def history(repository: Path) -> list[Version]:
    """All versions, the newest first; a commit that left dvc.lock as it was is none."""
    pretty = f"--format={RECORD}%H{FIELD}%cI{FIELD}%s"
    log = _git(repository, "log", pretty, "--", LOCK)
    found = [record.strip().split(FIELD) for record in log.split(RECORD) if record.strip()]
    if not found:
        raise AerieError(f"no commit here holds {LOCK}: make a version with `dvc repro`, then `git commit` {LOCK}")
    blobs = _blobs(repository, [commit for commit, _, _ in found])
    tags = _tags(repository)
    return [
        _version(_git(repository, "cat-file", "blob", blob), commit, date, subject, tags.get(blob, ()))
        for (commit, date, subject), blob in zip(found, blobs, strict=True)
        if blob  # a commit may have taken the file away
    ]


def version_at(repository: Path, revision: str) -> Version:
    """The version that a commit, tag or branch holds; `AerieError` when Git doesn't know it or it holds none."""
    commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", must=False).strip()
    if not commit:
        raise AerieError(
            f"{revision!r} is no version: Git knows no commit, tag or branch of this name, and no folder of this name "
            "holds a run; see `aerie data versions`"
        )
    (blob,) = _blobs(repository, [commit])
    if not blob:
        raise AerieError(f"commit {revision} holds no {LOCK}; see `aerie data versions` for those that do")
    date, subject = _git(repository, "log", "-1", f"--format=%cI{FIELD}%s", commit).strip().split(FIELD)
    tags = _tags(repository).get(blob, ())
    named = tuple(tag for tag in tags if tag == revision) or tags
    return _version(_git(repository, "cat-file", "blob", blob), commit, date, subject, named)


def working_version(repository: Path) -> Version:
    """The version that dvc.lock in the working tree describes."""
    path = repository / LOCK
    if not path.is_file():
        raise AerieError(f"no {LOCK} in {repository}: it names the data version; make it with `dvc repro`")
    return _version(path.read_text(encoding="utf-8"))


def _version(text: str, commit: str = "", date: str = "", subject: str = "", tags: tuple[str, ...] = ()) -> Version:
    where = f"{LOCK} of {commit[:10]}" if commit else LOCK
    try:
        stages = yaml.safe_load(text)["stages"]
        outs = [(name, out) for name, stage in stages.items() for out in stage.get("outs", ())]
        params = {
            key: value
            for stage in stages.values()
            for watched in stage.get("params", {}).values()
            for key, value in watched.items()
        }
        return Version(
            commit=commit,
            date=date,
            subject=subject,
            tags=tags,
            outputs={name.replace("@", "/"): str(out["md5"]) for name, out in outs},
            folders={name.replace("@", "/"): str(out["path"]) for name, out in outs},
            params=params,
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise AerieError(f"{where} is damaged ({error}); write it again with `dvc repro`") from error


def _blobs(repository: Path, revisions: list[str]) -> list[str]:
    """The Git object of dvc.lock in each revision, "" where there is none; one process for all."""
    if not revisions:
        return []
    asked = "\n".join(f"{revision}:./{LOCK}" for revision in revisions)
    answers = _git(repository, "cat-file", "--batch-check=%(objectname)", stdin=asked + "\n").splitlines()
    return ["" if answer.endswith((" missing", " ambiguous")) else answer for answer in answers]


def _tags(repository: Path) -> Mapping[str, tuple[str, ...]]:
    """Tags by the dvc.lock that they hold: a release is often tagged after the commit that made its data."""
    names = _git(repository, "tag", "--list", "--sort=creatordate").split()
    tags: dict[str, tuple[str, ...]] = {}
    for name, blob in zip(names, _blobs(repository, [f"refs/tags/{name}" for name in names]), strict=True):
        tags[blob] = (*tags.get(blob, ()), name)
    return tags


def _git(repository: Path, *arguments: str, stdin: str = "", must: bool = True) -> str:
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise AerieError("git is not installed; versions of the data are kept in a Git repository") from None
    if done.returncode and must:
        said = done.stderr.strip().removeprefix("fatal: ")
        raise AerieError(f"{repository.resolve()} has no versions of the data: {said}")
    return done.stdout if done.returncode == 0 else ""
