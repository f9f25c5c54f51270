"""Small benchmark files in the public formats, with real pictures."""

import base64
import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from model.evaluation.benchmarks.cards import benchmark_card
from model.evaluation.benchmarks.reading import questions


def picture(shade=0, size=(20, 10)):
    """A small PNG's bytes; each shade gives others."""
    sink = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256, 40)).save(sink, "PNG")
    return sink.getvalue()


def coded(shade=0):
    """A picture as a TSV cell holds it."""
    return base64.b64encode(picture(shade)).decode()


@pytest.fixture
def tsv(tmp_path):
    """A function: (card name, records, columns) -> the path of a TSV named as the card's."""

    def write(name, *records, columns=None):
        path = tmp_path / benchmark_card(name).tsv.files
        with path.open("w", newline="", encoding="utf-8") as stream:
            columns = columns or list(dict.fromkeys(key for record in records for key in record))
            writer = csv.DictWriter(stream, columns, delimiter="\t", restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(records)
        return path

    return write


@pytest.fixture
def parquet(tmp_path):
    """A function: (card name, file below NAME/, rows) -> the folder that holds it."""

    def write(name, file, *rows, images=("image",)):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {key: {"bytes": value, "path": None} if key in images and value else value for key, value in row.items()}
            for row in rows
        ]
        pq.write_table(pa.Table.from_pylist(rows), path)
        return tmp_path / name

    return write


@pytest.fixture
def asked():
    """A function: (card name, path) -> all questions."""
    return lambda name, path, **given: list(questions(benchmark_card(name), path, **given))
