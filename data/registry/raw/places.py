"""Where raw files are: `file://`, `s3://`, `hf://datasets/OWNER/NAME[@REVISION][/PATH]` and `https://`, as local files.

A place lists names and gives each as a local file. Remote files are fetched one by one, when they are first asked for,
into a cache folder (see `data.registry.raw.remote`), and stay there.
"""

import fnmatch
import hashlib
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.raw.limits import CHUNK_BYTES, NAME_BYTES
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean

DRIVE = re.compile(r"[A-Za-z]:")
WILD = re.compile(r"[*?\[]")


class Place(Protocol):
    """Raw files of one source."""

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """The files that the card's URI means: itself, or those of a folder with such a suffix, or those that match its
        pattern; sorted, at least one (`AerieError`)."""
        ...

    def path(self, name: str, what: str = "file") -> Path:
        """A file as a local path; `BadRowError` when it is missing or leads out of the place."""
        ...

    def identity(self, name: str) -> str:
        """What the file's content is: a hash, or a pinned revision or tag of the place."""
        ...


def place_of(card: SourceCard) -> Place:
    """The place of a card's URI; `AerieError` says what is wrong with it."""
    from data.registry.raw import remote

    kind, _, rest = card.uri.partition("://")
    revision = getattr(card, "revision", None)
    if kind == "file":
        return LocalPlace(card, rest)
    if kind == "s3":
        return remote.BucketPlace(card.uri)
    if kind == "hf":
        return remote.HubPlace(card.uri, revision)
    if kind in {"https", "http"}:
        return remote.WebPlace(card.uri)
    if not kind:
        raise AerieError(f"source {card.name!r}: the card names no place; give one with `uri`")
    raise AerieError(f"source {card.name!r}: adapter {card.adapter!r} reads no {kind}:// place; correct `uri`")


def local_path(place: Place, name: str) -> Path:
    """A file that the card itself means; what is wrong with it is the user's to mend, so `AerieError`."""
    try:
        return place.path(name)
    except BadRowError as problem:
        raise AerieError(f"{problem}; correct `uri`") from None


def files_identity(place: Place, names: Iterable[str]) -> str:
    """One hash over the names and the identities of files; a file that can't be read has its reason for one."""
    digest = hashlib.sha256()
    for name in names:
        try:
            content = place.identity(name)
        except BadRowError as problem:
            content = problem.reason
        digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def safe_name(name: str, what: str = "path") -> str:
    """A relative POSIX path without `..`, drive or control characters; anything else raises `BadRowError`."""
    clean(name, what)
    if name.startswith(("http://", "https://", "data:")):
        raise BadRowError("missing_file", f"{what} {name[:80]!r} is an address; download the pictures first")
    if len(name.encode()) > NAME_BYTES:
        raise BadRowError("unsafe_path", f"{what} has {len(name.encode())} bytes")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or DRIVE.match(name):
        raise BadRowError("unsafe_path", f"{what} {name!r} lies outside its folder")
    if not path.parts or any(ord(letter) < 32 for letter in name):
        raise BadRowError("unsafe_path", f"{what} {name!r} is no file's name")
    return path.as_posix()


def wanted(names: Iterable[str], pattern: str | None, suffixes: tuple[str, ...]) -> list[str]:
    """Names that match a pattern or, without one, end in a suffix; sorted, hidden files left out."""
    if pattern is not None:
        return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))
    shown = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return sorted(name for name in shown if name.lower().endswith(suffixes))


class LocalPlace:
    """A file, a folder or a pattern on a local disk."""

    def __init__(self, card: SourceCard, path: str) -> None:
        self.source, self.target, self.pattern = card.name, Path(path), None
        self.root = self.target if self.target.is_dir() else self.target.parent
        if WILD.search(path) and not self.target.exists():
            fixed = next(index for index, part in enumerate(self.target.parts) if WILD.search(part))
            self.root = Path(*self.target.parts[:fixed])
            self.pattern = "/".join(self.target.parts[fixed:])

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """See `Place`."""
        if self.pattern is None and self.root != self.target:
            self._readable()
            return [self.target.name]
        below = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        found = wanted(below, self.pattern, suffixes)
        if not found:
            meant = self.pattern or f"*{{{','.join(suffixes)}}}"
            raise AerieError(f"source {self.source!r}: no file {meant} in {self.root}; correct `uri`")
        return found

    def _readable(self) -> None:
        try:
            with self.target.open("rb"):
                return
        except OSError as error:
            raise AerieError(
                f"source {self.source!r}: {self.target} can't be read ({error.strerror}); correct `uri`"
            ) from error

    def path(self, name: str, what: str = "file") -> Path:
        """See `Place`. Links are followed, and then must still end in the place's folder."""
        name = safe_name(name, what)
        try:
            target = (self.root / name).resolve()
            plain = stat.S_ISREG(target.stat().st_mode)  # a pipe or a device would be waited for
        except (OSError, RuntimeError) as error:  # the latter is a circle of links
            raise BadRowError("missing_file", f"{what} {name!r}: {getattr(error, 'strerror', error)}") from None
        listed = self.root / name == self.target  # the file that the card names may be a link to anywhere
        if not listed and not target.is_relative_to(self.root.resolve()):
            raise BadRowError("unsafe_path", f"{what} {name!r} is a link that leads out of {self.root}")
        if not plain:
            raise BadRowError("missing_file", f"{what} {name!r} is no plain file")
        return target

    def identity(self, name: str) -> str:
        """SHA-256 of the content."""
        return file_hash(self.path(name))


def file_hash(path: Path) -> str:
    """SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
