"""Runs a recipe's steps up to packing as their components do, on an S3 server, and counts what each asks of it."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import urllib3
from kfp import dsl

from data.files import step_folder
from data.storage import read_manifest


@dataclass(kw_only=True)
class Counted:
    """One step: HTTP requests by method, payload bytes each way, CPU seconds, rows and shards it committed."""

    requests: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    bytes_written: int = 0
    cpu_seconds: float = 0.0
    rows: int = 0
    shards: int = 0
    shard_bytes: int = 0


@contextmanager
def counting(into: Counted) -> Iterator[None]:
    """Count every request that this process sends through urllib3, as the minio client does."""
    original = urllib3.PoolManager.urlopen

    def urlopen(pool: Any, method: str, url: str, redirect: bool = True, **given: Any) -> Any:
        response = original(pool, method, url, redirect, **given)
        into.requests[method] += 1
        into.bytes_written += len(given.get("body") or b"") if method == "PUT" else 0
        into.bytes_read += int(response.headers.get("Content-Length", 0)) if method == "GET" else 0
        return response

    urllib3.PoolManager.urlopen = urlopen  # type: ignore[method-assign]
    start = time.process_time()
    try:
        yield
    finally:
        into.cpu_seconds = time.process_time() - start
        urllib3.PoolManager.urlopen = original  # type: ignore[method-assign]


class CountedRun:
    """The graph of `curate`, the tokenizer and the packing, called in order in this process."""

    def __init__(self, recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, scratch: Path) -> None:
        self.run = {"recipe_uri": recipe_uri, "recipe_sha256": recipe_sha256}
        self.run |= {"storage_uri": storage_uri, "run_id": run_id}
        self.scratch, self.steps = scratch, dict[str, Counted]()

    def step(self, name: str, component: Any, **inputs: Any) -> str:
        """Run one component's function; returns the hash of the manifest it committed."""
        counted = Counted()
        given = {**self.run, **inputs}
        arguments = {key: self._argument(name, key, kind, given) for key, kind in _signature(component).items()}
        own = {"XDG_CACHE_HOME": os.fspath(self.scratch / name.replace("/", "-") / "cache")}  # as in a pod of its own
        with counting(counted), patch.dict(os.environ, own):
            sha256 = component.python_func(**arguments)
        if name != "enforcement":
            manifest = read_manifest(step_folder(self.run["storage_uri"], self.run["run_id"], name))
            counted.rows, counted.shards = manifest.rows, len(manifest.shards)
            counted.shard_bytes = sum(shard.bytes for shard in manifest.shards)
        self.steps[name] = counted
        return sha256

    def _argument(self, step: str, name: str, kind: str, given: dict[str, Any]) -> Any:
        if name in given:
            return given[name]
        path = self.scratch / step.replace("/", "-") / name
        return getattr(dsl, kind)(name=name, uri=os.fspath(path), metadata={})

    def curate(self, sources: list[str]) -> str:
        """All data steps; returns the hash of the formatting manifest."""
        from components.augmentation import augmentation
        from components.embedding import embedding
        from components.filtering import filtering
        from components.formatting import formatting
        from components.gate import gate
        from components.selection import selection
        from components.sourcing import sourcing
        from components.validation import enforcement, validation

        parts = [self.step(f"sourcing/{source}", sourcing, source=source) for source in sources]
        validated = self.step("validation", validation, sources=sources, sourcing_sha256s=parts)
        checked = self.step("enforcement", enforcement, validation_sha256=validated)
        embedded = self.step("embedding", embedding, validation_sha256=checked)
        gated = self.step("gate", gate, validation_sha256=checked, embedding_sha256=embedded)
        filtered = self.step("filtering", filtering, gate_sha256=gated, embedding_sha256=embedded)
        selected = self.step("selection", selection, filtering_sha256=filtered, embedding_sha256=embedded)
        augmented = self.step("augmentation", augmentation, selection_sha256=selected)
        return self.step("formatting", formatting, augmentation_sha256=augmented, validation_sha256=checked)

    def pack(self, formatted: str, stage: str = "stage_1_5") -> str:
        """Tokenizer and the packs of one stage."""
        from components.packing import packing
        from components.tokenizer import tokenizer

        words = self.step("tokenizer", tokenizer, formatting_sha256=formatted)
        inputs = {"formatting_sha256": formatted, "tokenizer_sha256": words}
        return self.step(f"packing/{stage}", packing, stage=stage, **inputs)


def _signature(component: Any) -> dict[str, str]:
    """Input and output artifact names of a component; for an artifact its class's name in `dsl`."""
    spec = component.component_spec
    kinds = {name: output.type.split("@")[0].removeprefix("system.") for name, output in (spec.outputs or {}).items()}
    kinds.pop("Output", None)
    return {**dict.fromkeys(spec.inputs or {}, "String"), **kinds}
