"""What a recipe names by path. A run's own copy lies elsewhere, and containers see only what they are lent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.files import is_s3
from data.recipe import beside_recipe

READ = (
    "data.cards",
    "model.tokenizer.path",
    *(f"model.pretrained.{part}" for part in ("language", "siglip", "convnext", "checkpoint")),
    "evaluation.benchmark_data",
)
WRITTEN = ("data.augmentation.endpoint.cache_uri", "evaluation.judge.cache_uri")


def make_absolute(document: dict[str, Any], recipe_uri: str) -> bool:
    """Let each relative path of a recipe's document count from that recipe, wherever it is copied to; True if any."""
    found = [(section, key) for section, key in _named(document, (*READ, *WRITTEN)) if _relative(section[key])]
    for section, key in found:
        place = beside_recipe(section[key], recipe_uri)
        section[key] = place if is_s3(place) else str(Path(place).resolve())
    return bool(found)


def local_places(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Files and folders of this machine that a recipe lets steps read, and those that they write to."""
    read, written = ([section[key] for section, key in _named(document, keys)] for keys in (READ, WRITTEN))
    return [place for place in read if not is_s3(place)], [place for place in written if not is_s3(place)]


def _relative(place: str) -> bool:
    return not is_s3(place) and not Path(place).is_absolute()


def _named(document: dict[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each of these keys that the document has, with the mapping that holds it."""
    for name in keys:
        *sections, key = name.split(".")
        place: Any = document
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict) and isinstance(place.get(key), str):
            yield place, key
