"""The folder of a stage's checkpoints: which of them are complete, the newest one, and how long old ones are kept."""

import dataclasses
import json
from dataclasses import dataclass

from data.files import exists, join, read_bytes, write_bytes
from data.folders import remove_file, remove_folder, subfolders
from model.training.metrics import METRICS_NAME

MARKER_NAME = "complete.json"
PREFIX_LENGTH = 12  # characters of the fingerprint in a folder's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What makes a checkpoint complete: optimizer steps done, the pack to go on with, and whose it is.

    `world_size` processes wrote it, in the attempt `attempt`; `parameters` are those that it holds, with their numbers
    of elements.
    """

    step: int
    next_pack: int
    world_size: int
    fingerprint: str
    attempt: str
    parameters: dict[str, int]

    @property
    def name(self) -> str:
        """The checkpoint's folder; jobs that differ never write to the same one."""
        return f"step-{self.step:06d}-{self.fingerprint[:PREFIX_LENGTH]}"


class CheckpointFolder:
    """The checkpoints of one job below `uri`, local or s3://, among which those of other jobs may lie."""

    def __init__(self, uri: str, fingerprint: str, *, keep: int, label: str) -> None:
        self.uri, self.fingerprint, self.keep, self.label = uri, fingerprint, keep, label

    def latest(self, *, quiet: bool = False) -> Marker | None:
        """The newest complete checkpoint of this job; others are named and left alone."""
        found = []
        for name in self._names():
            marker = self._marker(name)
            if marker is not None and self._mine(name, marker):
                found.append(marker)
            elif not quiet:
                why = "is incomplete" if marker is None else "belongs to other settings or inputs"
                print(f"{self.label}  checkpoint {name} {why}: not used", flush=True)
        return max(found, key=lambda marker: marker.step, default=None)

    def place(self, marker: Marker) -> str:
        """Where a checkpoint's files lie."""
        return join(self.uri, marker.name)

    def metrics(self, marker: Marker) -> bytes:
        """The metrics up to a checkpoint."""
        return read_bytes(join(self.place(marker), METRICS_NAME))

    def complete(self, marker: Marker, metrics: bytes) -> None:
        """Let a checkpoint count whose other files are all there; the oldest ones go."""
        write_bytes(join(self.place(marker), METRICS_NAME), metrics)
        write_bytes(join(self.place(marker), MARKER_NAME), json.dumps(dataclasses.asdict(marker)).encode())
        self._forget_old()

    def _names(self) -> list[str]:
        return [name for name in subfolders(self.uri) if name.startswith("step-")]

    def _mine(self, name: str, marker: Marker) -> bool:
        return marker.fingerprint == self.fingerprint and marker.name == name

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
        mine = [m for n in self._names() if (m := self._marker(n)) is not None and self._mine(n, m)]
        for marker in sorted(mine, key=lambda marker: marker.step)[: -self.keep]:
            remove_file(join(self.place(marker), MARKER_NAME))
            remove_folder(self.place(marker))
