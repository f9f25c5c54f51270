"""Places: local files, a web server and a Hub in another process, and the same source out of each."""

import hashlib
import json
import os

import pytest
from raw_files import CARD, ask, png, run_source, samples
from raw_web import COMMIT, RawWeb

from data.errors import AerieError
from data.object_client import Patience
from data.registry.cards import SourceCard
from data.registry.raw import remote
from data.registry.raw.places import LocalPlace, place_of, safe_name, wanted
from data.registry.raw.problems import BadRowError


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "served"
    (data / "pics").mkdir(parents=True)
    (data / "pics" / "a b.png").write_bytes(png(3))
    lines = [{"id": n, "image": "pics/a b.png", "conversations": ask(f"<image>{n}", "a")} for n in range(3)]
    (data / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (data / ".hidden.jsonl").write_text("{}")
    return data


@pytest.fixture
def web(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PATIENCE", Patience(requests=2, operations=2, first_pause=0.01, longest_pause=0.02))
    server = RawWeb(folder)
    yield server
    server.stop()


@pytest.fixture
def hub(web, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return web


def card(uri, **changes):
    return SourceCard(**{**CARD, "uri": uri, **changes})


@pytest.mark.parametrize("name", ["a/b.png", "./a.png", "a\\b.png", "ümlaut é.png", "-x", "a..b.png"])
def test_names_that_are_safe(name):
    assert ".." not in safe_name(name).split("/")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a\\..\\x",
        "C:\\x",
        "c:x",
        "",
        ".",
        "a\nb",
        "a\0b",
        "\udcff",
        "x" * 5000,
        "//h/x",
    ],
)
def test_names_that_are_not(name):
    with pytest.raises(BadRowError) as caught:
        safe_name(name)
    assert caught.value.reason in {"unsafe_path", "nul_in_text", "invalid_unicode"}


def test_patterns_and_suffixes():
    names = ["b/2.JSON", "a.json", ".x.json", ".git/y.json", "c.txt"]
    assert wanted(names, None, (".json",)) == ["a.json", "b/2.JSON"]
    assert wanted(names, "*/?.JSON", ()) == ["b/2.JSON"]


def test_local_links_stay_inside_and_circles_end(folder):
    (folder / "inside.png").symlink_to("pics/a b.png")
    (folder / "circle").symlink_to("circle")
    (folder / "out").symlink_to(folder.parent.parent)
    os.mkfifo(folder / "pipe")
    place = LocalPlace(card(f"file://{folder}"), str(folder))
    assert place.path("inside.png").read_bytes() == png(3)
    for name, reason in (("circle", "missing_file"), ("out", "unsafe_path"), ("pipe", "missing_file")):
        with pytest.raises(BadRowError) as caught:
            place.path(name)
        assert caught.value.reason == reason
    assert place.names((".jsonl",)) == ["rows.jsonl"]


def test_a_place_that_an_adapter_cannot_read():
    with pytest.raises(AerieError, match="reads no pypi:// place"):
        place_of(card("pypi://x"))


@pytest.mark.parametrize("kind", ["files", "weak", "bare", "cut", "hop/2"])
def test_a_source_from_the_web_is_what_it_is_on_a_disk(web, folder, kind):
    here = samples(card(f"file://{folder}/rows.jsonl"))
    there = card("https://host/x").model_copy(update={"uri": f"{web.url}/{kind}/rows.jsonl"})
    assert samples(there) == here
    if kind in {"files", "bare"}:
        fetched = web.requests().count(f"GET /{kind}/rows.jsonl")
        assert samples(there) == here
        asked_again = 0 if kind == "files" else 4  # nothing tells the version but the content
        assert web.requests().count(f"GET /{kind}/rows.jsonl") - fetched <= asked_again


def test_the_web_pins_by_hash_and_notices_a_change(web, folder, tmp_path):
    content = (folder / "rows.jsonl").read_bytes()
    pinned = remote.WebPlace(f"{web.url}/files/rows.jsonl#sha256={hashlib.sha256(content).hexdigest()}")
    assert pinned.path("rows.jsonl").read_bytes() == content
    first = remote.WebPlace(f"{web.url}/files/rows.jsonl").identity("rows.jsonl")
    (folder / "rows.jsonl").write_bytes(content + b"\n")
    changed = remote.WebPlace(f"{web.url}/files/rows.jsonl")
    assert changed.identity("rows.jsonl") != first
    assert changed.path("rows.jsonl").read_bytes() == content + b"\n"
    wrong = remote.WebPlace(f"{web.url}/files/rows.jsonl#sha256={'0' * 64}")
    with pytest.raises(AerieError, match="the card pins 000"):
        wrong.path("rows.jsonl")
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_what_the_web_lacks_and_what_it_must_not_do(web):
    with pytest.raises(BadRowError) as caught:
        remote.WebPlace(f"{web.url}/files/rows.jsonl").path("gone.png")
    assert caught.value.reason == "missing_file"
    with pytest.raises(AerieError, match=r"gone.jsonl answers 404; correct `uri`"):
        remote.WebPlace(f"{web.url}/files/gone.jsonl").names(())
    with pytest.raises(AerieError, match="more than 5 redirects"):
        remote.WebPlace(f"{web.url}/hop/9/rows.jsonl").path("rows.jsonl")
    web.stop()
    with pytest.raises(AerieError, match=r"can't be reached .*; download it and point a card with file:// at it"):
        remote.WebPlace(f"{web.url}/files/rows.jsonl").names(())


def test_a_hub_data_set_at_a_commit(hub, folder, tmp_path):
    here = samples(card(f"file://{folder}"))
    for uri in (
        "hf://datasets/aerie/mini",
        "hf://datasets/aerie/mini/rows.jsonl",
        "hf://datasets/aerie/mini/*.jsonl",
    ):
        assert samples(card(uri)) == here
    place = place_of(card("hf://datasets/aerie/mini", revision=COMMIT[:12]))
    assert place.identity("rows.jsonl") == f"{COMMIT}/rows.jsonl"
    found, _, quarantine, count = run_source(tmp_path, card("hf://datasets/aerie/mini"), max_samples=2)
    assert (len(found), quarantine, count.rows_in) == (2, [], 2)


def test_hub_errors_say_what_to_do(hub):
    with pytest.raises(AerieError, match=r"no such data set or revision 'abad1de'.*correct `uri`"):
        samples(card("hf://datasets/aerie/mini", revision="abad1de"))
    with pytest.raises(AerieError, match="no such data set"):
        samples(card("hf://datasets/aerie/other"))
    with pytest.raises(AerieError, match=r"no file .*correct `uri`"):
        samples(card("hf://datasets/aerie/mini/rows.csv"))
    with pytest.raises(BadRowError) as caught:
        place_of(card("hf://datasets/aerie/mini")).path("gone.png")
    assert caught.value.reason == "missing_file"
    hub.stop()
    with pytest.raises(AerieError, match=r"can't be reached .*; download it and point a card with file:// at it"):
        samples(card("hf://datasets/aerie/mini"))
