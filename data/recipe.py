"""The recipe document, and its `data` part as typed settings.

A recipe travels as (URI, sha256): the bytes are checked, then parsed, then validated; unknown keys are errors.
"""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import AerieError
from data.files import read_bytes
from data.schema import CATEGORIES

Settings = TypeVar("Settings", bound=BaseModel)


class Strict(BaseModel):
    """Base of all settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceUse(Strict):
    """One source card to draw from."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="name of a source card")
    max_samples: int | None = Field(default=None, ge=1, description="cap on training samples taken from the source")
    max_heldout: int | None = Field(default=None, ge=1, description="cap on held-out samples")


class EmbeddingSettings(Strict):
    """Which encoders turn images and texts into vectors (paper: SSCD and all-mpnet-base-v2)."""

    image_encoder: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    text_encoder: Literal["minilm-l6-v2"] = "minilm-l6-v2"
    image_size: int = Field(default=96, ge=32, le=1024)
    max_text_tokens: int = Field(default=32, ge=8, le=512)
    batch_size: int = Field(default=64, ge=1)


class GateSettings(Strict):
    """Similarity gate, Eq. 1: a source with S above a threshold is flagged or rejected as redundant."""

    flag_above: float = Field(default=0.8, ge=0, le=1)
    reject_above: float = Field(default=0.98, ge=0, le=1)
    duplicate_above: float = Field(default=0.9995, ge=0, le=1, description="near-duplicates inside the pool")

    @model_validator(mode="after")
    def _ordered(self) -> "GateSettings":
        if self.flag_above > self.reject_above:
            raise ValueError("flag_above must not exceed reject_above")
        return self


class FilterSettings(Strict):
    """Thresholds on measured columns; a new threshold never measures again."""

    max_answer_chars: int = Field(default=4000, ge=1)
    max_repeated_ngram_ratio: float = Field(default=0.5, ge=0, le=1)
    max_repeated_turn_ratio: float = Field(default=0.5, ge=0, le=1)
    max_unsupported_decimals: int = Field(default=0, ge=0)
    max_mismatched_turns: int = Field(default=0, ge=0)
    min_image_text_relevance: float = Field(default=-1.0, ge=-1, le=1)


class CategorySelection(Strict):
    """How one category's stage-2 subset is drawn."""

    strategy: Literal["kmeans", "random", "all"] = "kmeans"
    clusters: int = Field(default=16, ge=1)
    quota: int | None = Field(default=None, ge=1, description="samples to keep; None keeps all")


class SelectionSettings(Strict):
    """Stage-2 subset per category, and the share of samples that stage 1 sees."""

    categories: dict[str, CategorySelection] = Field(default_factory=dict)
    default: CategorySelection = CategorySelection(strategy="all")
    stage_1_share: float = Field(default=0.25, gt=0, le=1)

    @model_validator(mode="after")
    def _known_categories(self) -> "SelectionSettings":
        unknown = sorted(set(self.categories) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"unknown categories {unknown}; choose from {list(CATEGORIES)}")
        return self


AugmentationRule = Literal["chart_compare", "describe_shape", "digit_parity", "ocr_count_words"]


class AugmentationSettings(Strict):
    """Rule-based augmentation: for each rule the share of the samples it fits that get its extra turn."""

    rules: dict[AugmentationRule, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)


class FormattingSettings(Strict):
    """Canonical text: decorations stripped, explicit answer-format instructions."""

    instructions: bool = True
    wording: Literal["brief", "full"] = Field(
        default="brief", description="of the instructions: 2 words, or a sentence"
    )
    strip_decorations: bool = True


class DataSettings(Strict):
    """The `data` part of a recipe."""

    sources: tuple[SourceUse, ...] = Field(min_length=1)
    cards: str | None = Field(default=None, description="extra folder of source cards, relative to the recipe file")
    rows_per_shard: int = Field(default=2048, ge=1)
    embedding: EmbeddingSettings = EmbeddingSettings()
    gate: GateSettings = GateSettings()
    filtering: FilterSettings = FilterSettings()
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


def validated(settings: type[Settings], document: dict[str, Any], where: str) -> Settings:
    """Settings from a document, or one `AerieError` that lists each bad key with its path and the reason."""
    try:
        return settings.model_validate(document)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            + (" (unknown key)" if item["type"] == "extra_forbidden" else "")
            for item in error.errors()
            if not _follows_from_another(item, error.errors())
        ]
        raise AerieError(f"{where} is not valid:\n" + "\n".join(problems)) from None


def _follows_from_another(item: Any, items: list[Any]) -> bool:
    """A list whose only entry is wrong is also called too short: that says nothing new."""
    inside = [other for other in items if len(other["loc"]) > len(item["loc"])]
    return item["type"] == "too_short" and any(other["loc"][: len(item["loc"])] == item["loc"] for other in inside)


def load_data_recipe(uri: str, sha256: str = "") -> DataRecipe:
    """The data room's view of a recipe."""
    document, actual = recipe_document(uri, sha256)
    return validated(DataRecipe, {**document, "sha256": actual}, uri)
