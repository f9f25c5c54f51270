"""Tar shards read in order and never unpacked to a disk; each member is checked before its bytes are read."""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.registry.raw.limits import HEADER_BYTES, MEMBER_BYTES
from data.registry.raw.lines import is_gzip, open_raw
from data.registry.raw.places import safe_name
from data.registry.raw.problems import BadRowError

# What tarfile raises on hostile headers: besides its own errors, those of the numbers and names that it parses.
FAILURES = (tarfile.TarError, OSError, EOFError, ValueError, LookupError, ArithmeticError, zlib.error)
EXTENDED = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member that isn't a folder. `read` gives its bytes, in a compressed shard only before the next member.

    `problem` says why it may not be used; the member that carries a broken shard's problem has no name.
    """

    name: str
    problem: BadRowError | None = None
    read: Callable[[], bytes] = bytes


class _Info(tarfile.TarInfo):
    """Headers that notice damage, where tarfile would take a broken header for the archive's end."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_Info":
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENDED and info.size > HEADER_BYTES:
            raise BadRowError("corrupt_archive", f"an extended header of {info.size} bytes")
        return info

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Info":
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the blocks of zeros that a whole archive ends with
                raise
            raise BadRowError("corrupt_archive", f"no header and no end mark at byte {tar.offset}: {error}") from None


def members(path: Path) -> Iterator[Member]:
    """The members of a .tar or .tar.gz, by content; a shard that breaks ends with its problem."""
    try:
        streamed = is_gzip(path)
        with _opened(path, streamed) as tar:
            if not path.stat().st_size:
                raise BadRowError("corrupt_archive", "the file is empty")
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
                if not info.isdir():
                    yield _member(info, partial(_streamed, tar, info) if streamed else partial(_placed, path, info))
    except BadRowError as problem:
        yield Member(name="", problem=problem)
    except FAILURES as error:
        yield Member(name="", problem=BadRowError("corrupt_archive", f"{type(error).__name__}: {error}"))


def _opened(path: Path, streamed: bool) -> tarfile.TarFile:
    if streamed:
        return tarfile.open(fileobj=open_raw(path), mode="r|", tarinfo=_Info)
    return tarfile.open(path, mode="r:", tarinfo=_Info)


def _member(info: tarfile.TarInfo, read: Callable[[], bytes]) -> Member:
    try:
        name = safe_name(info.name, "tar member")
        if not info.isreg() or info.issparse():
            raise BadRowError("unsafe_member", f"{name!r} is no plain file (a link, a device or a sparse file)")
        if not 0 <= info.size <= MEMBER_BYTES:
            raise BadRowError("member_too_large", f"{name!r} has {info.size} bytes, {MEMBER_BYTES} are allowed")
    except BadRowError as problem:
        return Member(name=info.name, problem=problem)
    return Member(name=name, read=read)


def _streamed(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    try:
        stream = tar.extractfile(info)
        return _whole(info, stream.read() if stream is not None else b"")
    except FAILURES as error:
        raise BadRowError("corrupt_archive", f"{info.name!r}: {error}") from None


def _placed(path: Path, info: tarfile.TarInfo) -> bytes:
    """From the file itself, at any time: the archive may be closed by then."""
    with path.open("rb") as stream:
        stream.seek(info.offset_data)
        return _whole(info, stream.read(info.size))


def _whole(info: tarfile.TarInfo, payload: bytes) -> bytes:
    if len(payload) != info.size:
        raise BadRowError("corrupt_archive", f"{info.name!r} ends after {len(payload)} of {info.size} bytes")
    return payload
