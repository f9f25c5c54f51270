import os
import threading

import pytest

from data.errors import AerieError
from data.files import exists, join, read_bytes, read_range, step_folder, write_bytes


def test_readers_see_the_old_file_or_the_new_one_never_a_part(tmp_path):
    uri = str(tmp_path / "deep" / "file")
    versions = [bytes([number]) * 200_000 for number in range(8)]
    write_bytes(uri, versions[0])
    writer = threading.Thread(target=lambda: [write_bytes(uri, version) for version in versions])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(read_bytes(uri))
    writer.join()
    assert set(seen) <= set(versions)
    assert os.listdir(tmp_path / "deep") == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    uri = str(tmp_path / "file")
    write_bytes(uri, b"old")
    with pytest.raises(TypeError):
        write_bytes(uri, "not bytes")
    assert read_bytes(uri) == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_part_of_a_file_is_what_is_there(tmp_path):
    uri = str(tmp_path / "file")
    write_bytes(uri, b"0123456789")
    assert [read_range(uri, *part) for part in ((0, 3), (4, 2), (8, 9), (12, 1))] == [b"012", b"45", b"89", b""]
    with pytest.raises(AerieError, match=r"file not found: .*other"):
        read_range(str(tmp_path / "other"), 0, 1)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(AerieError, match="nothing-here"):
        read_bytes(str(tmp_path / "nothing-here"))
    with pytest.raises(AerieError, match="is a folder"):
        read_bytes(str(tmp_path))
    assert not exists(str(tmp_path))


def test_paths_join_the_same_on_disk_and_in_a_bucket():
    assert join("s3://bucket/runs/", "a", "b") == "s3://bucket/runs/a/b"
    assert step_folder("/runs", "r1", "sourcing", "digits") == "/runs/r1/sourcing/digits"
    assert step_folder("s3://bucket", "r1", "gate") == "s3://bucket/r1/gate"
