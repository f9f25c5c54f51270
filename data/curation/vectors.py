"""The table that the embedding step writes, and its form in memory."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.errors import AerieError
from data.storage import Manifest, read_manifest, read_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Rows in the order of the validation step's samples; N rows, widths D_i and D_t.

    images: float32 [N, D_i] of length 1, zeros without an image; texts: float32 [N, D_t] of length 1;
    pictures: pixel hashes of a sample's images joined by "+", "" without an image.
    """

    sample_ids: list[str]
    sources: list[str]
    categories: list[str]
    pictures: list[str]
    images: np.ndarray
    texts: np.ndarray


def embedding_schema(image_width: int, text_width: int) -> pa.Schema:
    """One row a sample; vectors are fixed-size lists, so that a column is one [N, D] block."""
    return pa.schema(
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("category", pa.string(), nullable=False),
            pa.field("pictures", pa.string(), nullable=False),
            pa.field("image_vector", pa.list_(pa.float32(), image_width), nullable=False),
            pa.field("text_vector", pa.list_(pa.float32(), text_width), nullable=False),
        ]
    )


def embedding_table(embeddings: Embeddings) -> pa.Table:
    """Rows of `embedding_schema`."""
    schema = embedding_schema(embeddings.images.shape[1], embeddings.texts.shape[1])
    columns = [embeddings.sample_ids, embeddings.sources, embeddings.categories, embeddings.pictures]
    arrays = [pa.array(column, pa.string()) for column in columns]
    for vectors in (embeddings.images, embeddings.texts):
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    return pa.Table.from_arrays(arrays, schema=schema)


def read_embeddings(folder: str, manifest: Manifest | None = None) -> Embeddings:
    """The whole table of a committed embedding step; `AerieError` when it holds no row."""
    tables = list(read_tables(folder, manifest or read_manifest(folder)))
    if not tables:
        raise AerieError(f"the embedding step in {folder} holds no rows: no sample passed validation; see its report")
    table = pa.concat_tables(tables)
    return Embeddings(
        sample_ids=table["sample_id"].to_pylist(),
        sources=table["source"].to_pylist(),
        categories=table["category"].to_pylist(),
        pictures=table["pictures"].to_pylist(),
        images=_matrix(table["image_vector"]),
        texts=_matrix(table["text_vector"]),
    )


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    chunks = [chunk.flatten().to_numpy().reshape(len(chunk), -1) for chunk in column.chunks if len(chunk)]
    return np.concatenate(chunks)
