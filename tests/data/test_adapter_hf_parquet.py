"""Hugging Face Parquet: the layouts of its columns, caps by row group, splits, bombs and broken files."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import CARD, ask, png, reasons, rows, run_source, samples, texts

from data.errors import AerieError
from data.registry.adapters import hf_parquet
from data.registry.cards import SourceCard
from data.registry.raw import parquet


def card(folder, name="data", split_key="id", **options):
    return SourceCard(
        **{
            **CARD,
            "adapter": "hf_parquet",
            "uri": f"file://{folder}/{name}",
            "options": options,
            "split_key": split_key,
        }
    )


def write(folder, entries, name="train-00000.parquet", group=8, schema=None, **options):
    path = folder / "data" / name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(entries, schema=schema), path, row_group_size=group, **options)
    return path


def image(shade):
    return {"bytes": png(shade), "path": f"{shade}.png"}


def fine(number, **more):
    return {"images": [image(number)], "texts": [{"user": f"q{number}", "assistant": f"a{number}"}], **more}


def test_fine_vision_rows(tmp_path):
    two = {"images": [image(1), image(2)], "texts": [{"user": "x", "assistant": "y"}, {"user": "z", "assistant": "w"}]}
    none = {"images": [], "texts": [{"user": "text", "assistant": "only"}]}
    write(tmp_path, [{**row, "relevance": 4} for row in (fine(0), two, none)])
    found = samples(card(tmp_path, keep=["relevance"], task="chart"))
    assert texts(found) == [["<image>\nq0", "a0"], ["<image>\n<image>\nx", "y", "z", "w"], ["text", "only"]]
    assert [len(sample.images) for sample in found] == [1, 2, 0]
    assert found[1].meta == {
        "key": "train-00000.parquet:1",
        "task": "chart",
        "tasks": ["chart", "chart"],
        "columns": {"relevance": 4},
    }


@pytest.mark.parametrize(
    ("row", "options", "turns"),
    [
        ({"messages": ask("<image>\nq", "a", role=True), "image": image(0)}, {}, ["<image>\nq", "a"]),
        ({"conversations": ask("q", "a"), "image": png(0)}, {}, ["<image>\nq", "a"]),
        ({"conversations": json.dumps(ask("q", "a"))}, {}, ["q", "a"]),
        ({"question": "q", "answer": "a", "images": [png(0)]}, {}, ["<image>\nq", "a"]),
        ({"query": "q", "label": ["b", "a", "a"]}, {"question": "query", "answer": "label"}, ["q", "a"]),
        ({"question": "q", "answer": 3}, {}, ["q", "3"]),
        ({"question": "q", "answer": 1, "c": ["x", "y"]}, {"choices": "c"}, ["q\nA. x\nB. y", "B"]),
        ({"question": "q", "answer": "x", "c": {"text": ["x", "y"]}}, {"choices": "c"}, ["q\nA. x\nB. y", "A"]),
    ],
)
def test_other_layouts(tmp_path, row, options, turns):
    write(tmp_path, [row])
    assert texts(samples(card(tmp_path, **options))) == [turns]


def test_cells_that_only_name_their_picture(tmp_path):
    (tmp_path / "data" / "pics").mkdir(parents=True)
    (tmp_path / "data" / "pics" / "a.png").write_bytes(png(5))
    names = ["a.png", "../../secret.png", "gone.png"]
    write(tmp_path, [{"image": name, "question": "q", "answer": "a"} for name in names])
    assert samples(card(tmp_path, images="pics"))[0].images[0].bytes == png(5)
    assert [reason for _, reason in reasons(card(tmp_path, images="pics"))] == ["unsafe_path", "missing_file"]


def test_bad_rows_are_told_by_their_index(tmp_path):
    bad = [
        {"images": [{"bytes": b"rubbish", "path": None}], "texts": [{"user": "q", "assistant": "a"}]},
        {"images": [{"bytes": None, "path": None}], "texts": [{"user": "q", "assistant": "a"}]},
        {"images": [image(0)], "texts": []},
        {"images": [image(0)], "texts": [{"user": "q", "assistant": " "}]},
        {"images": [image(0)], "texts": [{"user": "q\0", "assistant": "a"}]},
        {"images": [image(0)], "texts": [{"user": None, "assistant": "a"}]},
        {"images": [image(0)], "texts": None},
        {"images": [None], "texts": [{"user": "q", "assistant": "a"}]},
    ]
    write(tmp_path, [*bad, fine(1)], group=4)
    expected = ["corrupt_image", "missing_file", "invalid_row", "empty_answer", "nul_in_text", "invalid_row"]
    expected += ["invalid_row"]
    assert reasons(card(tmp_path)) == [(f"train-00000.parquet:{n}", reason) for n, reason in enumerate(expected)]
    assert len(samples(card(tmp_path))) == 2


def test_text_that_is_not_utf8(tmp_path):
    broken = pa.array([b"q", b"\xff\xfe", b"q"], pa.binary()).view(pa.string())
    path = tmp_path / "data" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"question": broken, "answer": ["1", "2", "3"]}), path)
    assert reasons(card(tmp_path)) == [("a.parquet:1", "invalid_utf8")]
    assert len(samples(card(tmp_path))) == 2


def test_caps_read_only_the_row_groups_that_they_need(tmp_path, monkeypatch):
    write(tmp_path, [fine(n) for n in range(40)], name="b.parquet")
    write(tmp_path, [fine(n) for n in range(40, 80)], name="a.parquet")
    opened, original = set(), parquet._batches

    def counting(file, group, columns, size):
        opened.add((len(opened), group))  # a generator: this runs when the first row is asked for
        yield from original(file, group, columns, size)

    monkeypatch.setattr(parquet, "_batches", counting)
    capped = samples(card(tmp_path), train=3)
    assert len(capped) == 3
    assert len(opened) <= 2 * 3  # of ten row groups, in two readings
    everything = {sample.sample_id for sample in samples(card(tmp_path))}
    assert {sample.sample_id for sample in capped} < everything
    assert {s.sample_id for s in capped} < {s.sample_id for s in samples(card(tmp_path), train=9)}
    # Where the folder lies and which files stand beside don't change the draw.
    (tmp_path / "data").rename(tmp_path / "moved")
    assert samples(card(tmp_path, "moved"), train=3) == capped


def test_splits_by_file_by_column_and_by_picture(tmp_path):
    write(tmp_path, [fine(0, id=0, split="train"), fine(1, id=1, split="validation")])
    assert [row.split for row in rows(card(tmp_path))] == ["train", "heldout"]
    write(tmp_path, [fine(n % 5, id=n) for n in range(40)])
    write(tmp_path, [fine(200, id=99)], name="test-00000.parquet")
    found = rows(card(tmp_path, split_key="images", heldout_one_in=2, heldout_files="test-*"))
    by_image = {}
    for row in found:
        by_image.setdefault(row.sample.images[0].bytes, set()).add(row.split)
    assert all(len(sides) == 1 for sides in by_image.values())
    assert {row.split for row in found} == {"train", "heldout"}
    assert next(row.split for row in found if row.sample.meta["key"].startswith("test-")) == "heldout"


def test_a_row_with_an_id_that_was_there_is_refused(tmp_path):
    write(tmp_path, [fine(n, id=n % 3) for n in range(4)])
    assert reasons(card(tmp_path, id="id")) == [("train-00000.parquet:3", "duplicate_id")]


def test_broken_files_and_row_groups_leave_the_others(tmp_path):
    good = write(tmp_path, [fine(n) for n in range(16)], name="good.parquet", compression="none")
    content = good.read_bytes()
    (tmp_path / "data" / "cut.parquet").write_bytes(content[: len(content) // 2])
    (tmp_path / "data" / "empty.parquet").write_bytes(b"")
    (tmp_path / "data" / "footer.parquet").write_bytes(content[:-8] + b"\xff\xff\xff\x7fPAR1")
    (tmp_path / "data" / "junk.parquet").write_bytes(b"PAR1" + b"\x99" * 400 + (300).to_bytes(4, "little") + b"PAR1")
    start = pq.read_metadata(good).row_group(1).column(0).data_page_offset
    hurt = content[:start] + b"\xff" * 64 + content[start + 64 :]
    (tmp_path / "data" / "hurt.parquet").write_bytes(hurt)
    write(tmp_path, [{"other": 1}], name="other.parquet")
    found = reasons(card(tmp_path))
    assert [(key, reason) for key, reason in found if not key.startswith("hurt")] == [
        ("cut.parquet", "corrupt_parquet"),
        ("empty.parquet", "corrupt_parquet"),
        ("footer.parquet", "corrupt_parquet"),
        ("junk.parquet", "corrupt_parquet"),
        ("other.parquet", "missing_column"),
    ]
    assert [key for key, _ in found if key.startswith("hurt")] == [f"hurt.parquet:{n}" for n in range(8, 16)]
    assert len(samples(card(tmp_path))) == 16 + 8


def test_a_page_that_unpacks_to_absurd_size_is_never_unpacked(tmp_path):
    # 72 MiB of one byte in a cell: zstd needs some kilobytes.
    write(tmp_path, [{"question": "q", "answer": "x" * (72 << 20)}], name="bomb.parquet", compression="zstd")
    write(tmp_path, [fine(0)], name="good.parquet")
    assert (tmp_path / "data" / "bomb.parquet").stat().st_size < 1 << 20
    assert reasons(card(tmp_path)) == [("bomb.parquet:0-1", "decompression_bomb")]
    assert len(samples(card(tmp_path))) == 1
    many = pa.table({"question": pa.DictionaryArray.from_arrays(pa.array([0] * (3 << 20), pa.int8()), ["q"])})
    many = many.append_column("answer", many["question"])
    path = tmp_path / "data" / "bomb.parquet"
    pq.write_table(many, path, row_group_size=4 << 20)  # three million rows in a kilobyte
    assert reasons(card(tmp_path)) == [("bomb.parquet:0-3145728", "decompression_bomb")]


def test_the_ledger_closes(tmp_path):
    write(
        tmp_path, [fine(n, split="test" if n % 4 == 0 else "train") for n in range(20)] + [{"images": [], "texts": []}]
    )
    found, heldout, quarantine, count = run_source(tmp_path, card(tmp_path), max_samples=9)
    assert (count.rows_in, len(found) + len(quarantine), len(heldout)) == (9, 9, 5)


def test_a_card_that_does_not_fit_says_which_columns_there_are(tmp_path):
    write(tmp_path, [{"prompt": "q"}])
    with pytest.raises(AerieError, match=r"no column \['question', 'answer'\] among \['prompt'\]"):
        samples(card(tmp_path))
    with pytest.raises(AerieError, match="no file"):
        samples(card(tmp_path, "data/*.pq"))
    first = hf_parquet.identity(card(tmp_path))
    write(tmp_path, [{"prompt": "r"}])
    assert hf_parquet.identity(card(tmp_path)) != first
