"""Whole-file reads and atomic writes on local folders and s3:// buckets."""

import io
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from data.errors import AerieError
from data.object_store import object_exists, read_object, write_object


def is_s3(uri: str) -> bool:
    """True for object storage, False for a local path."""
    return uri.startswith("s3://")


def join(folder: str, *parts: str) -> str:
    """Join path parts below a local folder or an s3:// prefix."""
    return "/".join([folder.rstrip("/"), *parts])


def read_bytes(uri: str) -> bytes:
    """A file's content; `AerieError` names a missing file."""
    if is_s3(uri):
        payload = read_object(uri)
        if payload is None:
            raise AerieError(f"file not found: {uri}")
        return payload
    try:
        return Path(uri).read_bytes()
    except FileNotFoundError as error:
        raise AerieError(f"file not found: {uri}") from error
    except IsADirectoryError as error:
        raise AerieError(f"{uri} is a folder, a file was expected") from error


def read_range(uri: str, offset: int, length: int) -> bytes:
    """`length` > 0 bytes from `offset` on, fewer where the file ends before; `AerieError` names a missing file."""
    if is_s3(uri):
        payload = read_object(uri, offset, length)
        if payload is None:
            raise AerieError(f"file not found: {uri}")
        return payload
    try:
        with open(uri, "rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except FileNotFoundError as error:
        raise AerieError(f"file not found: {uri}") from error


def write_bytes(uri: str, payload: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never a part."""
    if is_s3(uri):
        write_object(uri, payload)
        return
    with whole_file(Path(uri), io.BytesIO(payload)) as whole:
        os.replace(whole, uri)


@contextmanager
def whole_file(target: Path, content: BinaryIO) -> Iterator[Path]:
    """A file beside `target` with all the content, safely on the disk, to be renamed or linked to it; else it goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # A plain name and open() keep the umask's permissions, which mkstemp would narrow to the owner.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            shutil.copyfileobj(content, stream, 1 << 20)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def exists(uri: str) -> bool:
    """True when a file (not a folder) is there."""
    return object_exists(uri) if is_s3(uri) else Path(uri).is_file()


def step_folder(storage_uri: str, run_id: str, step: str, part: str = "") -> str:
    """Where a step of a run keeps its output: STORAGE/RUN/STEP[/PART]."""
    return join(storage_uri, run_id, step, part) if part else join(storage_uri, run_id, step)
