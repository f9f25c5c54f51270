"""The table that the embedding step writes, and its form in memory: names as lists, vectors as memory-mapped arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.curation.vector_cache import cached_vectors
from data.storage import Manifest, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Rows in the order of the validation step's samples; N rows, widths D_i and D_t.

    images: [N, D_i] of length 1, zeros without an image; texts: [N, D_t] of length 1; both float32, or float16 when
    the recipe stores half. pictures: pixel hashes of a sample's images joined by "+", "" without an image.
    """

    sample_ids: list[str]
    sources: list[str]
    categories: list[str]
    pictures: list[str]
    images: np.ndarray
    texts: np.ndarray


def embedding_schema(image_width: int, text_width: int, dtype: str = "float32") -> pa.Schema:
    """One row a sample; vectors are fixed-size lists, so that a column is one [N, D] block."""
    number = {"float32": pa.float32(), "float16": pa.float16()}[dtype]
    return pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("category", pa.string(), nullable=False),
            pa.field("pictures", pa.string(), nullable=False),
            pa.field("image_vector", pa.list_(number, image_width), nullable=False),
            pa.field("text_vector", pa.list_(number, text_width), nullable=False),
        ]
    )


def embedding_table(embeddings: Embeddings, dtype: str = "float32") -> pa.Table:
    """Rows of `embedding_schema`."""
    schema = embedding_schema(embeddings.images.shape[1], embeddings.texts.shape[1], dtype)
    columns = [embeddings.sample_ids, embeddings.sources, embeddings.categories, embeddings.pictures]
    arrays = [pa.array(column, pa.string()) for column in columns]
    for vectors in (embeddings.images, embeddings.texts):
        flat = pa.array(np.ascontiguousarray(vectors, dtype).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    return pa.Table.from_arrays(arrays, schema=schema)


def read_embeddings(folder: str, manifest: Manifest | None = None) -> Embeddings:
    """The whole table of a committed embedding step; `AerieError` when it holds no row.

    The vectors are mapped from a copy on the local disk that is made once: memory holds what is looked at. The other
    columns are lists; a source's or a category's name is one string however many rows bear it.
    """
    found = cached_vectors(folder, manifest or read_manifest(folder))
    names = {name: found.rows[name] for name in ("sample_id", "source", "category", "pictures")}
    return Embeddings(
        sample_ids=names["sample_id"].to_pylist(),
        sources=_shared(names["source"]),
        categories=_shared(names["category"]),
        pictures=names["pictures"].to_pylist(),
        images=found.images,
        texts=found.texts,
    )


def _shared(column: pa.ChunkedArray) -> list[str]:
    """The column's values; equal ones are one object."""
    strings: list[str] = []
    for chunk in column.dictionary_encode().chunks:
        words = chunk.dictionary.to_pylist()
        strings += [words[index] for index in chunk.indices.to_numpy().tolist()]
    return strings
