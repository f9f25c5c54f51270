"""Small benchmark files in the public formats, with real pictures."""

import base64
import csv

import pyarrow as pa
import pyarrow.parquet as pq
from raw_files import png

from model.evaluation.benchmarks.cards import benchmark_card


def coded(shade=0):
    """A picture as a TSV cell holds it."""
    return base64.b64encode(png(shade)).decode()


def write_tsv(folder, name, *records):
    """A TSV named as the benchmark's card says; its columns are those of all records."""
    path = folder / benchmark_card(name).tsv.files
    with path.open("w", newline="", encoding="utf-8") as stream:
        columns = list(dict.fromkeys(key for record in records for key in record))
        writer = csv.DictWriter(stream, columns, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows(records)
    return path


def write_parquet(folder, name, file, *rows, images=("image",)):
    """A Parquet file below NAME/, its pictures as the Hub keeps them; the folder NAME."""
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{key: {"bytes": row[key], "path": None} for key in images if row.get(key)} for row in rows]
    pq.write_table(pa.Table.from_pylist([{**row, **shown} for row, shown in zip(rows, pictures, strict=True)]), path)
    return folder / name
