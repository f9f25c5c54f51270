"""Does a question belong to its image? Told by embeddings, without an encoder that knows both.

Image and text vectors come from two unlike encoders, so there is no cosine between them. But within a category similar
images are asked similar questions: the score compares a sample's question with those of the images nearest to its own,
and with those of images drawn at random. Where the encoders share a space (as in CLIP), the score is their cosine.
"""

from functools import partial

import numpy as np
import pyarrow as pa

from data.curation.measure_tables import Measured, commit_measures, measure_mark, write_measures
from data.curation.similarity import has_image
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.files import join
from data.registry.rows import seeded_rank
from data.settings.filtering import FilterSettings
from data.shardwise import shard_table
from data.storage import Manifest, Shard, committed, read_manifest, shard_payload

VERSION = 1
FOLDER = "relevance"
REFERENCES, NEIGHBOURS = 4096, 16  # images that stand for a category; those of them that are near
BLOCK = 256  # rows in one go: 4 MB for each table of cosines
SCHEMA = pa.schema([pa.field("sample_id", pa.string(), nullable=False), pa.field(FOLDER, pa.float32(), nullable=False)])


def neighbour_agreement(
    images: np.ndarray, texts: np.ndarray, rows: np.ndarray, references: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """float32, one for each of `rows`; unit vectors [N, D_i] and [N, D_t] may be mapped files, read block by block.

    Twice the chance that a text of a near image is closer to the sample's text than a text of any reference, less
    one: 1 where the near images' texts are the closest, 0 where they are like all others, -1 where they are the
    farthest. `references` are rows too, at most some thousands. A row is not its own neighbour. NaN with fewer than
    twice as many other references as neighbours.
    """
    scores = np.full(len(rows), np.nan, np.float32)
    if len(references) - 1 < 2 * neighbours:
        return scores
    known_images, known_texts = _float32(images[references]).T, _float32(texts[references]).T
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        pictures, words = _float32(images[block]) @ known_images, _float32(texts[block]) @ known_texts
        own = block[:, None] == references[None, :]
        pictures[own] = -np.inf
        near = np.argpartition(-pictures, neighbours, axis=1)[:, :neighbours]
        close = np.take_along_axis(words, near, axis=1)
        words[own] = np.nan  # sorts last
        ranked, known = np.sort(words, axis=1), len(references) - own.sum(axis=1)
        for at, others in enumerate(known):
            said = ranked[at, :others]
            below = np.searchsorted(said, close[at], "left") + np.searchsorted(said, close[at], "right")
            scores[start + at] = below.mean() / others - 1
    return scores


def _float32(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors, np.float32)


def relevance(embeddings: Embeddings, settings: FilterSettings, seed: int) -> np.ndarray:
    """float32 [N], -1 to 1; NaN for samples without an image and in categories with too few images."""
    images, texts = embeddings.images, embeddings.texts
    scores = np.full(len(embeddings.sample_ids), np.nan, np.float32)
    pictured = np.flatnonzero(has_image(images))
    if settings.image_text_space == "joint":
        if images.shape[1] != texts.shape[1]:
            raise AerieError(
                "data.filtering.image_text_space is 'joint', but the encoders' vectors have "
                f"{images.shape[1]} and {texts.shape[1]} numbers: choose encoders with a common space, or 'separate'"
            )
        for start in range(0, len(pictured), BLOCK):
            block = pictured[start : start + BLOCK]
            scores[block] = np.einsum("nd,nd->n", _float32(images[block]), _float32(texts[block]))
        return scores
    categories = np.array(embeddings.categories)[pictured]
    for category in sorted(set(categories.tolist())):
        rows = pictured[categories == category]
        # By the hash of the id, so that the order of the rows doesn't matter.
        ranks = [seeded_rank(seed, "relevance", embeddings.sample_ids[row]) for row in rows]
        references = np.sort(rows[np.argsort(ranks)[:REFERENCES]])
        scores[rows] = neighbour_agreement(images, texts, rows, references)
    return scores


def measure_relevance(
    gate_uri: str, gate: Manifest, embedding_uri: str, out_uri: str, settings: FilterSettings, seed: int
) -> Manifest:
    """The scores as a table of its own in OUT/relevance, shard by shard beside the samples; computed once."""
    folder, embedded = join(out_uri, FOLDER), read_manifest(embedding_uri)
    lineage = {"gate": gate.sha256(), "embedding": embedded.sha256()}
    mark = measure_mark(FOLDER, [VERSION, settings.image_text_space, seed], lineage)
    if (done := committed(folder, mark)) is not None:
        return done
    embeddings = read_embeddings(embedding_uri, embedded)
    scores = dict(zip(embeddings.sample_ids, relevance(embeddings, settings, seed).tolist(), strict=True))
    return commit_measures(folder, FOLDER, mark, gate_uri, gate, lineage, partial(_scored, folder, scores), workers=1)


def _scored(out_uri: str, scores: dict[str, float], folder: str, shard: Shard) -> Measured:
    table = shard_table(shard_payload(folder, shard, "gate"), ["sample_id", "source"])
    ids = table["sample_id"].to_pylist()
    missing = [sample_id for sample_id in ids if sample_id not in scores]
    if missing:
        raise AerieError(f"sample {missing[0]} has no embedding; run the embedding step again")
    made = pa.table([ids, [scores[sample_id] for sample_id in ids]], schema=SCHEMA)
    return write_measures(out_uri, FOLDER, shard, made, table["source"])
