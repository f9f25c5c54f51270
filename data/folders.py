"""Whole folders on local disks and in s3:// buckets: list, copy, remove."""

import shutil
from pathlib import Path

from data.files import is_s3, join, read_bytes, write_bytes
from data.object_store import download_file, object_keys, remove_objects, upload_file


def subfolders(uri: str) -> list[str]:
    """The names of the folders directly below `uri`, sorted; none when it doesn't exist."""
    if is_s3(uri):
        return [key.rstrip("/") for key in object_keys(uri, recursive=False) if key.endswith("/")]
    folder = Path(uri)
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def files_below(uri: str) -> list[str]:
    """The files below a folder, as paths relative to it, sorted."""
    if is_s3(uri):
        return object_keys(uri)
    return sorted(path.relative_to(uri).as_posix() for path in Path(uri).rglob("*") if path.is_file())


def copy_folder(source: str, target: str) -> None:
    """Copy every file below `source` to the same place below `target`, from any storage to any."""
    for name in files_below(source):
        _copy_file(join(source, name), join(target, name))


def _copy_file(source: str, target: str) -> None:
    """Checkpoints are too large for memory, so whatever touches a local disk goes by file."""
    if is_s3(target) and not is_s3(source):
        upload_file(source, target)
    elif is_s3(source) and not is_s3(target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        download_file(source, target)
    else:
        write_bytes(target, read_bytes(source))


def remove_file(uri: str) -> None:
    """Remove a file if it is there."""
    if is_s3(uri):
        folder, _, name = uri.rpartition("/")
        remove_objects(folder, [name])
    else:
        Path(uri).unlink(missing_ok=True)


def remove_folder(uri: str) -> None:
    """Remove a folder and all it holds, if it is there."""
    if is_s3(uri):
        remove_objects(uri, object_keys(uri))
    elif Path(uri).is_dir():
        shutil.rmtree(uri)
