"""Source cards: what a source is, where it comes from, under which licence, and which adapter reads it."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from data.errors import AerieError
from data.recipe import DataRecipe
from data.schema import CATEGORIES
from data.settings.base import Strict, validated

BUILTIN_CARDS = Path(__file__).parent / "cards"
URI_SCHEMES = ("pypi://", "file://", "hf://datasets/", "https://", "s3://")


class SourceCard(Strict):
    """One source. Every field but `options` is required; an unknown key is an error."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="the name that recipes and the ledger use")
    uri: str = Field(description="pypi://package[@version] or file:///folder/data.jsonl")
    version: str = Field(min_length=1, description="version of the data")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{7,40}$", description="commit of a Git-like place")
    licence: str = Field(min_length=2, description="SPDX identifier where one exists, and of what")
    category: str = Field(description="one of the paper's nine categories")
    adapter: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="module in data/registry/adapters/")
    split_key: str = Field(min_length=1, description="what a held-out item is split by, so that no item leaks")
    description: str = Field(min_length=10)
    options: dict[str, Any] = Field(default_factory=dict, description="the adapter's own settings")

    @field_validator("category")
    @classmethod
    def _known_category(cls, value: str) -> str:
        if value not in CATEGORIES:
            raise ValueError(f"unknown category {value!r}; choose from {list(CATEGORIES)}")
        return value

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(URI_SCHEMES):
            raise ValueError(f"uri must start with one of {list(URI_SCHEMES)}")
        return value

    @field_validator("version", mode="before")
    @classmethod
    def _version_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # YAML reads `1.0` as a number


def read_card(path: Path) -> SourceCard:
    """One card from a YAML file; `AerieError` names the file and each bad key."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AerieError(f"card {path} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise AerieError(f"card {path} must be a mapping with the keys {list(SourceCard.model_fields)}")
    card = validated(SourceCard, document, f"card {path}")
    if card.uri.startswith("file://") and not card.uri.startswith("file:///"):
        # A relative file URI counts from the card, so that a folder of cards and data can move as one.
        target = (path.parent / card.uri.removeprefix("file://")).resolve()
        card = card.model_copy(update={"uri": f"file://{target}"})
    return card


def load_cards(folder: str | None = None) -> dict[str, SourceCard]:
    """All cards by name: the built-in ones and those of an extra folder; a name used twice is an error."""
    folders = [BUILTIN_CARDS]
    if folder is not None:
        if not Path(folder).is_dir():
            raise AerieError(f"folder of cards not found: {folder}; correct `data.cards` in the recipe")
        folders.append(Path(folder))
    cards: dict[str, SourceCard] = {}
    for path in [path for place in folders for path in sorted(place.glob("*.yaml"))]:
        card = read_card(path)
        if card.name in cards:
            raise AerieError(f"card {path}: the name {card.name!r} is already taken by another card; rename it")
        cards[card.name] = card
    return cards


def recipe_card(recipe: DataRecipe, recipe_uri: str, source: str) -> SourceCard:
    """The card of a source of a recipe; `AerieError` lists the known names when there is none."""
    folder = recipe.data.cards
    if folder is not None:
        folder = str(Path(recipe_uri).parent / folder)  # an absolute `cards` stays as it is
    cards = load_cards(folder)
    if source not in cards:
        raise AerieError(f"no card for source {source!r}; there are cards for {sorted(cards)}. Add one as a YAML file")
    return cards[source]
