"""Side files: the bytes that a table at once would give, in bounded memory, on a disk and in a bucket."""

import hashlib

import pyarrow as pa
from raw_files import png

from data.images import image_ref
from data.registry.rows import Rejected
from data.registry.side_files import SideFile
from data.registry.sourcing import QUARANTINE_SCHEMA, parquet_bytes, quarantine_table
from data.schema import SAMPLE_SCHEMA, Turn, make_sample, samples_to_table


def sample(number):
    turns = (Turn(role="user", content=f"<image>{number}"), Turn(role="assistant", content="a" * number))
    image = (image_ref(png(number), f"{number}.png"),)
    return make_sample(source="s", category="science", images=image, conversations=turns, meta={"key": str(number)})


def test_spooled_rows_give_the_bytes_of_one_table(tmp_path):
    for count in (0, 1, 256, 700):
        rows = [sample(number) for number in range(count)]
        with SideFile(SAMPLE_SCHEMA, samples_to_table) as side:
            for row in rows:
                side.add(row)
            entry = side.attach(str(tmp_path), "heldout.parquet")
        payload = (tmp_path / "heldout.parquet").read_bytes()
        assert payload == parquet_bytes(samples_to_table(rows))
        assert entry == {"path": "heldout.parquet", "sha256": hashlib.sha256(payload).hexdigest()}
    assert [path.name for path in tmp_path.iterdir()] == ["heldout.parquet"]


def test_memory_stays_at_a_row_group(tmp_path):
    before = pa.total_allocated_bytes()
    rejected = (Rejected(split="train", key=f"{n}", reason="x", detail="y" * 1000) for n in range(5000))
    with SideFile(QUARANTINE_SCHEMA, lambda rows: quarantine_table(("s", row) for row in rows)) as side:
        most = 0
        for row in rejected:
            side.add(row)
            most = max(most, pa.total_allocated_bytes() - before)
        side.attach(str(tmp_path), "q.parquet")
    assert most < 2 << 20  # of 5 MB
    assert (tmp_path / "q.parquet").stat().st_size > 0


def test_a_source_that_breaks_leaves_no_side_file(tmp_path):
    try:
        with SideFile(SAMPLE_SCHEMA, samples_to_table) as side:
            side.add(sample(1))
            raise RuntimeError
    except RuntimeError:
        pass
    assert list(tmp_path.iterdir()) == []
