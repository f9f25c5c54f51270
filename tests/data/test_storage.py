"""Manifests commit, hashes guard, and damage is named."""

import json

import pyarrow as pa
import pytest

from data.errors import AerieError
from data.files import join
from data.ledger import StepCount
from data.schema import Turn, make_sample
from data.storage import (
    Manifest,
    ShardWriter,
    attach,
    commit,
    committed,
    fingerprint,
    read_attachment,
    read_manifest,
    read_samples,
    write_samples,
)


def samples(count):
    return [
        make_sample(
            source="s",
            category="text_only",
            images=(),
            conversations=(Turn(role="user", content=f"q{i}"), Turn(role="assistant", content=f"a{i}")),
            meta={"i": i},
        )
        for i in range(count)
    ]


def committed_folder(folder, count=10, rows_per_shard=4):
    shards = write_samples(folder, samples(count), rows_per_shard)
    return commit(
        folder,
        Manifest(step="demo", fingerprint=fingerprint(step="demo"), recipe_sha256="r", rows=count, shards=shards),
    )


def test_round_trip_keeps_order_and_splits_shards(tmp_path):
    manifest = committed_folder(str(tmp_path))
    assert [shard.rows for shard in manifest.shards] == [4, 4, 2]
    assert list(read_samples(str(tmp_path))) == samples(10)
    assert read_manifest(str(tmp_path)) == manifest


def test_equal_content_gives_equal_manifests_in_any_folder(tmp_path):
    hashes = {committed_folder(str(tmp_path / name)).sha256() for name in ("a", "b")}
    assert len(hashes) == 1


def test_a_folder_without_manifest_is_not_done(tmp_path):
    write_samples(str(tmp_path), samples(3))
    assert committed(str(tmp_path), "x") is None
    with pytest.raises(AerieError, match="has not finished"):
        read_manifest(str(tmp_path))


def test_another_fingerprint_is_not_done(tmp_path):
    committed_folder(str(tmp_path))
    assert committed(str(tmp_path), fingerprint(step="demo")) is not None
    assert committed(str(tmp_path), "other") is None


def test_a_truncated_shard_is_named(tmp_path):
    manifest = committed_folder(str(tmp_path))
    shard = tmp_path / manifest.shards[1].path
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(AerieError, match=r"shard-00001\.parquet is truncated or changed"):
        list(read_samples(str(tmp_path)))


def test_a_missing_shard_is_named(tmp_path):
    manifest = committed_folder(str(tmp_path))
    (tmp_path / manifest.shards[2].path).unlink()
    with pytest.raises(AerieError, match=r"shard-00002\.parquet is missing"):
        list(read_samples(str(tmp_path)))


def test_a_damaged_manifest_is_named(tmp_path):
    committed_folder(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{half")
    with pytest.raises(AerieError, match="is damaged"):
        read_manifest(str(tmp_path))


def test_a_newer_schema_version_is_refused(tmp_path):
    committed_folder(str(tmp_path))
    document = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(AerieError, match="schema version 99"):
        read_manifest(str(tmp_path))


def test_an_open_ledger_is_not_committed(tmp_path):
    manifest = Manifest(
        step="demo",
        fingerprint="f",
        recipe_sha256="r",
        rows=1,
        shards=(),
        counts=(StepCount(source="s", rows_in=3, rows_out=1, dropped={"why": 1}),),
    )
    with pytest.raises(AerieError, match="does not close for source 's'"):
        commit(str(tmp_path), manifest)
    assert not (tmp_path / "manifest.json").exists()


def test_attachments_are_checked(tmp_path):
    folder = str(tmp_path)
    entry = attach(folder, "report.json", b"{}")
    manifest = Manifest(
        step="demo", fingerprint="f", recipe_sha256="r", rows=0, shards=(), attachments={"report": entry}
    )
    assert read_attachment(folder, manifest, "report") == b"{}"
    (tmp_path / "report.json").write_bytes(b"{1}")
    with pytest.raises(AerieError, match="differs from its manifest"):
        read_attachment(folder, manifest, "report")
    with pytest.raises(AerieError, match="no attachment 'other'"):
        read_attachment(folder, manifest, "other")


def test_writing_leaves_no_temporary_files(tmp_path):
    committed_folder(str(tmp_path))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_tables_are_cast_to_the_schema(tmp_path):
    writer = ShardWriter(join(str(tmp_path), "t"), schema=pa.schema([("x", pa.int32())]))
    writer.write_table(pa.table({"x": pa.array([1, 2], pa.int64())}))
    (shard,) = writer.close()
    assert shard.rows == 2
