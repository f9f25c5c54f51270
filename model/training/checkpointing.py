"""Checkpoints of a running stage: complete or ignored, and only ever removed when newer complete ones exist.

CHECKPOINTS/step-000040/ holds DeepSpeed's files (weights, optimizer), the metrics so far and, written last,
complete.json. The optimizer step says everything else: learning rate and packs are functions of it, and training draws
no random numbers (no dropout), so there is no generator to restore.
"""

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes, write_bytes
from data.folders import copy_folder, remove_file, remove_folder, subfolders
from model.training.engine import TrainingEngine
from model.training.metrics import METRICS_NAME

MARKER_NAME = "complete.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What makes a checkpoint complete: optimizer steps done, the pack to go on with, processes, and whose it is."""

    step: int
    next_pack: int
    world_size: int
    fingerprint: str


class Checkpoints:
    """The checkpoints of one stage in one folder, local or s3://."""

    def __init__(self, uri: str, fingerprint: str, *, keep: int, label: str) -> None:
        self.uri, self.fingerprint, self.keep, self.label = uri, fingerprint, keep, label

    def save(self, engine: TrainingEngine, *, step: int, next_pack: int, metrics: bytes) -> None:
        """Write a checkpoint; every rank calls this. It counts from the moment its marker is there."""
        tag, folder = _tag(step), join(self.uri, _tag(step))
        if engine.rank == 0:
            remove_file(join(folder, MARKER_NAME))  # an equal name of another recipe must not look complete meanwhile
        engine.barrier()
        self._write(engine, tag)
        engine.barrier()
        if engine.rank == 0:
            write_bytes(join(folder, METRICS_NAME), metrics)
            marker = Marker(step=step, next_pack=next_pack, world_size=engine.world, fingerprint=self.fingerprint)
            write_bytes(join(folder, MARKER_NAME), json.dumps(dataclasses.asdict(marker)).encode())
            self._forget_old()
        engine.barrier()

    def latest(self, *, quiet: bool = False) -> Marker | None:
        """The newest complete checkpoint of this job; others are named and left alone."""
        found = []
        for name in self._names():
            marker = self._marker(name)
            if marker is not None and marker.fingerprint == self.fingerprint:
                found.append(marker)
            elif not quiet:
                why = "is incomplete" if marker is None else "belongs to other settings or inputs"
                print(f"{self.label}  checkpoint {name} {why}: not used", flush=True)
        return max(found, key=lambda marker: marker.step, default=None)

    def load(self, engine: TrainingEngine, marker: Marker) -> None:
        """Fill the engine with a complete checkpoint."""
        if marker.world_size != engine.world:
            raise AerieError(
                f"checkpoint {join(self.uri, _tag(marker.step))} was written by {marker.world_size} processes, this "
                f"run has {engine.world}: set `processes` (times the stage's `nodes`) to {marker.world_size}, "
                f"or remove {self.uri} to start afresh"
            )
        if not is_s3(self.uri):
            engine.load(self.uri, _tag(marker.step))
            return
        with tempfile.TemporaryDirectory(prefix="aerie-checkpoint-") as staging:
            copy_folder(join(self.uri, _tag(marker.step)), join(staging, _tag(marker.step)))
            engine.load(staging, _tag(marker.step))

    def metrics(self, marker: Marker) -> bytes:
        """The metrics up to a checkpoint."""
        return read_bytes(join(self.uri, _tag(marker.step), METRICS_NAME))

    def _write(self, engine: TrainingEngine, tag: str) -> None:
        if not is_s3(self.uri):
            Path(self.uri).mkdir(parents=True, exist_ok=True)
            engine.save(self.uri, tag)
            return
        with tempfile.TemporaryDirectory(prefix="aerie-checkpoint-") as staging:  # each rank sends its own files
            engine.save(staging, tag)
            copy_folder(join(staging, tag), join(self.uri, tag))

    def _names(self) -> list[str]:
        return [name for name in subfolders(self.uri) if name.startswith("step-")]

    def _marker(self, name: str) -> Marker | None:
        uri = join(self.uri, name, MARKER_NAME)
        if not exists(uri):
            return None
        try:
            return Marker(**json.loads(read_bytes(uri)))
        except (ValueError, TypeError):
            return None

    def _forget_old(self) -> None:
        """Keep the newest complete ones of this job; the marker goes first, so a half-removed one is incomplete."""
        mine = [n for n in self._names() if (m := self._marker(n)) is not None and m.fingerprint == self.fingerprint]
        for name in mine[: -self.keep]:
            remove_file(join(self.uri, name, MARKER_NAME))
            remove_folder(join(self.uri, name))


def _tag(step: int) -> str:
    return f"step-{step:06d}"
