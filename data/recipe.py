"""The recipe document, and its `data` part as typed settings.

A recipe travels as (URI, sha256): the bytes are checked, then parsed, then validated; unknown keys are errors.
"""

import hashlib
from pathlib import Path
from posixpath import normpath
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.errors import AerieError
from data.files import is_s3, join, read_bytes
from data.settings.augmentation import AugmentationSettings
from data.settings.base import Strict, validated
from data.settings.embedding import EmbeddingSettings
from data.settings.expectations import ExpectationSettings
from data.settings.filtering import FilterSettings
from data.settings.formatting import FormattingSettings
from data.settings.gate import GateSettings
from data.settings.selection import SelectionSettings
from data.settings.sources import SourceUse


class DataSettings(Strict):
    """The `data` part of a recipe."""

    sources: tuple[SourceUse, ...] = Field(min_length=1)
    cards: str | None = Field(default=None, description="extra folder of source cards, relative to the recipe file")
    rows_per_shard: int = Field(default=2048, ge=1)
    embedding: EmbeddingSettings = EmbeddingSettings()
    gate: GateSettings = GateSettings()
    filtering: FilterSettings = FilterSettings()
    expectations: ExpectationSettings = ExpectationSettings()
    selection: SelectionSettings = SelectionSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    formatting: FormattingSettings = FormattingSettings()

    @model_validator(mode="after")
    def _unique_sources(self) -> "DataSettings":
        names = [use.name for use in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"sources listed twice: {repeated}")
        return self

    def source(self, name: str) -> SourceUse:
        """The use of one source; `AerieError` when the recipe doesn't list it."""
        for use in self.sources:
            if use.name == name:
                return use
        raise AerieError(f"source {name!r} is not in the recipe; it lists {[use.name for use in self.sources]}")


class DataRecipe(BaseModel):
    """What the data room reads of a recipe; the other parts belong to the model room."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    seed: int
    data: DataSettings
    sha256: str = ""


def recipe_document(uri: str, sha256: str = "") -> tuple[dict[str, Any], str]:
    """The parsed recipe file and its hash. `AerieError` on a missing file, bad YAML or a hash that differs."""
    payload = read_bytes(uri)
    actual = hashlib.sha256(payload).hexdigest()
    if sha256 and actual != sha256:
        raise AerieError(
            f"recipe {uri} has sha256 {actual[:12]}…, the run expects {sha256[:12]}…: it changed meanwhile"
        )
    try:
        document = yaml.safe_load(payload)
    except yaml.YAMLError as error:
        raise AerieError(f"recipe {uri} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise AerieError(f"recipe {uri} must be a mapping with the keys name, seed, data, model, stages, evaluation")
    return document, actual


def load_data_recipe(uri: str, sha256: str = "") -> DataRecipe:
    """The data room's view of a recipe, its paths counted from the recipe's folder."""
    document, actual = recipe_document(uri, sha256)
    recipe = validated(DataRecipe, {**document, "sha256": actual}, uri)
    return recipe.model_copy(update={"data": _located(recipe.data, uri)})


def _located(data: DataSettings, recipe_uri: str) -> DataSettings:
    def at(path: str | None) -> str | None:
        return None if path is None else beside_recipe(path, recipe_uri)

    gate, embedding, augmentation = data.gate, data.embedding, data.augmentation
    benchmarks = tuple(beside_recipe(path, recipe_uri) for path in gate.benchmarks)
    gate = gate.model_copy(update={"pool": at(gate.pool), "pool_rows": at(gate.pool_rows), "benchmarks": benchmarks})
    encoders = {}
    for name in ("image_encoder", "text_encoder"):
        kind, path = encoder_place(getattr(embedding, name))
        encoders[name] = kind + (beside_recipe(path, recipe_uri) if path else "")
    if (endpoint := augmentation.endpoint) is not None:
        paid = endpoint.model_copy(update={"cache_uri": at(endpoint.cache_uri)})
        augmentation = augmentation.model_copy(update={"endpoint": paid})
    changed = {"gate": gate, "embedding": embedding.model_copy(update=encoders), "augmentation": augmentation}
    return data.model_copy(update={"cards": at(data.cards), **changed})


def beside_recipe(path: str, recipe_uri: str) -> str:
    """Where a path in a recipe points to: a relative one counts from the recipe's folder, also from one in a bucket."""
    if is_s3(path):
        return path
    if is_s3(recipe_uri) and not path.startswith("/"):  # keys know no "..": s3://B/recipes/R.yaml, ../D -> s3://B/D
        return "s3://" + normpath(join(recipe_uri.removeprefix("s3://").rpartition("/")[0], path))
    return str(Path(recipe_uri).parent / path)


def encoder_place(name: str) -> tuple[str, str]:
    """The parts of an encoder's name: what kind it is, and where its weights lie ("" for those of a package or a hub).

    >>> encoder_place("timm:resnet18@weights/r.pt"), encoder_place("minilm-l6-v2")
    (('timm:resnet18@', 'weights/r.pt'), ('minilm-l6-v2', ''))
    """
    mark = "@" if name.startswith("timm:") else ":"
    kind, found, place = name.partition(mark)
    return kind + found, place
