"""One of our checkpoints in a published layout: its keys, its config, its tokenizer and processor files."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.files import exists, join
from model.checkpoint import EMBEDDING, HEAD, TOKENIZER_FILE, check_tensors, described_network, read_tokenizer
from model.checkpoint_files import CONFIG_FILE, PUBLISHED_FOLDER, local_copy, read_json, refuse_existing, staged
from model.config import ModelSettings
from model.published.importing import LAYOUT_FILE, UNUSED_FILE
from model.published.keys import KeyRules, key_rules
from model.published.layouts import SMALL_FILES, default_towers, small_files, write_config
from model.published.parts import Exported
from model.tensor_files import MAX_SHARD_BYTES, TensorHeader, TensorReader, open_file, open_tensors, write_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote, and what a published checkpoint has that this one never had."""

    files: tuple[str, ...]
    tensors: int
    written_back: int  # unused tensors of the checkpoint that it was imported from
    left_out: tuple[str, ...]  # parts that the published checkpoints hold unused and this one doesn't have


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The published checkpoint that this one was imported from, as it was."""

    document: dict[str, Any]  # its config
    towers: tuple[str, ...]
    stores_tied_head: bool
    small_files: dict[str, bytes]


def export_published(folder: str, layout: str, out: str, *, max_shard_bytes: int = MAX_SHARD_BYTES) -> ExportReport:
    """Write a checkpoint folder in a published layout; either may be local or s3://.

    `AerieError` says what the layout can't hold. A checkpoint that was imported from the layout gives back every
    tensor, the config and the small files as they were. Tensors keep their precision; at most one shard is held in
    memory.
    """
    refuse_existing(out)
    with ExitStack() as stack:
        local = stack.enter_context(local_copy(folder))
        model, tokenizer = described_network(local, folder), read_tokenizer(local)
        reader = stack.enter_context(open_tensors(local))
        check_tensors(reader, model, folder)
        dtype = reader.headers[EMBEDDING].dtype
        exported = Exported(settings=model.settings, vocab_size=model.vocab_size, tokenizer=tokenizer, dtype=dtype)
        origin = _origin(local, layout, exported)
        config = write_config(layout, exported) if origin is None else origin.document
        rules = key_rules(default_towers(layout, model.settings) if origin is None else origin.towers)
        tensors = _Tensors(rules)
        for name in reader.headers:
            tensors.add(rules.to_theirs(name), reader, name)
        if origin is not None and origin.stores_tied_head:
            tensors.add_copy(rules.to_theirs(HEAD), reader, EMBEDDING)
        unused = join(local, PUBLISHED_FOLDER, UNUSED_FILE)
        back = tensors.add_unused(stack.enter_context(open_file(unused))) if exists(unused) else 0
        payload = Path(local, TOKENIZER_FILE).read_bytes()
        small = small_files(layout, payload, exported) if origin is None else dict(origin.small_files)
        small[CONFIG_FILE] = json.dumps(config, indent=2).encode()
        staging = stack.enter_context(staged(out))
        files = write_tensors(staging, tensors.headers, tensors.load, max_shard_bytes=max_shard_bytes)
        for name, content in small.items():
            Path(staging, name).write_bytes(content)
    heads = ("SigLIP's pooling head", *(["ConvNeXt's classification head"] if model.settings.convnext else []))
    return ExportReport(
        files=tuple(sorted([*files, *small])),
        tensors=len(tensors.headers),
        written_back=back,
        left_out=() if back else heads,
    )


class _Tensors:
    """The tensors to write by their published names: their headers, and how each is read when its turn comes."""

    def __init__(self, rules: KeyRules) -> None:
        self.rules = rules
        self.headers: dict[str, TensorHeader] = {}
        self.loaders: dict[str, Callable[[], torch.Tensor]] = {}

    def load(self, published: str) -> torch.Tensor:
        """Read one tensor by its published name."""
        return self.loaders[published]()

    def add(self, published: str, reader: TensorReader, name: str) -> None:
        """One tensor of a file, under its published name."""
        self.headers[published] = reader.headers[name]
        self.loaders[published] = lambda: reader.load(name)

    def add_copy(self, published: str, reader: TensorReader, name: str) -> None:
        """A second tensor of equal content; safetensors refuses two that share their memory."""
        self.add(published, reader, name)
        self.loaders[published] = lambda: reader.load(name).clone()

    def add_unused(self, reader: TensorReader) -> int:
        """The kept tensors that have a place in this layout; returns how many."""
        names = [name for name in reader.headers if self.rules.why_unused(name) is not None]
        for name in names:
            self.add(name, reader, name)
        return len(names)


def _origin(local: str, layout: str, exported: Exported) -> Origin | None:
    """None as well when the network is another by now, so that its old config would be wrong."""
    kept = join(local, PUBLISHED_FOLDER)
    if not exists(join(kept, LAYOUT_FILE)):
        return None
    facts = read_json(join(kept, LAYOUT_FILE))
    same = ModelSettings.model_validate(facts["settings"]) == exported.settings
    if facts["layout"] != layout or not same or facts["vocab_size"] != exported.vocab_size:
        return None
    return Origin(
        document=read_json(join(kept, CONFIG_FILE)),
        towers=tuple(facts["towers"]),
        stores_tied_head=facts["stores_tied_head"],
        small_files={name: Path(kept, name).read_bytes() for name in SMALL_FILES if Path(kept, name).is_file()},
    )
