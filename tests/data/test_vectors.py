from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from data.curation.vectors import Embeddings, embedding_schema, embedding_table, read_embeddings
from data.errors import AerieError
from data.storage import Manifest, ShardWriter, commit


def embeddings_of(rows, image_width=5, text_width=3, seed=0):
    rng = np.random.default_rng(seed)
    return Embeddings(
        sample_ids=[f"id{row}" for row in range(rows)],
        sources=[f"source-{row % 2}" for row in range(rows)],
        categories=["text_only" if row % 3 else "science" for row in range(rows)],
        pictures=["" if row % 3 else f"hash{row}+hash" for row in range(rows)],
        images=rng.normal(size=(rows, image_width)).astype(np.float32),
        texts=rng.normal(size=(rows, text_width)).astype(np.float32),
    )


def write(folder, tables, widths=(5, 3), rows_per_shard=2048):
    writer = ShardWriter(str(folder), embedding_schema(*widths), rows_per_shard)
    for table in tables:
        writer.write_table(table)
    shards = writer.close()
    rows = sum(shard.rows for shard in shards)
    commit(str(folder), Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=rows, shards=shards))
    return str(folder)


def same(one, other):
    columns = ("sample_ids", "sources", "categories", "pictures")
    return all(getattr(one, name) == getattr(other, name) for name in columns) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "texts")
    )


@pytest.mark.parametrize("rows_per_shard", [1, 3, 7, 100])
@pytest.mark.parametrize("cuts", [[], [2], [1, 6, 6, 9]])
def test_what_is_written_comes_back_whatever_the_layout(tmp_path, rows_per_shard, cuts):
    embeddings = embeddings_of(11)
    table, edges = embedding_table(embeddings), [0, *cuts, 11]
    parts = [table.slice(start, stop - start) for start, stop in pairwise(edges)]
    found = read_embeddings(write(tmp_path, parts, rows_per_shard=rows_per_shard))
    assert same(found, embeddings)
    assert found.images.dtype == found.texts.dtype == np.float32


def test_a_row_holds_its_own_vectors():
    embeddings = embeddings_of(4)
    row = embedding_table(embeddings).to_pylist()[2]
    assert (row["sample_id"], row["source"], row["category"], row["pictures"]) == ("id2", "source-0", "text_only", "")
    assert row["image_vector"] == embeddings.images[2].tolist()
    assert row["text_vector"] == embeddings.texts[2].tolist()


def test_views_and_doubles_are_stored_as_rows_of_float32(tmp_path):
    images = np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4))
    plain = embeddings_of(3)
    turned = Embeddings(
        sample_ids=plain.sample_ids,
        sources=plain.sources,
        categories=plain.categories,
        pictures=plain.pictures,
        images=images,
        texts=plain.texts[:, ::-1],
    )
    found = read_embeddings(write(tmp_path, [embedding_table(turned)], widths=(4, 3)))
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.texts, plain.texts[:, ::-1])


def test_vectors_of_another_width_do_not_enter_the_table(tmp_path):
    with pytest.raises(pa.ArrowTypeError, match="FixedSizeList is not the same"):
        write(tmp_path, [embedding_table(embeddings_of(2, image_width=4))])


def test_an_empty_table_has_the_schema():
    table = embedding_table(embeddings_of(0))
    assert (table.num_rows, table.schema) == (0, embedding_schema(5, 3))


def test_a_step_without_rows_says_where_to_look(tmp_path):
    with pytest.raises(AerieError, match="holds no rows: no sample passed validation"):
        read_embeddings(write(tmp_path, [embedding_table(embeddings_of(0))]))


def test_an_unfinished_or_damaged_step_is_a_user_error(tmp_path):
    with pytest.raises(AerieError, match="has not finished"):
        read_embeddings(str(tmp_path))
    folder = write(tmp_path, [embedding_table(embeddings_of(3))])
    shard = tmp_path / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(AerieError, match=r"shard-00000.parquet is truncated"):
        read_embeddings(folder)
