"""Single rows of shards: the right ones, for the bytes of their row group, and never damaged ones."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from data.errors import AerieError
from data.row_groups import DamagedRowsError, RowGroups
from data.schema import ImageRef, Turn, make_sample, samples_to_table
from data.shardwise import readable_by_row, write_shard
from data.storage import Manifest, write_samples

IMAGE_BYTES, ROWS = 20_000, 60
GROUP_BYTES = 4 * (IMAGE_BYTES + 500)


def photo(number):
    payload = np.random.default_rng(number).bytes(IMAGE_BYTES)  # as dense as JPEG
    turns = (Turn(role="user", content="<image>\nwhat?"), Turn(role="assistant", content=f"it is {number}"))
    image = ImageRef(bytes=payload, path=f"{number}.jpg", width=640, height=480)
    return make_sample(source="photos", category="general_vqa", images=(image,), conversations=turns, meta={})


SAMPLES = [photo(number) for number in range(2 * ROWS)]
TABLE = samples_to_table(SAMPLES)


def written(folder):
    """Two shards as the formatting step writes them."""
    parts = [TABLE.slice(0, ROWS), TABLE.slice(ROWS)]
    shards = tuple(
        write_shard(folder, f"shard-{number:05d}.parquet", readable_by_row(part, GROUP_BYTES), part.num_rows)
        for number, part in enumerate(parts)
    )
    return Manifest(step="formatting", fingerprint="", recipe_sha256="", rows=len(SAMPLES), shards=shards)


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.xdist_group("s3"))])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3_uri")


def test_a_row_costs_its_group_and_once_its_footer(folder):
    manifest = written(folder)
    reader = RowGroups(folder, manifest, cache_bytes=1, footer_cache_bytes=1 << 20)
    rows = [(0, 3), (1, ROWS - 1), (0, 40), (1, 0), (0, 0)]
    costs = []
    for shard, row in rows:
        before = reader.bytes_read
        assert reader.rows(shard, row, row + 1).equals(TABLE.slice(shard * ROWS + row, 1))
        costs.append(reader.bytes_read - before)
    assert all(cost < GROUP_BYTES + 2000 for cost in costs[2:])
    assert max(costs[:2]) < GROUP_BYTES + 2000 + (1 << 16)
    assert sum(shard.bytes for shard in manifest.shards) > 10 * max(costs[:2])


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 9), (55, 65), (0, 2 * ROWS)])
def test_a_span_crosses_groups_and_shards(tmp_path, first, last):
    reader = RowGroups(str(tmp_path), written(str(tmp_path)))
    assert reader.span(first, last).equals(TABLE.slice(first, last - first))


def test_a_footer_larger_than_the_first_look_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("data.row_groups.FIRST_TAIL", 64)
    reader = RowGroups(str(tmp_path), written(str(tmp_path)))
    assert reader.rows(1, 5, 6).equals(TABLE.slice(ROWS + 5, 1))


def test_what_was_read_is_kept_within_its_bytes(tmp_path):
    reader = RowGroups(str(tmp_path), written(str(tmp_path)))
    reader.rows(0, 0, ROWS)
    before = reader.bytes_read
    reader.rows(0, 0, ROWS)
    assert reader.bytes_read == before


def test_files_of_other_writers_can_be_read_too(tmp_path):
    shards = write_samples(str(tmp_path), SAMPLES, rows_per_shard=50)
    manifest = Manifest(step="any", fingerprint="", recipe_sha256="", rows=len(SAMPLES), shards=shards)
    assert RowGroups(str(tmp_path), manifest).span(48, 103).equals(TABLE.slice(48, 55))


def test_group_sizes_follow_the_rows():
    few, many = (readable_by_row(TABLE, size) for size in (1, 1 << 30))
    assert groups(few) == len(SAMPLES)
    assert groups(many) == 1
    assert groups(readable_by_row(TABLE.slice(0, 0))) <= 1


def groups(payload):
    return pa.parquet.ParquetFile(pa.BufferReader(payload)).metadata.num_row_groups


def test_damaged_bytes_cost_their_group_and_no_other(tmp_path):
    manifest = written(str(tmp_path))
    path = tmp_path / manifest.shards[0].path
    payload = bytearray(path.read_bytes())
    place = payload.index(SAMPLES[9].images[0].bytes[5000:5100])
    payload[place] ^= 1
    path.write_bytes(payload)
    reader = RowGroups(str(tmp_path), manifest)
    for row in (*range(8), *range(12, ROWS)):
        assert reader.rows(0, row, row + 1).equals(TABLE.slice(row, 1))
    for row in range(8, 12):
        message = r"rows 8 to 11 of .*shard-00000.parquet are damaged .*run step 'formatting' again"
        with pytest.raises(DamagedRowsError, match=message):
            reader.rows(0, row, row + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda payload: payload[:-100], "is truncated or changed"),
        (lambda payload: b"more" + payload, "is truncated or changed"),
        (lambda payload: payload[:-4] + b"what", "is truncated or changed .no footer"),
        (lambda payload: payload[:-100] + bytes(92) + payload[-8:], "is truncated or changed"),
        (lambda payload: b"", "is truncated or changed"),
        (None, "file not found: .*shard-00000"),
    ],
    ids=["cut", "longer", "no magic", "footer damaged", "empty", "missing"],
)
def test_a_shard_that_is_not_the_manifests_is_named(tmp_path, change, message):
    manifest = written(str(tmp_path))
    path = tmp_path / manifest.shards[0].path
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(AerieError, match=message) as raised:
        RowGroups(str(tmp_path), manifest).rows(0, 0, 1)
    assert not isinstance(raised.value, DamagedRowsError)


def test_a_shard_with_other_rows_is_another_shard(tmp_path):
    manifest = written(str(tmp_path))
    payload = readable_by_row(TABLE.slice(0, ROWS - 1), GROUP_BYTES)
    write_shard(str(tmp_path), manifest.shards[0].path, payload, ROWS)
    shard = type(manifest.shards[0])(
        path=manifest.shards[0].path, rows=ROWS, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest()
    )
    changed = Manifest(step="formatting", fingerprint="", recipe_sha256="", rows=ROWS, shards=(shard,))
    with pytest.raises(AerieError, match="59 rows, the manifest says 60"):
        RowGroups(str(tmp_path), changed).rows(0, 0, 1)
