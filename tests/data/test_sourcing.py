import io
import json

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.errors import AerieError
from data.images import encode_png
from data.registry.cards import SourceCard
from data.registry.sourcing import load_adapter, source_samples
from data.storage import read_attachment, read_samples

CARD = {
    "name": "mine",
    "uri": "file://data.jsonl",
    "version": "1",
    "licence": "CC0-1.0",
    "category": "general_vqa",
    "adapter": "jsonl",
    "split_key": "id",
    "description": "A folder of test rows.",
}
ASK = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
GOOD = {"id": "good", "image": "a.png", "conversations": ASK}
HELD = {"id": "held", "image": "b.png", "conversations": ASK, "split": "heldout"}


@pytest.fixture
def workspace(tmp_path):
    """A recipe with one JSONL source; returns a function that writes the rows and gives the recipe's path."""

    def make(*lines):
        for name, shade in (("a.png", 10), ("b.png", 200)):
            (tmp_path / name).write_bytes(encode_png(Image.new("RGB", (20, 10), (shade, 0, 0))))
        (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "data.jsonl").write_text("\n".join(text) + "\n")
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CARD))
        recipe = {"name": "t", "seed": 3, "data": {"cards": ".", "sources": [{"name": "mine"}, {"name": "digits"}]}}
        (tmp_path / "recipe").mkdir(exist_ok=True)
        recipe["data"]["cards"] = ".."
        (tmp_path / "recipe" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return str(tmp_path / "recipe" / "recipe.yaml")

    return make


def attached(folder, manifest, name):
    return pq.read_table(io.BytesIO(read_attachment(folder, manifest, name))).to_pylist()


def test_every_bad_row_is_quarantined_with_key_and_reason(workspace, tmp_path):
    bad = [
        "{not json",
        '["a list"]',
        {"id": "no-file", "image": "gone.png", "conversations": ASK},
        {"id": "corrupt", "image": "broken.png", "conversations": ASK},
        {"id": "outside", "image": "../../etc/passwd", "conversations": ASK},
        {"id": "roles", "conversations": [{"from": "bird", "value": "x"}]},
        {"id": "none"},
        {"id": "number", "image": 7, "conversations": ASK},
    ]
    out = str(tmp_path / "out")
    manifest = source_samples(workspace(GOOD, *bad, HELD), "", "mine", out)
    rows = attached(out, manifest, "quarantine")
    assert [(row["key"], row["reason"]) for row in rows] == [
        ("data.jsonl:2", "invalid_json"),
        ("data.jsonl:3", "invalid_json"),
        ("data.jsonl:4", "missing_file"),
        ("data.jsonl:5", "corrupt_image"),
        ("data.jsonl:6", "unsafe_path"),
        ("data.jsonl:7", "invalid_row"),
        ("data.jsonl:8", "invalid_row"),
        ("data.jsonl:9", "invalid_row"),
    ]
    assert all(row["detail"] and row["source"] == "mine" and row["split"] == "train" for row in rows)
    (count,) = manifest.counts
    assert (count.rows_in, count.rows_out, sum(count.dropped.values())) == (9, 1, 8)
    assert len(attached(out, manifest, "heldout")) == 1
    assert [sample.meta["key"] for sample in read_samples(out, manifest)] == ["good"]


def test_role_content_turns_several_images_and_no_image(workspace, tmp_path):
    two = [{"role": "user", "content": "<image><image> same?"}, {"role": "assistant", "content": "no"}]
    none = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    recipe = workspace({"image": ["a.png", "b.png"], "conversations": two}, {"conversations": none})
    out = str(tmp_path / "out")
    samples = list(read_samples(out, source_samples(recipe, "", "mine", out)))
    assert [len(sample.images) for sample in samples] == [2, 0]
    assert samples[0].conversations[1].content == "no"


def test_a_missing_jsonl_and_a_foreign_source_are_user_errors(workspace, tmp_path):
    recipe = workspace(GOOD)
    (tmp_path / "data.jsonl").unlink()
    with pytest.raises(AerieError, match="can't be read"):
        source_samples(recipe, "", "mine", str(tmp_path / "out"))
    with pytest.raises(AerieError, match="not in the recipe"):
        source_samples(recipe, "", "easy-vqa", str(tmp_path / "out"))


def test_two_runs_agree_and_a_second_call_does_nothing(workspace, tmp_path):
    recipe = workspace(GOOD)
    first = source_samples(recipe, "", "digits", str(tmp_path / "one"))
    again = source_samples(recipe, "", "digits", str(tmp_path / "two"))
    assert first.sha256() == again.sha256()
    stamp = (tmp_path / "one" / "manifest.json").stat().st_mtime_ns
    shard = (tmp_path / "one" / first.shards[0].path).stat().st_mtime_ns
    assert source_samples(recipe, "", "digits", str(tmp_path / "one")) == first
    assert (tmp_path / "one" / "manifest.json").stat().st_mtime_ns == stamp
    assert (tmp_path / "one" / first.shards[0].path).stat().st_mtime_ns == shard


def test_a_replaced_image_is_noticed(workspace, tmp_path):
    recipe, out = workspace(GOOD), str(tmp_path / "out")
    first = source_samples(recipe, "", "mine", out)
    (tmp_path / "a.png").write_bytes(encode_png(Image.new("RGB", (20, 10), (99, 0, 0))))
    assert source_samples(recipe, "", "mine", out).sha256() != first.sha256()


def test_an_adapter_is_checked_before_it_reads(monkeypatch):
    card = SourceCard(**{**CARD, "adapter": "vega_tables", "uri": "file:///x"})
    with pytest.raises(AerieError, match=r"must define read\(card, use, seed\)"):
        load_adapter(card)
