"""Random documents out of the words that adapters know: each row comes out once, as a sample or with a reason."""

import io
import json
import random
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import CARD, png, source

from data.registry.cards import SourceCard
from data.registry.rows import Accepted, Rejected
from data.registry.sourcing import load_adapter
from data.schema import samples_to_table

KEYS = ["id", "image", "images", "conversations", "messages", "texts", "user", "assistant", "from", "value", "role"]
KEYS += ["content", "type", "text", "split", "task", "label", "labels", "caption", "captions", "boxes", "box", "bbox"]
KEYS += ["iscrowd", "landmarks", "point", "name", "table", "columns", "rows", "question", "answer", "answers", "file"]
KEYS += ["question_id", "image_id", "choices", "file_name", "page", "title"]
WORDS = ["a.png", "../x.png", "human", "gpt", "user", "assistant", "system", "image", "text", "<image>", "<image-3>"]
WORDS += ["heldout", "", " ", "yes", "A", "é😀", "a\0b", "C:\\x", "{n}", "7", "1e5", "\r\n", "x" * 300, "| --- |"]
FIELDS = ("from", "value", "role", "content")


def value(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind < 3:
        return rng.choice(WORDS)
    if kind == 3:
        return rng.choice([0, 1, -1, 3, 10**30, 0.5, -2.5e10, 100, 1000])
    if kind == 4:
        return rng.choice([None, True, False])
    if kind == 5:
        return [rng.choice([0, 1, 5, 9.5, "x"]) for _ in range(rng.choice([2, 4, 4, 1]))]
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return document(rng, depth + 1)


def document(rng, depth=0):
    return {rng.choice(KEYS): value(rng, depth) for _ in range(rng.randrange(1, 6))}


def likely(rng):
    """A sound row of which something was replaced."""
    turns = [{"from": "human", "value": "<image>q"}, {"from": "gpt", "value": "a"}]
    box = {"label": "cat", "box": [0, 0, 5, 5]}
    row = {"id": rng.random(), "question_id": rng.random(), "image": "a.png", "conversations": turns, "boxes": [box]}
    row |= {"question": "q", "answer": "a", "choices": ["a", "b"], "label": "cat", "landmarks": {"eye": [1, 2]}}
    row |= {"table": {"columns": ["a", "b"], "rows": [["x", 1], ["y", 2]]}, "caption": "c", "file": "a.pdf", "page": 1}
    for _ in range(rng.randrange(4)):
        rng.choice([row, *turns, box])[rng.choice(KEYS)] = value(rng)
    return row


def check(card, count):
    found = list(load_adapter(card).read(card, source(), 1))
    assert len(found) == count
    accepted = [row.sample for row in found if isinstance(row, Accepted)]
    samples_to_table(accepted)
    for row in found:
        if isinstance(row, Rejected):
            assert row.reason
            assert row.key
            assert row.detail.encode()
    load_adapter(card).identity(card)
    return len(accepted)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        ("llava_json", {}),
        ("llava_json", {"image_mark": "<image-{n}>", "place_images": True, "unique_ids": True, "heldout_one_in": 3}),
        ("convert", {"vocabulary": ["cat", "dog", "cow", "hen", "owl"], "questions": 9}),
        ("convert", {"box_format": "xywh", "heldout_one_in": 3, "rules": ["boxes", "tables", "landmarks"]}),
        ("vqa_json", {"parts": [{"file": "rows.jsonl", "rows": None}]}),
        ("vqa_json", {"parts": [{"file": "rows.jsonl", "rows": None}], "choices": "choices"}),
    ],
)
def test_json_rows(tmp_path, adapter, options, seed):
    rng = random.Random(f"{adapter} {seed}")
    rows = [likely(rng) if rng.random() < 0.7 else document(rng) for _ in range(120)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.png").write_bytes(png(1))
    uri = f"file://{tmp_path}" + ("" if adapter == "vqa_json" else "/rows.jsonl")
    kept = check(SourceCard(**{**CARD, "adapter": adapter, "uri": uri, "options": options}), len(rows))
    assert 0 < kept < len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_shards(tmp_path, seed):
    rng = random.Random(seed)
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for number in range(100):
            for name, payload in ((f"{number}.png", png(number)), (f"{number}.json", json.dumps(value(rng)).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(payload)
                tar.addfile(info, io.BytesIO(payload))
    check(SourceCard(**{**CARD, "adapter": "webdataset_tar", "uri": f"file://{tmp_path}/0.tar"}), 100)


@pytest.mark.parametrize("seed", range(4))
def test_parquet_cells(tmp_path, seed):
    rng = random.Random(seed)
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    turn = pa.struct([(name, pa.string()) for name in FIELDS])
    count = 60
    cells = [rng.choice([None, {"bytes": png(n), "path": None}, {"bytes": None, "path": "../x"}]) for n in range(count)]
    said = [[{name: rng.choice([None, *WORDS]) for name in FIELDS} for _ in range(2)] for _ in range(count)]
    turns = [rng.choice([None, [], [None], entry, entry]) for entry in said]
    columns = {"image": pa.array(cells, picture), "conversations": pa.array(turns, pa.list_(turn))}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=16)
    check(SourceCard(**{**CARD, "adapter": "hf_parquet", "uri": f"file://{tmp_path}/a.parquet"}), count)
    texts = pa.array([json.dumps(value(rng)) for _ in range(count)])
    mixed = {"conversations": texts, "images": pa.array([[cell] for cell in cells], pa.list_(picture))}
    pq.write_table(pa.table(mixed), tmp_path / "a.parquet")
    check(SourceCard(**{**CARD, "adapter": "hf_parquet", "uri": f"file://{tmp_path}/a.parquet"}), count)
