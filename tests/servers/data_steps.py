"""The data steps of a recipe as plain calls, and what a reader sees of a step's folder."""

import hashlib
from collections.abc import Callable
from functools import partial

import data.steps
from data.files import exists, join, read_bytes
from data.recipe import load_data_recipe
from data.storage import Manifest, manifest_uri, read_attachment, read_manifest

Step = Callable[[str], Manifest]


def data_steps(recipe_uri: str, run_uri: str) -> dict[str, Step]:
    """The steps in order; each reads its inputs below the run and takes its output folder, RUN/NAME."""
    recipe = load_data_recipe(recipe_uri)
    given = (recipe_uri, recipe.sha256)

    def at(*names: str) -> list[str]:
        return [join(run_uri, name) for name in names]

    steps: dict[str, Step] = {
        f"sourcing/{use.name}": partial(data.steps.source_samples, *given, use.name) for use in recipe.data.sources
    }
    steps["validation"] = partial(data.steps.validate_samples, *given, at(*steps))
    steps["embedding"] = partial(data.steps.embed_samples, *given, *at("validation"))
    steps["gate"] = partial(data.steps.gate_sources, *given, *at("validation", "embedding"))
    steps["filtering"] = partial(data.steps.filter_samples, *given, *at("gate"))
    steps["selection"] = partial(data.steps.select_samples, *given, *at("filtering", "embedding"))
    steps["augmentation"] = partial(data.steps.augment_samples, *given, *at("selection"))
    steps["formatting"] = partial(data.steps.format_samples, *given, *at("augmentation", "validation"))
    return steps


def visible(folder: str) -> str:
    """What a reader sees: "" or the hash of a manifest, all of whose files are there and right (else it raises)."""
    if not exists(manifest_uri(folder)):
        return ""
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        assert hashlib.sha256(read_bytes(join(folder, shard.path))).hexdigest() == shard.sha256, shard.path
    for name in manifest.attachments:
        read_attachment(folder, manifest, name)
    return manifest.sha256()
