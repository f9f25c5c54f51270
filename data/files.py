"""Whole-file reads and atomic writes on local folders and s3:// buckets."""

import os
import uuid
from functools import lru_cache
from pathlib import Path

from pyarrow import fs

from data.errors import AerieError


def is_s3(uri: str) -> bool:
    """True for object storage, False for a local path."""
    return uri.startswith("s3://")


def join(folder: str, *parts: str) -> str:
    """Join path parts below a local folder or an s3:// prefix."""
    return "/".join([folder.rstrip("/"), *parts])


@lru_cache(maxsize=1)
def _s3() -> fs.S3FileSystem:
    """The S3 client; endpoint and credentials come from the AWS_* variables (AWS_ENDPOINT_URL for MinIO)."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return fs.S3FileSystem()
    scheme, _, host = endpoint.rpartition("://")
    return fs.S3FileSystem(endpoint_override=host, scheme=scheme or "https", force_virtual_addressing=False)


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that holds a URI, and the path in it."""
    return (_s3(), uri.removeprefix("s3://")) if is_s3(uri) else (fs.LocalFileSystem(), os.path.abspath(uri))


def read_bytes(uri: str) -> bytes:
    """A file's content; `AerieError` names a missing file."""
    try:
        if is_s3(uri):
            with _s3().open_input_file(uri.removeprefix("s3://")) as stream:
                return stream.read()
        return Path(uri).read_bytes()
    except FileNotFoundError as error:
        raise AerieError(f"file not found: {uri}") from error
    except IsADirectoryError as error:
        raise AerieError(f"{uri} is a folder, a file was expected") from error


def write_bytes(uri: str, payload: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never a part."""
    if is_s3(uri):
        with _s3().open_output_stream(uri.removeprefix("s3://")) as stream:
            stream.write(payload)
        return
    target = Path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A plain name and open() keep the umask's permissions, which mkstemp would narrow to the owner.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def exists(uri: str) -> bool:
    """True when a file (not a folder) is there."""
    if is_s3(uri):
        return _s3().get_file_info(uri.removeprefix("s3://")).type == fs.FileType.File
    return Path(uri).is_file()


def step_folder(storage_uri: str, run_id: str, step: str, part: str = "") -> str:
    """Where a step of a run keeps its output: STORAGE/RUN/STEP[/PART]."""
    return join(storage_uri, run_id, step, part) if part else join(storage_uri, run_id, step)
