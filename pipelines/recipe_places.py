"""What a recipe names by path. A run's own copy lies elsewhere, and containers see only what they are lent."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import is_s3
from data.recipe import beside_recipe, encoder_place

ENCODERS = ("data.embedding.image_encoder", "data.embedding.text_encoder")
READ = (
    "data.cards",
    *ENCODERS,
    *(f"data.gate.{key}" for key in ("pool", "pool_rows", "benchmarks")),
    "model.tokenizer.path",
    *(f"model.pretrained.{part}" for part in ("language", "siglip", "convnext", "checkpoint")),
    "evaluation.benchmark_data",
)
WRITTEN = ("data.augmentation.endpoint.cache_uri", "evaluation.judge.cache_uri")


@dataclass(frozen=True, slots=True)
class _Named:
    """A path in a recipe's document: `holder[key]` is `kind` and the path."""

    holder: Any
    key: Any
    kind: str
    path: str

    @property
    def local(self) -> bool:
        return not is_s3(self.path)


def make_absolute(document: dict[str, Any], recipe_uri: str) -> bool:
    """Let each relative path of a recipe's document count from that recipe, wherever it is copied to; True if any."""
    found = [one for one in _named(document, (*READ, *WRITTEN)) if one.local and not Path(one.path).is_absolute()]
    for one in found:
        place = beside_recipe(one.path, recipe_uri)
        one.holder[one.key] = one.kind + (place if is_s3(place) else str(Path(place).resolve()))
    return bool(found)


def local_places(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Files and folders of this machine that a recipe lets steps read, and those that they write to."""
    read, written = ([one for one in _named(document, keys) if one.local] for keys in (READ, WRITTEN))
    return [one.path.partition("#sha256=")[0] for one in read], [one.path for one in written]


def _named(document: dict[str, Any], names: tuple[str, ...]) -> Iterator[_Named]:
    """Each of these keys that a valid recipe's document has; of a list, each entry."""
    for name in names:
        *sections, key = name.split(".")
        holder = document
        for section in sections:
            holder = holder.get(section) or {}
        value = holder.get(key)
        spots = [(value, place) for place in range(len(value))] if isinstance(value, list) else [(holder, key)]
        for where, at in spots if value else ():
            kind, path = encoder_place(where[at]) if name in ENCODERS else ("", where[at])
            if path:
                yield _Named(where, at, kind, path)
