"""The selected rows as shards: each shard that comes in goes out with its marks, by worker processes."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.curation.selection_marks import marked, stage_lists
from data.expectations.selected import SelectedFacts
from data.progress import Progress
from data.shardwise import WORKERS, map_shards, shard_bytes, shard_table, write_shard
from data.storage import Manifest, Shard, shard_payload

FEW_ROWS = 20_000  # are done before worker processes have started


def write_marked(
    filter_uri: str, filtered: Manifest, out_uri: str, marks: tuple[np.ndarray, ...]
) -> tuple[tuple[Shard, ...], SelectedFacts]:
    """The rows with their marks (stage 1, stage 2, cluster), a shard for each that came in; and the border's facts."""
    shards, facts, progress = [], SelectedFacts(), Progress("selection", filtered.rows)
    with tempfile.TemporaryDirectory(prefix="aerie-marks-") as folder:
        for number, mark in enumerate(marks):
            np.save(Path(folder, f"{number}.npy"), mark)
        starts = np.cumsum([0, *(shard.rows for shard in filtered.shards)]).tolist()
        marker = Marker(out_uri=out_uri, marks=folder, starts=dict(zip(_paths(filtered), starts, strict=False)))
        workers = WORKERS if filtered.rows > FEW_ROWS else 1
        for shard, seen in map_shards(marker, filter_uri, filtered, workers):
            shards.append(shard)
            facts.merge(seen)
            progress.update(shard.rows)
    progress.close()
    return tuple(shards), facts


def _paths(manifest: Manifest) -> list[str]:
    return [shard.path for shard in manifest.shards]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a worker needs beside the shard: where it goes, the folder of the marks, each shard's first row."""

    out_uri: str
    marks: str
    starts: dict[str, int]

    def __call__(self, folder: str, shard: Shard) -> tuple[Shard, SelectedFacts]:
        """Write one shard with its marks; what the border sees of it."""
        rows = slice(self.starts[shard.path], self.starts[shard.path] + shard.rows)
        part = [np.load(Path(self.marks, f"{number}.npy"), mmap_mode="r")[rows] for number in range(3)]
        table = shard_table(shard_payload(folder, shard, "filtering"))
        written = write_shard(self.out_uri, shard.path, shard_bytes(marked(table, *part)), shard.rows)
        facts, names = SelectedFacts(), table.select(["sample_id", "source", "category"])
        facts.expect(names)
        facts.see(names.append_column("stages", stage_lists(*part[:2])).append_column("cluster", _labels(part[2])))
        return written, facts


def _labels(cluster: np.ndarray) -> pa.Array:
    """int32 [N], null without a cluster."""
    return pa.array(cluster, mask=cluster < 0)
