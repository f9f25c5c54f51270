"""Pictures that rows name: read from a place's files or out of a zip, and from nowhere else."""

import lzma
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from data.errors import AerieError
from data.images import MAX_BYTES, ImageProblemError, image_ref
from data.registry.raw.places import Place, safe_name
from data.registry.raw.problems import BadRowError
from data.schema import ImageRef

FAILURES = (OSError, ValueError, NotImplementedError, struct.error, zipfile.BadZipFile)


class Pictures(Protocol):
    """Where the pictures of a source are."""

    def read(self, name: str) -> bytes:
        """A picture's encoded bytes; `BadRowError` when it is missing, unsafe or too large."""
        ...


def pictures(place: Place, where: str | None = None) -> Pictures:
    """The pictures of a place: `where` is a folder or a .zip in it, None the place's own folder."""
    if where is not None and where.endswith(".zip"):
        try:
            return ZippedPictures(place.path(where))
        except BadRowError as problem:
            raise AerieError(f"option `images`: {problem}") from None
    return PlacedPictures(place, where or "")


class PlacedPictures:
    """Files of a place, below a folder of it."""

    def __init__(self, place: Place, folder: str) -> None:
        self.place, self.folder = place, folder.strip("/")

    def read(self, name: str) -> bytes:
        """See `Pictures`."""
        return limited(self.place.path(self._full(name), "image"), name)

    def identity(self, name: str) -> str:
        """What the picture's content is; `BadRowError` when there is none."""
        return self.place.identity(self._full(name))

    def _full(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder and not name.startswith(("/", "\\")) else name


class ZippedPictures:
    """Members of a zip, read in memory: nothing is ever unpacked to a disk."""

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except FAILURES as error:
            raise AerieError(f"{path} is no zip that can be read: {error}") from error
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.problems: dict[str, BadRowError] = {}
        for member in self.archive.infolist():
            if not member.is_dir():
                self._enter(member)

    def _enter(self, member: zipfile.ZipInfo) -> None:
        """A member under its safe name; unsafe ones are kept with their problem, so that they are told."""
        try:
            name = safe_name(member.filename, "zip member")
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise BadRowError("unsafe_member", f"zip member {name!r} is no plain file (a link or a device)")
            if member.flag_bits & 1:
                raise BadRowError("unsafe_member", f"zip member {name!r} is encrypted")
            if name in self.members:
                raise BadRowError("duplicate_member", f"the zip holds {name!r} twice")
        except BadRowError as problem:
            self.problems[member.filename] = problem
        else:
            self.members[name] = member

    def read(self, name: str) -> bytes:
        """See `Pictures`."""
        name = safe_name(name, "image")
        if name in self.problems:
            raise self.problems[name]
        if name not in self.members:
            raise BadRowError("missing_file", f"image {name!r} is not in {Path(self.archive.filename or '').name}")
        member = self.members[name]
        if member.file_size > MAX_BYTES:
            raise BadRowError("decompression_bomb", f"{name!r} would unpack to {member.file_size} bytes")
        try:
            with self.archive.open(member) as stream:
                return stream.read(MAX_BYTES + 1)
        # zipfile passes on what its decompressors raise.
        except (*FAILURES, EOFError, RuntimeError, zlib.error, lzma.LZMAError) as error:
            raise BadRowError("corrupt_archive", f"{name!r}: {error}") from None


def limited(path: Path, name: str) -> bytes:
    """A picture file's bytes, whose size was asked first."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadRowError("image_too_large", f"image {name!r} has {size} bytes, {MAX_BYTES} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise BadRowError("missing_file", f"image {name!r}: {error.strerror}") from None


def picture(payload: bytes, name: str) -> ImageRef:
    """The reference of a picture; `BadRowError` carries the reason of what is wrong with it."""
    try:
        return image_ref(payload, name)
    except ImageProblemError as problem:
        raise BadRowError(problem.reason, f"image {name!r}: {problem}") from None
