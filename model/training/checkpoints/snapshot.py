"""A rank's training state copied to the CPU, laid out as the files that will hold it."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from model.training.checkpoints.fragments import KINDS, Fragment

FILE_ELEMENTS = 1 << 28  # 1 GiB of float32: torch pins memory in powers of two, and a reader takes only what it needs


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment, or a part of one, in a file of a checkpoint: its tensors there are named by `key`."""

    name: str
    start: int
    numel: int
    adam_step: float
    file: str

    @property
    def end(self) -> int:
        """One past the last element, in the flattened parameter."""
        return self.start + self.numel


def key(name: str, start: int, kind: str) -> str:
    """A piece's tensor in its file: `connector.1.weight@0/exp_avg`."""
    return f"{name}@{start}/{kind}"


class Snapshot:
    """CPU buffers for a rank's fragments, pinned with CUDA; made once and filled at each save.

    There is one buffer a file, and a file never has more than `file_elements`: large fragments are cut.
    """

    def __init__(self, owned: Sequence[Fragment], rank: int, *, file_elements: int = FILE_ELEMENTS) -> None:
        self._layout = _layout(owned, rank, file_elements)
        self._device = owned[0].master.device if owned else torch.device("cpu")
        self._pinned = self._device.type == "cuda"
        self._buffers: dict[str, torch.Tensor] = {}

    @property
    def files(self) -> list[str]:
        """The files' names."""
        return list(self._layout)

    @property
    def nbytes(self) -> int:
        """Size of all tensors in bytes."""
        return 4 * len(KINDS) * sum(end - start for spans in self._layout.values() for _, start, end in spans)

    def allocate(self) -> None:
        """Get the memory for all files; with CUDA this takes seconds for tens of gigabytes."""
        for file, spans in self._layout.items():
            if file not in self._buffers:
                self._buffers[file] = self._buffer(len(KINDS) * sum(end - start for _, start, end in spans))

    def take(self, owned: Sequence[Fragment]) -> list[Piece]:
        """Copy the fragments, laid out as those that the snapshot was made for; returns when the copies are whole."""
        self.allocate()
        pieces = []
        steps = _steps(owned)
        for file in self._layout:
            for fragment, numbers in self._parts(file, owned):
                for kind, target in numbers.items():
                    target.copy_(getattr(fragment, kind), non_blocking=True)
                step = steps[id(fragment.step)]
                pieces.append(Piece(fragment.name, fragment.start, fragment.master.numel(), step, file))
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return pieces

    def write(self, file: str, path: str, attempt: str, pieces: Sequence[Piece]) -> None:
        """Write one file in the safetensors format and see it onto the disk.

        Not by safetensors' `save_file`, which before 0.8 copies each tensor and holds Python's lock while it writes:
        training would stand still.
        """
        header: dict[str, Any] = {"__metadata__": {"attempt": attempt}}
        offset = 0
        for piece in pieces:
            for kind in KINDS if piece.file == file else ():
                place = [offset, offset + 4 * piece.numel]
                name = key(piece.name, piece.start, kind)
                header[name] = {"dtype": "F32", "shape": [piece.numel], "data_offsets": place}
                offset = place[1]
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8 bytes
        with open(path, "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            stream.write(self._buffers[file].numpy().data)
            stream.flush()
            os.fsync(stream.fileno())

    def _buffer(self, numel: int) -> torch.Tensor:
        if self._pinned:
            try:
                with torch.cuda.device(self._device):  # a thread begins with the first GPU, which is another rank's
                    return torch.empty(numel, dtype=torch.float32, pin_memory=True)
            except RuntimeError as error:
                print(f"checkpoints: memory for copies can't be pinned, they take longer: {error}", flush=True)
                self._pinned = False
        return torch.empty(numel, dtype=torch.float32)

    def _parts(self, file: str, owned: Sequence[Fragment]) -> Iterator[tuple[Fragment, dict[str, torch.Tensor]]]:
        """A file's fragments with their places in its buffer."""
        offset = 0
        for index, start, end in self._layout[file]:
            targets = {}
            for kind in KINDS:
                targets[kind] = self._buffers[file][offset : offset + end - start]
                offset += end - start
            yield owned[index].part(start, end), targets


def _layout(owned: Sequence[Fragment], rank: int, file_elements: int) -> dict[str, list[tuple[int, int, int]]]:
    """By file: (number of the fragment, start, end), in the order of the fragments."""
    files: list[list[tuple[int, int, int]]] = [[]]
    room = most = file_elements // len(KINDS)
    for index, fragment in enumerate(owned):
        start = fragment.start
        while start < fragment.end:
            if room == 0:
                files.append([])
                room = most
            end = min(start + room, fragment.end)
            files[-1].append((index, start, end))
            room -= end - start
            start = end
    return {f"rank-{rank:05d}-{number:03d}.safetensors": spans for number, spans in enumerate(files) if spans}


def _steps(owned: Sequence[Fragment]) -> dict[int, float]:
    """AdamW's counts by the identity of their tensors: many fragments share one, and each read asks the device."""
    tensors = {id(fragment.step): fragment.step for fragment in owned}
    return {identity: float(step) for identity, step in tensors.items()}
