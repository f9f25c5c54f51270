"""Every operation on files and folders in a bucket, under every kind of fault, on a real S3 server."""

import hashlib
import os
import threading

import pytest
import s3_proxy

from data import object_client, object_store
from data.errors import AerieError
from data.files import exists, join, read_bytes, read_range, write_bytes
from data.folders import copy_folder, files_below, remove_file, remove_folder, subfolders

pytestmark = pytest.mark.xdist_group("s3")
MIB = 1 << 20
PAYLOAD = bytes(range(256)) * 500
LARGE = hashlib.shake_256(b"large").digest(11 * MIB)  # three parts of 5 MiB, the least that S3 takes


def write(uri, folder):
    write_bytes(join(uri, "written"), PAYLOAD)
    assert read_bytes(join(uri, "written")) == PAYLOAD


def read(uri, folder):
    assert read_bytes(join(uri, "a/file")) == PAYLOAD


def read_part(uri, folder):
    assert read_range(join(uri, "a/file"), 1000, 50_000) == PAYLOAD[1000:51_000]
    assert read_range(join(uri, "a/file"), len(PAYLOAD) - 10, 50) == PAYLOAD[-10:]
    assert read_range(join(uri, "a/file"), len(PAYLOAD) + 10, 50) == b""


def look(uri, folder):
    assert exists(join(uri, "a/file"))
    assert not exists(join(uri, "a"))
    assert not exists(join(uri, "nothing"))


def list_names(uri, folder):
    assert subfolders(uri) == ["a", "b"]
    assert files_below(uri) == ["a/deep/file", "a/file", "b/file"]


def upload(uri, folder):
    (folder / "deep").mkdir()
    (folder / "deep/file").write_bytes(PAYLOAD)
    copy_folder(str(folder), join(uri, "copy"))
    assert read_bytes(join(uri, "copy/deep/file")) == PAYLOAD


def download(uri, folder):
    copy_folder(uri, str(folder / "copy"))
    assert files_below(str(folder / "copy")) == ["a/deep/file", "a/file", "b/file"]
    assert (folder / "copy/a/file").read_bytes() == PAYLOAD


def copy(uri, folder):
    copy_folder(join(uri, "a"), join(uri, "c"))
    assert files_below(join(uri, "c")) == ["deep/file", "file"]
    assert read_bytes(join(uri, "c/file")) == PAYLOAD


def remove_one(uri, folder):
    for _ in range(2):  # what is gone is gone
        remove_file(join(uri, "a/file"))
        assert files_below(uri) == ["a/deep/file", "b/file"]


def remove_all(uri, folder):
    for _ in range(2):
        remove_folder(join(uri, "a"))
        assert files_below(uri) == ["b/file"]


OPERATIONS = (write, read, read_part, look, list_names, upload, download, copy, remove_one, remove_all)


@pytest.fixture
def filled(faulty, s3_uri):
    """A prefix with three files in two folders; faults begin after this."""
    for name in ("a/file", "a/deep/file", "b/file"):
        write_bytes(join(s3_uri, name), PAYLOAD)
    return s3_uri


def faults_met(proxy):
    return [request["fault"] for request in proxy.requests() if request["fault"] != "pass"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_without_faults(filled, tmp_path, operation):
    operation(filled, tmp_path)


@pytest.mark.parametrize("fault", s3_proxy.FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_a_fault_that_passes_is_not_noticed(faulty, filled, tmp_path, operation, fault):
    """Its first request meets the fault, and after that every third one in the mean."""
    if fault == "silent":
        faulty.reset(script=[fault])  # each one costs the client its whole time-out
    else:
        faulty.reset(seed=len(fault), script=[fault], rates={fault: 0.3})
    operation(filled, tmp_path)
    assert faults_met(faulty)


@pytest.mark.parametrize("fault", ["internal_error", "slow_down", "reset_before"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda uri: exists(join(uri, "a/file")),
        lambda uri: exists(join(uri, "nothing")),
        lambda uri: read_bytes(join(uri, "a/file")),
        lambda uri: write_bytes(join(uri, "a/file"), b"new"),
        lambda uri: subfolders(join(uri, "a/file")),
        lambda uri: remove_file(join(uri, "a/file")),
    ],
    ids=["exists", "exists-not", "read", "write", "list", "remove"],
)
def test_a_fault_that_stays_is_an_error_with_the_name_and_never_an_answer(faulty, filled, fault, ask):
    faulty.reset(rates={fault: 1.0})
    with pytest.raises(AerieError, match=r"s3://.*/(a|nothing)") as raised:
        ask(filled)
    assert faulty.url in str(raised.value)
    assert "run the step again" in str(raised.value)
    assert len(faulty.requests()) == object_client.PATIENCE.requests


@pytest.mark.parametrize("fault", ["torn_answer", "torn_head"])
def test_an_answer_that_always_breaks_off_is_never_taken_for_a_whole_one(faulty, filled, tmp_path, fault):
    faulty.reset(rates={fault: 1.0}, methods=["GET"])
    for ask in (read_bytes, files_below, lambda uri: copy_folder(uri, str(tmp_path / "copy"))):
        with pytest.raises(AerieError, match="breaks off"):
            ask(join(filled, "a/file"))
    with pytest.raises(AerieError, match="breaks off"):
        object_store.download_file(join(filled, "a/file"), str(tmp_path / "file"))
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("fault", [*s3_proxy.FAULTS, s3_proxy.HOLLOW, s3_proxy.FORGOTTEN])
def test_a_large_object_goes_up_in_parts_or_not_at_all(faulty, s3_uri, monkeypatch, tmp_path, fault):
    monkeypatch.setattr(object_store, "PART_BYTES", 5 * MIB)
    uri, path = join(s3_uri, "large"), tmp_path / "large"
    path.write_bytes(LARGE)
    write_bytes(uri, b"old")
    at_its_end = {"script": ["pass", fault], "methods": ["POST"]}  # the request that completes it
    anywhere = {"seed": 3, "script": [fault], "rates": {fault: 0.2}, "methods": ["POST", "PUT"]}
    both = fault in s3_proxy.FAULTS and fault != "silent"
    for schedule in (at_its_end, anywhere) if both else (at_its_end,):
        faulty.reset(**schedule)
        object_store.upload_file(str(path), uri)
        assert faults_met(faulty)
    faulty.reset()
    object_store.download_file(uri, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == LARGE


def test_a_large_object_that_never_succeeds_stays_invisible(faulty, s3_uri, monkeypatch):
    monkeypatch.setattr(object_store, "PART_BYTES", 5 * MIB)
    uri = join(s3_uri, "large")
    write_bytes(uri, b"old")
    for fault in ("torn_upload", "internal_error", s3_proxy.HOLLOW):
        faulty.reset(script=["pass"], rates={fault: 1.0}, methods=["POST", "PUT"])
        with pytest.raises(AerieError, match="large"):
            write_bytes(uri, LARGE)
        faulty.reset()
        assert read_bytes(uri) == b"old"
        assert files_below(s3_uri) == ["large"]


@pytest.mark.parametrize(("size", "writes"), [(200_000, 8), (6 * MIB, 3)], ids=["one-piece", "parts"])
def test_a_reader_sees_the_old_object_or_the_new_one_never_a_part(faulty, s3_server, s3_uri, monkeypatch, size, writes):
    monkeypatch.setattr(object_store, "PART_BYTES", 5 * MIB)
    uri = join(s3_uri, "polled")
    versions = [bytes([number]) * (size + number) for number in range(writes)]
    write_bytes(uri, versions[0])
    faults = ("internal_error", "torn_upload", "error_after", "reset_after", "reset_before", "torn_answer")
    faulty.reset(seed=5, rates=dict.fromkeys(faults, 0.08), methods=["PUT", "POST"])
    writer = threading.Thread(target=lambda: [write_bytes(uri, version) for version in versions])
    reader = s3_server.client()  # straight to the server: a reader without faults and without patience
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    seen = []
    writer.start()
    while writer.is_alive():
        response = reader.get_object(bucket, key)
        seen.append(response.read())
        response.close()
        response.release_conn()
    writer.join()
    assert len(seen) > 2
    assert set(seen) <= set(versions)
    assert read_bytes(uri) == versions[-1]
    assert faults_met(faulty)


def test_what_is_missing_or_forbidden_is_named_with_a_way_out(faulty, filled, s3_server, monkeypatch):
    with pytest.raises(AerieError, match=r"file not found: s3://.*/nothing"):
        read_bytes(join(filled, "nothing"))
    with pytest.raises(AerieError, match=r"file not found: s3://.*/a$"):
        read_bytes(join(filled, "a"))
    with pytest.raises(AerieError, match=r"no-such-bucket/x: the bucket does not exist.*python -m data.buckets"):
        read_bytes("s3://no-such-bucket/x")
    with pytest.raises(AerieError, match="write s3://BUCKET/PREFIX"):
        write_bytes("s3://bucket", b"")
    with pytest.raises(AerieError, match="invalid bucket name"):
        exists("s3://_/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-one")
    for ask in (read_bytes, exists, files_below, lambda uri: write_bytes(uri, b"x")):
        with pytest.raises(AerieError, match=r"refuses the keys .*AWS_ACCESS_KEY_ID") as raised:
            ask(join(filled, "a/file"))
        assert "not-the-one" not in repr(raised.value)


def test_a_store_that_is_away_or_an_address_that_is_none(s3_uri, faulty, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(AerieError, match=r"127.0.0.1:1 can't be reached.*check AWS_ENDPOINT_URL"):
        exists(join(s3_uri, "file"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://someone:planted@127.0.0.1:1")
    with pytest.raises(AerieError, match="AWS_ENDPOINT_URL must look like") as raised:
        exists(join(s3_uri, "file"))
    assert "planted" not in str(raised.value)


def test_without_keys_the_variables_are_named(s3_uri, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
    with pytest.raises(AerieError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        exists(join(s3_uri, "file"))


def test_a_forked_worker_has_connections_of_its_own(s3_uri):
    """Parent and children read at the same time over what was one connection before the fork."""
    uris = [join(s3_uri, str(number)) for number in range(3)]
    for number, uri in enumerate(uris):
        write_bytes(uri, bytes([number]) * 100_000)
    children = []
    for number, uri in enumerate(uris):
        if (child := os.fork()) == 0:
            right = all(read_bytes(uri) == bytes([number]) * 100_000 for _ in range(10))
            os._exit(0 if right else 1)
        children.append(child)
    assert all(read_bytes(uris[0]) == bytes(100_000) for _ in range(10))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
