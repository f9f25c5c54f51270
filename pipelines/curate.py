"""From source cards to the formatted training set: the paper's data strategy as a graph."""

from typing import List

from kfp import dsl

from components.augmentation import augmentation
from components.embedding import embedding
from components.filtering import filtering
from components.formatting import formatting
from components.gate import gate
from components.selection import selection
from components.sourcing import sourcing
from components.validation import enforcement, validation
from pipelines.placement import DATA, GATE, place


@dsl.pipeline(name="aerie-curate", description="Source, validate, embed, gate, filter, select, augment and format.")
def curate(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: List[str]) -> str:
    """Returns the hash of the formatting manifest.

    Each task takes the hashes of the manifests that it reads: they order the graph and make KFP's cache right.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    with dsl.ParallelFor(sources, name="each source") as source:
        sourced = place(sourcing(source=source, **run), DATA)
    validated = place(
        validation(sources=sources, sourcing_sha256s=dsl.Collected(sourced), **run),
        DATA,
    )
    enforced = place(
        enforcement(storage_uri=storage_uri, run_id=run_id, validation_sha256=validated),
        GATE,
    )
    embedded = place(embedding(validation_sha256=enforced, **run), DATA)
    gated = place(gate(validation_sha256=enforced, embedding_sha256=embedded, **run), DATA)
    filtered = place(filtering(gate_sha256=gated, **run), DATA)
    selected = place(selection(filtering_sha256=filtered, embedding_sha256=embedded, **run), DATA)
    augmented = place(augmentation(selection_sha256=selected, **run), DATA)
    return place(
        formatting(augmentation_sha256=augmented, validation_sha256=enforced, **run),
        DATA,
    )
