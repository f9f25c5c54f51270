"""Writes a checkpoint in the background: each rank its own files and then a record of them, rank 0 last the marker.

No collectives here: NCCL and gloo belong to the thread that trains. Rank 0 waits for the other ranks' records to appear
where the checkpoint lies, so all ranks must see the same folder.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes, write_bytes
from data.object_store import upload_file
from model.training.checkpoints.snapshot import Piece, Snapshot

WRITERS = 4  # files at once
PATIENCE = 1800.0  # seconds that rank 0 gives the slowest rank to write as much as itself
POLL, POLL_S3 = 0.02, 0.5  # seconds between looks


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRecord:
    """What one rank saved; `attempt` tells a run's files from those that an earlier, killed one left there."""

    attempt: str
    nbytes: int
    counters: dict[str, int]
    random: dict[str, Any]
    pieces: tuple[Piece, ...]

    def to_json(self) -> bytes:
        """As a file."""
        rows = [dataclasses.astuple(piece) for piece in self.pieces]
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps({**fields, "pieces": rows}).encode()

    @classmethod
    def from_json(cls, payload: bytes) -> "RankRecord":
        """From a file; ValueError, KeyError or TypeError when it isn't one."""
        document = json.loads(payload)
        return cls(**{**document, "pieces": tuple(Piece(*row) for row in document["pieces"])})


def record_name(rank: int) -> str:
    """The file of a rank's record."""
    return f"rank-{rank:05d}.json"


def write_rank(folder: str, rank: int, snapshot: Snapshot, record: RankRecord) -> None:
    """Write a rank's files, and last its record."""

    def write(file: str) -> None:
        if not is_s3(folder):
            snapshot.write(file, join(folder, file), record.attempt, record.pieces)
            return
        with tempfile.TemporaryDirectory(prefix="aerie-checkpoint-") as staging:
            path = str(Path(staging, file))
            snapshot.write(file, path, record.attempt, record.pieces)
            upload_file(path, join(folder, file))

    if not is_s3(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(write, snapshot.files))
    write_bytes(join(folder, record_name(rank)), record.to_json())


def await_records(folder: str, ranks: Sequence[int], attempt: str, patience: float = PATIENCE) -> int:
    """Wait for the records of other ranks; returns the bytes that they saved. `AerieError` names a rank without one."""
    nbytes, end = 0, time.monotonic() + patience
    for rank in ranks:
        while (record := read_record(folder, rank)) is None or record.attempt != attempt:
            if time.monotonic() > end:
                raise AerieError(
                    f"checkpoint {folder}: process {rank} has not written its part after {patience:.0f} s; a folder "
                    "that all nodes see is needed (shared storage or s3://)"
                )
            time.sleep(POLL_S3 if is_s3(folder) else POLL)
        nbytes += record.nbytes
    return nbytes


def read_record(folder: str, rank: int) -> RankRecord | None:
    """A rank's record; None when there is none, or something else."""
    uri = join(folder, record_name(rank))
    try:
        return RankRecord.from_json(read_bytes(uri)) if exists(uri) else None
    except (ValueError, KeyError, TypeError):
        return None
