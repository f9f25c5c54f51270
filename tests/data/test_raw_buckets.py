"""Raw files in a bucket, from a real S3 server."""

import json

import pytest
from raw_files import CARD, ask, png, reasons, run_source, samples

from data.errors import AerieError
from data.files import write_bytes
from data.registry.cards import SourceCard
from data.registry.raw.places import place_of
from data.registry.raw.problems import BadRowError

pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture
def bucket(s3_uri, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = ("p/a.png", "x.png")
    rows = [{"id": n, "image": name, "conversations": ask(f"<image>{n}", "a")} for n, name in enumerate(names)]
    write_bytes(f"{s3_uri}/raw/rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    write_bytes(f"{s3_uri}/raw/p/a.png", png(4))
    return f"{s3_uri}/raw"


def card(uri):
    return SourceCard(**{**CARD, "uri": uri})


def test_an_object_a_prefix_and_a_pattern_are_the_same_source(bucket, tmp_path):
    for uri in (f"{bucket}/rows.jsonl", f"{bucket}/", f"{bucket}/*.jsonl"):
        (sample,) = samples(card(uri))
        assert sample.images[0].bytes == png(4)
        assert reasons(card(uri)) == [("rows.jsonl:2", "missing_file")]
    found, _, quarantine, _ = run_source(tmp_path, card(f"{bucket}/rows.jsonl"))
    assert (len(found), len(quarantine)) == (1, 1)


def test_a_changed_object_is_fetched_again_and_has_another_identity(bucket):
    before, after = (place_of(card(f"{bucket}/rows.jsonl")) for _ in range(2))
    first = before.identity("rows.jsonl")
    assert before.path("rows.jsonl").read_bytes().count(b"\n") == 1
    write_bytes(f"{bucket}/rows.jsonl", b"{}")
    assert after.identity("rows.jsonl") != first
    assert after.path("rows.jsonl").read_bytes() == b"{}"


def test_what_a_bucket_lacks(bucket):
    for uri in (f"{bucket}/no/", f"{bucket}/*.csv"):
        with pytest.raises(AerieError, match=r"no object .*correct `uri`"):
            samples(card(uri))
    with pytest.raises(AerieError, match="file not found"):
        samples(card(f"{bucket}/no.jsonl"))
    for name, reason in (("../rows.jsonl", "unsafe_path"), ("gone", "missing_file")):
        with pytest.raises(BadRowError) as caught:
            place_of(card(f"{bucket}/")).path(name)
        assert caught.value.reason == reason
