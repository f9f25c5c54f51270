"""Checkpoint folders, local or s3://: read through a local copy, written so that a half of one never counts as whole.

A folder counts from the moment its config.json is there: an old one is removed first, the new one comes last.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes
from data.folders import files_below, remove_file
from data.object_store import download_file, upload_file
from model.tensor_files import INDEX_FILE

CONFIG_FILE = "config.json"
PUBLISHED_FOLDER = "published"  # what an imported checkpoint's own layout had and the network doesn't use
STAGING = ".staging"


@contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """A checkpoint's files on a local disk: the folder itself, or for s3:// a temporary copy.

    Tensors that are mapped from the copy stay readable after it is removed. A training stage's own checkpoints, which
    lie in a subfolder, are not fetched.
    """
    if not is_s3(uri):
        yield uri
        return
    if not exists(join(uri, CONFIG_FILE)):  # say so before gigabytes are fetched
        raise AerieError(f"file not found: {join(uri, CONFIG_FILE)}")
    with tempfile.TemporaryDirectory(prefix="aerie-checkpoint-") as staging:
        for name in files_below(uri):
            if "/" not in name or name.startswith(f"{PUBLISHED_FOLDER}/"):
                target = Path(staging, name)
                target.parent.mkdir(exist_ok=True)
                download_file(join(uri, name), str(target))
        yield staging


@contextmanager
def staged(uri: str) -> Iterator[str]:
    """A local folder to fill; what it holds at the end appears at `uri`, config.json last. On an error nothing does.

    Other files at `uri` stay, also an old checkpoint's weights until new ones of their name come.
    """
    if is_s3(uri):
        staging = tempfile.mkdtemp(prefix="aerie-checkpoint-")
    else:
        staging = join(uri, STAGING)  # beside its place, so that moving a file is renaming it
        shutil.rmtree(staging, ignore_errors=True)  # a killed run's
        Path(staging).mkdir(parents=True)
    try:
        yield staging
        names = sorted(files_below(staging), key=lambda name: (name == CONFIG_FILE, name))
        for stale in {CONFIG_FILE, INDEX_FILE} - (set(names) - {CONFIG_FILE}):
            remove_file(join(uri, stale))
        for name in names:
            _place(join(staging, name), join(uri, name))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_existing(uri: str) -> None:
    """`AerieError` when `uri` holds a checkpoint already."""
    if exists(join(uri, CONFIG_FILE)):
        raise AerieError(f"{uri} holds a checkpoint already ({CONFIG_FILE}); name another folder or remove it")


def read_json(uri: str) -> dict[str, Any]:
    """A JSON object from a file; `AerieError` names a missing or damaged one."""
    try:
        document = json.loads(read_bytes(uri))
    except ValueError as error:
        raise AerieError(f"{uri} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AerieError(f"{uri} is not a JSON object")
    return document


def file_hashes(folder: str) -> dict[str, str]:
    """sha256 by name of the files of a local folder, of any size."""
    hashes = {}
    for name in files_below(folder):
        with open(join(folder, name), "rb") as stream:
            hashes[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes


def _place(source: str, target: str) -> None:
    if is_s3(target):
        upload_file(source, target)
        return
    with open(source, "rb") as stream:
        os.fsync(stream.fileno())
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
