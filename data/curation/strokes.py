"""Is there any text in the image that a question wants read? A cheap look at the strokes, without an OCR model.

The one measure that decodes pictures: it has its own switch (`data.filtering.measure_strokes`) and its own table, and
looks only at samples whose question asks for text.
"""

import re
from functools import partial

import numpy as np
import pyarrow as pa

from data.curation.measure_tables import Measured, commit_measures, measure_mark, write_measures
from data.curation.rules import READING
from data.files import join
from data.images import ImageProblemError, decode_image
from data.schema import Sample, table_to_samples
from data.shardwise import shard_table
from data.storage import Manifest, Shard, committed, shard_payload

VERSION = 2
FOLDER = "strokes"
COLUMN = "text_strokes"
LONGEST = 512  # pixels of the longer side that are looked at
SHORTEST = 128  # pixels of the longer side below which one letter may fill the picture, which looks like any shape
EDGE = 32  # difference of two neighbouring grey values, of 255, from which on it is an edge
CELL = 16  # pixels; a cell of text holds several strokes, each an edge up and an edge down
ACROSS, DOWN = 1.0, 0.3  # changes between up and down in a row and in a column of a cell of text, on average
SCHEMA = pa.schema([pa.field("sample_id", pa.string(), nullable=False), pa.field(COLUMN, pa.float32(), nullable=False)])
ASKS = re.compile(
    r"\b(?:what|which) (?:text|words?|letters?|numbers?) (?:is|are|appears?|can)\b|\bwhat (?:does|do) .{0,40}\bsay\b",
    re.I,
)


def asks_for_text(question: str) -> bool:
    """True for a question that can't be answered without reading."""
    return bool(READING.search(question) or ASKS.search(question))


def text_strokes(grey: np.ndarray) -> int:
    """Cells of an image, uint8 [H, W], that look like text: 0 says that there is none, many may also be a texture.

    Text crosses a line of pixels in strokes, so that the grey value goes up and down again within a few pixels, both
    along rows and along columns.
    """
    return int(((_turns(grey) >= ACROSS) & (_turns(grey.T).T >= DOWN)).sum())


def _turns(grey: np.ndarray) -> np.ndarray:
    """float [H / CELL, W / CELL]: how often a row of each cell goes up and down."""
    high, wide = (size // CELL * CELL for size in grey.shape)
    step = np.diff(grey[:high, :wide].astype(np.int16), axis=1, append=0)
    step[:, -1:] = 0
    signs = np.where(np.abs(step) >= EDGE, np.sign(step), 0).astype(np.int8)
    cells = signs.reshape(-1, CELL)
    at = np.where(cells != 0, np.arange(CELL), -1)
    before = np.maximum.accumulate(np.concatenate([np.full((len(cells), 1), -1), at[:, :-1]], axis=1), axis=1)
    earlier = np.where(before >= 0, np.take_along_axis(cells, np.maximum(before, 0), axis=1), 0)
    turns = ((cells * earlier) == -1).sum(axis=1)
    return turns.reshape(high // CELL, CELL, wide // CELL).mean(axis=1)


def sample_strokes(sample: Sample) -> float:
    """The most cells of text of any image of a sample; NaN where nothing asks for text or no image can tell."""
    asked = any(turn.role == "user" and asks_for_text(turn.content) for turn in sample.conversations)
    found = [np.nan]
    for image in sample.images if asked else ():
        if image.bytes is None:
            continue
        try:
            picture = decode_image(image.bytes).convert("L")
        except ImageProblemError:
            continue  # the validation step judges pictures
        if max(picture.size) < SHORTEST:
            return np.nan
        picture.thumbnail((LONGEST, LONGEST))
        found.append(text_strokes(np.asarray(picture)))
    return float(np.fmax.reduce(found))


def measure_strokes(gate_uri: str, gate: Manifest, out_uri: str, workers: int) -> Manifest:
    """The strokes as a table of its own in OUT/strokes, shard by shard beside the samples; decoded once."""
    folder, lineage = join(out_uri, FOLDER), {"gate": gate.sha256()}
    mark = measure_mark(FOLDER, VERSION, lineage)
    if (done := committed(folder, mark)) is not None:
        return done
    return commit_measures(folder, FOLDER, mark, gate_uri, gate, lineage, partial(strokes_shard, folder), workers)


def strokes_shard(out_uri: str, folder: str, shard: Shard) -> Measured:
    """Measure one shard, row group by row group: pictures are large."""
    table = shard_table(shard_payload(folder, shard, "gate"))
    values = [sample_strokes(sample) for batch in _batches(table) for sample in table_to_samples(batch)]
    made = pa.table([table["sample_id"].combine_chunks(), pa.array(values, pa.float32())], schema=SCHEMA)
    return write_measures(out_uri, FOLDER, shard, made, table["source"])


def _batches(table: pa.Table, rows: int = 256) -> list[pa.Table]:
    return [table.slice(start, rows) for start in range(0, table.num_rows, rows)]
