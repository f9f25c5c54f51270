"""Safetensors folders: one file or shards with an index, read lazily and written a shard at a time."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data.errors import AerieError

# One file, or model-00001-of-00004.safetensors and so on with the index.
WEIGHTS_FILE, INDEX_FILE, SHARD_PATTERN = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model{suffix}.safetensors",
)
MAX_SHARD_BYTES = 5_000_000_000  # as the published checkpoints: 4.99 GB files
DTYPES = {  # safetensors' names; checkpoints hold no others
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What a file says of a tensor before it is read: safetensors' name of its type, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


class TensorReader:
    """The tensors of open files by name; each is read, as a view of the mapped file, when it is asked for."""

    def __init__(self, handles: Mapping[str, Any]) -> None:
        self._handles = handles
        self.headers = {name: _header(handle, name) for name, handle in handles.items()}

    def load(self, name: str) -> torch.Tensor:
        """One tensor on the CPU, in the type that it has in the file."""
        tensor: torch.Tensor = self._handles[name].get_tensor(name)
        return tensor


@contextmanager
def open_tensors(folder: str) -> Iterator[TensorReader]:
    """The tensors of a local folder, or of one file. `AerieError` names a missing, truncated or contradictory file."""
    with ExitStack() as stack:
        handles: dict[str, Any] = {}
        for path, promised in _files(Path(folder)):
            handle = stack.enter_context(_opened(path))
            names = set(handle.keys())
            if missing := sorted(promised - names):
                raise AerieError(f"{path} lacks {len(missing)} tensors that its index names, first {missing[0]}")
            if twice := sorted(names & set(handles)):
                raise AerieError(f"{path}: tensor {twice[0]} stands in another shard too")
            handles |= dict.fromkeys(names, handle)
        yield TensorReader(handles)


@contextmanager
def open_file(path: str) -> Iterator[TensorReader]:
    """The tensors of one local safetensors file."""
    with _opened(Path(path)) as handle:
        yield TensorReader(dict.fromkeys(handle.keys(), handle))


def write_tensors(
    folder: str,
    headers: Mapping[str, TensorHeader],
    load: Callable[[str], torch.Tensor],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> list[str]:
    """Write tensors to a local folder, in the order of `headers`; returns the names of the files.

    `load` gives a tensor by name; at most one shard's tensors are held at a time. Above `max_shard_bytes` there are
    shards and an index, as huggingface_hub splits them.
    """
    split = split_state_dict_into_shards_factory(
        {name: header.nbytes for name, header in headers.items()},
        get_storage_size=lambda size: size,
        filename_pattern=SHARD_PATTERN,
        max_shard_size=max_shard_bytes,
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, names in split.filename_to_tensors.items():
        tensors = {name: load(name).detach().cpu().contiguous() for name in names}
        save_file(tensors, Path(folder, file), metadata={"format": "pt"})
    files = list(split.filename_to_tensors)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        Path(folder, INDEX_FILE).write_text(json.dumps(index, indent=1, sort_keys=True))
        files.append(INDEX_FILE)
    return files


def header_of(tensor: torch.Tensor) -> TensorHeader:
    """The header that a tensor will have in a file."""
    return TensorHeader(DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))


def _files(folder: Path) -> list[tuple[Path, set[str]]]:
    """The safetensors files of a folder, each with the tensors that an index promises in it."""
    if folder.is_file():
        return [(folder, set())]
    index, single = folder / INDEX_FILE, folder / WEIGHTS_FILE
    if not index.is_file():
        if not single.is_file():
            raise AerieError(f"file not found: {single} (nor {index.name} for shards)")
        return [(single, set())]
    try:
        weight_map: dict[str, str] = json.loads(index.read_bytes())["weight_map"]
        promised: dict[str, set[str]] = {}
        for name, file in weight_map.items():
            promised.setdefault(file, set()).add(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AerieError(f"{index} is not an index of safetensors shards: {error}") from error
    return [(folder / file, names) for file, names in sorted(promised.items())]


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise AerieError(f"file not found: {path}, a shard that the index names; copy it here") from error
    except (SafetensorError, OSError) as error:
        raise AerieError(f"{path} is not a whole safetensors file ({error}); copy it again") from error


def _header(handle: Any, name: str) -> TensorHeader:
    part = handle.get_slice(name)
    if part.get_dtype() not in DTYPES:
        raise AerieError(f"tensor {name} has type {part.get_dtype()}; only {', '.join(DTYPES)} are read")
    return TensorHeader(part.get_dtype(), tuple(part.get_shape()))
