"""From source cards to the formatted training set: the paper's data strategy as a graph."""

from typing import Any, List

from kfp import dsl

from components.augmentation import augmentation
from components.embedding import embedding
from components.filtering import filtering
from components.formatting import formatting
from components.gate import gate
from components.selection import selection
from components.sourcing import sourcing
from components.validation import enforcement, validation
from pipelines.placement import (
    AUGMENTATION,
    DATA,
    EMBEDDING,
    GATE,
    LARGE,
    LIFETIME,
    SIMILARITY,
    Place,
    manifest_of,
    place,
)


@dsl.pipeline(
    name="aerie-curate",
    display_name="Aerie: curate",
    description="Source, validate, embed, gate, filter, select, augment and format.",
    pipeline_config=LIFETIME,
)
def curate(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: List[str]) -> str:
    """Returns the hash of the formatting manifest.

    Each task takes the hashes of the manifests that it reads: they order the graph and make KFP's cache right.

    Args:
        recipe_uri: where the recipe file lies, for example s3://aerie/recipes/tiny.yaml.
        recipe_sha256: the recipe file's sha256; a file that changed meanwhile stops the run.
        storage_uri: s3:// prefix (or local folder) that holds all runs.
        run_id: name of this run; an equal name continues what it finished.
        sources: names of the recipe's sources, one sourcing task each.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }

    def step(component: Any, at: Place = DATA, **inputs: Any) -> Any:
        return manifest_of(place(component(**inputs), at, component.name))

    with dsl.ParallelFor(sources, name="each source") as source:
        sourced = step(sourcing, source=source, **run)
    validated = step(validation, LARGE, sources=sources, sourcing_sha256s=dsl.Collected(sourced), **run)
    enforced = step(enforcement, GATE, storage_uri=storage_uri, run_id=run_id, validation_sha256=validated)
    embedded = step(embedding, EMBEDDING, validation_sha256=enforced, **run)
    gated = step(gate, SIMILARITY, validation_sha256=enforced, embedding_sha256=embedded, **run)
    filtered = step(filtering, gate_sha256=gated, embedding_sha256=embedded, **run)
    selected = step(selection, LARGE, filtering_sha256=filtered, embedding_sha256=embedded, **run)
    augmented = step(augmentation, AUGMENTATION, selection_sha256=selected, **run)
    return step(formatting, augmentation_sha256=augmented, validation_sha256=enforced, **run)
