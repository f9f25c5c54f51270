"""Fills the fragments of a rank from a checkpoint that any number of ranks at any ZeRO stage wrote."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from data.errors import AerieError
from data.files import is_s3, join
from data.object_store import download_file
from model.training.checkpoints.fragments import KINDS, Fragment
from model.training.checkpoints.snapshot import Piece, key

READERS = 4  # files at once


class Overlap(NamedTuple):
    """The elements `start` to `end` of a fragment's parameter lie in a piece."""

    fragment: Fragment
    piece: Piece
    start: int
    end: int


def fill(folder: str, attempt: str, held: Sequence[Fragment], pieces: Iterable[Piece]) -> None:
    """Read what `held` needs from a checkpoint's folder, local or s3://; files that hold nothing of it are not read.

    `AerieError`: a file is missing, damaged or of another attempt at the checkpoint, or elements are in no file.
    """
    files: dict[str, list[Overlap]] = {}
    for overlap in overlaps(held, pieces, folder):
        files.setdefault(overlap.piece.file, []).append(overlap)
    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(lambda file: _read(folder, file, attempt, files[file]), files))


def overlaps(held: Sequence[Fragment], pieces: Iterable[Piece], folder: str) -> list[Overlap]:
    """Where each element of the fragments is found; `AerieError` when one is nowhere."""
    by_name: dict[str, list[Piece]] = {}
    for piece in sorted(pieces, key=lambda piece: piece.start):
        by_name.setdefault(piece.name, []).append(piece)
    found = []
    for fragment in held:
        reached = fragment.start
        for piece in by_name.get(fragment.name, []):
            if piece.start <= reached < min(piece.end, fragment.end):
                end = min(piece.end, fragment.end)
                found.append(Overlap(fragment, piece, reached, end))
                reached = end
        if reached < fragment.end:
            raise AerieError(f"checkpoint {folder} lacks element {reached} of {fragment.name}; remove it")
    return found


@torch.no_grad()
def _read(folder: str, file: str, attempt: str, wanted: Sequence[Overlap]) -> None:
    uri = join(folder, file)
    try:
        with _local(uri) as path, safe_open(path, framework="pt") as stored:
            if (stored.metadata() or {}).get("attempt") != attempt:
                raise AerieError(f"{uri} was written over by another run of this stage; remove {folder}")
            for overlap in wanted:
                _copy(stored, overlap)
    except FileNotFoundError as error:
        raise AerieError(f"file not found: {uri}, which its checkpoint names; remove {folder}") from error
    except (SafetensorError, OSError) as error:
        raise AerieError(f"{uri} is not a whole safetensors file ({error}); remove {folder}") from error


def _copy(stored: Any, overlap: Overlap) -> None:
    fragment, piece, start, end = overlap
    target = fragment.part(start, end)
    for kind in KINDS:
        source = stored.get_slice(key(piece.name, piece.start, kind))
        getattr(target, kind).copy_(source[start - piece.start : end - piece.start])
    fragment.step.fill_(piece.adam_step)


@contextmanager
def _local(uri: str) -> Iterator[str]:
    """A path to read a file from; an object is fetched for as long."""
    if not is_s3(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="aerie-checkpoint-") as staging:
        path = str(Path(staging, "part.safetensors"))
        download_file(uri, path)
        yield path
