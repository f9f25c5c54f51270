"""Checkpoints of a running stage: exact, elastic, written in the background.

CHECKPOINTS/step-000040-FINGERPRINT/ holds each rank's fragments of the fp32 weights and of AdamW's moments (safetensors
and a record of what lies where), the metrics so far and, written last, complete.json. Any number of processes at any
ZeRO stage can go on from it. Weights in the network's precision are the masters rounded, frozen parameters are the
parent stage's; neither is saved. Learning rate and packs are functions of the step.

Random generators: as many processes get their own states back. A process that the saved run did not have is seeded by
the job's fingerprint, the step and its rank. (Training draws no random numbers: there is no dropout.)
"""

import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from data.errors import AerieError
from model.training.checkpoints.checkpoint_folder import CheckpointFolder, Marker
from model.training.checkpoints.randomness import random_state, restore_random_state, seed_randomness
from model.training.checkpoints.rank_files import RankRecord, await_records, read_record, record_name, write_rank
from model.training.checkpoints.resharding import fill
from model.training.checkpoints.snapshot import Snapshot
from model.training.engine import TrainingEngine

LEAVING_SECONDS = 10.0  # for a write in flight when training ends by an error


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReport:
    """A finished checkpoint: its size, the seconds for which training stood still, and those until it was complete.

    On rank 0 `nbytes` counts all ranks' files and `written_seconds` runs to the marker; elsewhere they are the rank's.
    """

    step: int
    nbytes: int
    blocked_seconds: float
    written_seconds: float


class Checkpoints:
    """The checkpoints of one stage; at most one is being written, by a thread of this process."""

    def __init__(self, uri: str, fingerprint: str, *, keep: int, label: str) -> None:
        self._folder = CheckpointFolder(uri, fingerprint, keep=keep, label=label)
        self._thread = ThreadPoolExecutor(1)
        self._snapshot: Snapshot | None = None
        self._attempt = ""
        self._allocation: Future[None] | None = None
        self._writing: Future[SaveReport] | None = None

    def latest(self, *, quiet: bool = False) -> Marker | None:
        """The newest complete checkpoint of this job; others are named, unless `quiet`, and left alone."""
        return self._folder.latest(quiet=quiet)

    def metrics(self, marker: Marker) -> bytes:
        """The metrics up to a checkpoint."""
        return self._folder.metrics(marker)

    def prepare(self, engine: TrainingEngine) -> None:
        """Get the memory for copies in the background; every rank calls this before it trains, or its first save does.

        It is as much CPU memory as the rank has optimizer state: 12 bytes for each parameter of its share.
        """
        if self._snapshot is None:
            number = secrets.randbits(48) if engine.rank == 0 else 0
            self._attempt = f"{int(engine.sum([float(number)])[0]):012x}"
            self._snapshot = Snapshot(engine.state.owned(), engine.rank)
            self._allocation = self._thread.submit(self._snapshot.allocate)

    def save(self, engine: TrainingEngine, *, step: int, next_pack: int, metrics: bytes) -> None:
        """Copy the state, which a thread then writes; every rank calls this. It counts once its marker is there.

        Waits for a save still in flight. `AerieError`: that one could not be written.
        """
        start = time.monotonic()
        self.prepare(engine)
        self._finish()
        state, snapshot, allocation = engine.state, self._snapshot, self._allocation
        assert snapshot is not None
        assert allocation is not None
        allocation.result()
        pieces = snapshot.take(state.owned())
        record = RankRecord(
            attempt=self._attempt,
            nbytes=snapshot.nbytes,
            counters=state.counters(),
            random=random_state(),
            pieces=tuple(pieces),
        )
        marker = Marker(
            step=step,
            next_pack=next_pack,
            world_size=engine.world,
            fingerprint=self._folder.fingerprint,
            attempt=self._attempt,
            parameters=state.parameters(),
        )
        blocked = time.monotonic() - start
        self._writing = self._thread.submit(self._write, engine.rank, marker, record, metrics, start, blocked)

    def poll(self) -> SaveReport | None:
        """The report of a save that has finished since the last call; call it once a step.

        `AerieError`: it could not be written.
        """
        return self._finish() if self._writing is not None and self._writing.done() else None

    def wait(self, engine: TrainingEngine) -> SaveReport | None:
        """Wait for a save in flight, on all ranks: after this the checkpoint is complete. `AerieError` as in `poll`."""
        report = self._finish()
        engine.barrier()
        return report

    def close(self) -> None:
        """End the thread. When training has failed, a save in flight gets some seconds; it may stay incomplete."""
        if self._writing is not None:
            with suppress(Exception):  # training has its own error to tell
                self._writing.result(LEAVING_SECONDS)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def load(self, engine: TrainingEngine, marker: Marker) -> None:
        """Fill the engine with a complete checkpoint; every rank calls this. `AerieError` says why it can't."""
        folder, state = self._folder.place(marker), engine.state
        _check_parameters(folder, marker.parameters, state.parameters())
        records = [_record(folder, rank, marker.attempt) for rank in range(marker.world_size)]
        fill(folder, marker.attempt, state.held(), (piece for record in records for piece in record.pieces))
        state.resume(records[0].counters)
        if engine.rank < marker.world_size:
            restore_random_state(records[engine.rank].random)
        else:
            seed_randomness(f"{marker.fingerprint} {marker.step} {engine.rank}")

    def _finish(self) -> SaveReport | None:
        writing, self._writing = self._writing, None
        return None if writing is None else writing.result()

    def _write(
        self, rank: int, marker: Marker, record: RankRecord, metrics: bytes, start: float, blocked: float
    ) -> SaveReport:
        """In the thread: this rank's files; on rank 0 then, when all ranks' files are there, the marker."""
        folder, snapshot, nbytes = self._folder.place(marker), self._snapshot, record.nbytes
        assert snapshot is not None
        try:
            write_rank(folder, rank, snapshot, record)
            if rank == 0:
                nbytes += await_records(folder, range(1, marker.world_size), marker.attempt)
                self._folder.complete(marker, metrics)
        except AerieError:
            raise
        except Exception as error:
            raise AerieError(f"checkpoint {folder} could not be written: {error}; older ones are untouched") from error
        written = time.monotonic() - start
        if rank == 0:
            print(
                f"{self._folder.label}  checkpoint step-{marker.step:06d}  {_size(nbytes)}  blocked {blocked:.1f} s  "
                f"written {written:.1f} s",
                flush=True,
            )
        return SaveReport(step=marker.step, nbytes=nbytes, blocked_seconds=blocked, written_seconds=written)


def _check_parameters(folder: str, saved: dict[str, int], wanted: dict[str, int]) -> None:
    if saved != wanted:
        name = min(name for name, _ in saved.items() ^ wanted.items())
        raise AerieError(
            f"checkpoint {folder} has {saved.get(name, 0):,} elements of {name}, this stage trains "
            f"{wanted.get(name, 0):,}: another version wrote it; remove it to start afresh"
        )


def _record(folder: str, rank: int, attempt: str) -> RankRecord:
    record = read_record(folder, rank)
    if record is None or record.attempt != attempt:
        raise AerieError(f"checkpoint {folder}: {record_name(rank)} is missing or of another attempt; remove it")
    return record


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
