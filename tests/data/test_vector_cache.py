import tracemalloc

import numpy as np
import pytest

from data.curation import vector_cache
from data.curation.vectors import Embeddings, embedding_schema, embedding_table, read_embeddings
from data.errors import AerieError
from data.storage import Manifest, ShardWriter, commit, read_manifest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aerie" / "vectors"


def written(folder, rows=11, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    embeddings = Embeddings(
        sample_ids=[f"id{row}" for row in range(rows)],
        sources=["a"] * rows,
        categories=["science"] * rows,
        pictures=[""] * rows,
        images=rng.normal(size=(rows, 5)).astype(dtype),
        texts=rng.normal(size=(rows, 3)).astype(dtype),
    )
    writer = ShardWriter(folder, embedding_schema(5, 3, dtype), rows_per_shard=4)
    writer.write_table(embedding_table(embeddings, dtype))
    shards = writer.close()
    commit(folder, Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=rows, shards=shards))
    return embeddings


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_come_back_mapped_read_only_and_to_the_bit(tmp_path, dtype):
    made = written(str(tmp_path / "run"), dtype=dtype)
    for _ in range(2):  # unpacked, then found
        found = read_embeddings(str(tmp_path / "run"))
        for one, other in ((found.images, made.images), (found.texts, made.texts)):
            assert isinstance(one, np.memmap)
            assert not one.flags.writeable
            assert one.dtype == dtype
            assert np.array_equal(one, other)


def test_a_second_read_needs_no_shard_and_one_object_stands_for_a_name(tmp_path, home):
    written(str(tmp_path / "run"))
    read_embeddings(str(tmp_path / "run"))
    for shard in (tmp_path / "run").glob("*.parquet"):
        shard.unlink()
    found = read_embeddings(str(tmp_path / "run"))
    assert len({id(source) for source in found.sources}) == 1
    assert [path.name for path in home.iterdir()] == [read_manifest(str(tmp_path / "run")).sha256()]


@pytest.mark.parametrize("damage", ["missing", "short", "emptied", "rows"])
def test_a_damaged_entry_is_made_again(tmp_path, home, damage):
    made = written(str(tmp_path / "run"))
    read_embeddings(str(tmp_path / "run"))
    (entry,) = home.iterdir()
    file = entry / ("rows.parquet" if damage == "rows" else "texts.npy")
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: 0 if damage == "emptied" else len(content) - 8])
    assert np.array_equal(read_embeddings(str(tmp_path / "run")).texts, made.texts)
    assert file.read_bytes() == content


def test_a_broken_shard_leaves_no_entry(tmp_path, home):
    written(str(tmp_path / "run"))
    (tmp_path / "run" / "shard-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(AerieError, match=r"shard-00002.parquet is truncated"):
        read_embeddings(str(tmp_path / "run"))
    assert not list(home.iterdir())


def test_the_oldest_entries_go_and_stay_readable_to_whoever_maps_them(tmp_path, home, monkeypatch):
    monkeypatch.setattr(vector_cache, "ENTRIES", 2)
    made = [written(str(tmp_path / f"run{seed}"), seed=seed) for seed in range(4)]
    found = [read_embeddings(str(tmp_path / f"run{seed}")) for seed in range(4)]
    assert len(list(home.iterdir())) == 2
    assert all(np.array_equal(one.images, other.images) for one, other in zip(found, made, strict=True))


def test_memory_stays_below_the_vectors(tmp_path):
    """A hundred shards are unpacked; what the process holds of its own is a few of them."""
    rows, width = 6400, 256
    vectors = np.zeros((64, width), np.float32)
    writer = ShardWriter(str(tmp_path / "run"), embedding_schema(width, width), rows_per_shard=64)
    for _ in range(rows // 64):
        names = [["x"] * 64] * 4
        columns = dict(zip(("sample_ids", "sources", "categories", "pictures"), names, strict=True))
        writer.write_table(embedding_table(Embeddings(**columns, images=vectors, texts=vectors)))
    shards = writer.close()
    folder = str(tmp_path / "run")
    commit(folder, Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=rows, shards=shards))
    tracemalloc.start()
    found = read_embeddings(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.images.shape == (rows, width)
    assert peak < rows * width * 4 / 2  # half of one matrix, and there are two


def test_vectors_in_object_storage_are_mapped_too(s3_uri):
    made = written(f"{s3_uri}/embedding")
    found = read_embeddings(f"{s3_uri}/embedding")
    assert isinstance(found.images, np.memmap)
    assert np.array_equal(found.images, made.images)
