"""The rows behind the gate's vectors: their keys, read a shard at a time, and samples for the report's pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.curation.decontamination import Contamination, Side, find_contaminated
from data.curation.duplicate_search import Keys, turn_keys
from data.curation.embedding_benchmarks import FOLDER, BenchmarkSet
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.files import join
from data.schema import SAMPLE_SCHEMA
from data.settings.gate import GateSettings
from data.storage import Manifest, read_manifest

EXAMPLES = 8


def keys_of(tables: Iterable[pa.Table], embeddings: Embeddings, max_text_tokens: int, where: str) -> Keys:
    """`turn_keys` of all rows, a table at a time; `AerieError` when they aren't the embedded ones."""
    unseen: list[bytes] = []
    whole: list[bytes] = []
    for table in tables:
        at, stop = len(unseen), len(unseen) + table.num_rows
        if table["sample_id"].to_pylist() != embeddings.sample_ids[at:stop]:
            break
        part = turn_keys(table["conversations"].to_pylist(), embeddings.pictures[at:stop], max_text_tokens)
        unseen += part[0]
        whole += part[1]
    if len(unseen) != len(embeddings.sample_ids):
        raise AerieError(f"embeddings and samples of {where} differ in their rows; run the embedding again")
    return unseen, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmarks:
    """The benchmark sets with their vectors (None: nothing is held out) and the unseen parts of their rows."""

    sets: list[BenchmarkSet]
    embeddings: Embeddings | None
    unseen: list[bytes]

    @classmethod
    def read(
        cls, sets: list[BenchmarkSet], embedding_uri: str, embedded: Manifest, max_text_tokens: int
    ) -> "Benchmarks":
        """The table that the embedding step made of these sets."""
        if not sets:
            return cls(sets=[], embeddings=None, unseen=[])
        folder = join(embedding_uri, FOLDER)
        manifest = read_manifest(folder) if FOLDER in embedded.attachments else None
        if manifest is None or manifest.lineage != {found.name: found.identity for found in sets}:
            raise AerieError(f"the benchmark sets differ from those that {embedding_uri} embedded; embed again")
        if manifest.sha256() != embedded.attachments[FOLDER]["sha256"]:
            raise AerieError(f"{folder} differs from what {embedding_uri} committed; run the embedding again")
        if not manifest.rows:
            return cls(sets=sets, embeddings=None, unseen=[])
        embeddings = read_embeddings(folder, manifest)
        tables = (table for found in sets for table in found.tables())
        return cls(sets=sets, embeddings=embeddings, unseen=keys_of(tables, embeddings, max_text_tokens, folder)[0])

    def contaminated(
        self, training: Embeddings, unseen: list[bytes], rows: Any, settings: GateSettings
    ) -> list[Contamination]:
        """The training rows, out of `rows` (ascending), that resemble a benchmark row."""
        if self.embeddings is None:
            return []
        ours = Side(images=training.images, texts=training.texts, unseen=unseen).rows(rows)
        theirs = Side(images=self.embeddings.images, texts=self.embeddings.texts, unseen=self.unseen)
        found = find_contaminated(ours, theirs, settings)
        return [
            Contamination(
                row=int(rows[item.row]),
                benchmark_row=item.benchmark_row,
                image_similarity=item.image_similarity,
                text_similarity=item.text_similarity,
            )
            for item in found
        ]

    def report(self, training: Embeddings, found: list[Contamination], settings: GateSettings) -> dict[str, Any]:
        """Counts by source and by set, and pairs: the first few of each source and set."""
        examples: list[dict[str, Any]] = []
        counts: dict[str, dict[str, int]] = {}
        for item in found:
            assert self.embeddings is not None
            source, name = training.sources[item.row], self.embeddings.sources[item.benchmark_row]
            per_set = counts.setdefault(source, {})
            per_set[name] = per_set.get(name, 0) + 1
            if per_set[name] <= EXAMPLES // 2:
                examples.append(
                    {
                        "sample_id": training.sample_ids[item.row],
                        "source": source,
                        "benchmark": name,
                        "benchmark_id": self.embeddings.sample_ids[item.benchmark_row],
                        "image_similarity": item.image_similarity,
                        "text_similarity": item.text_similarity,
                    }
                )
        return {
            "rule": settings.decontaminate,
            "turns": settings.decontaminate_turns,
            "image_above": settings.decontaminate_image_above,
            "text_above": settings.decontaminate_text_above,
            "sets": self.sizes(),
            "count": len(found),
            "by_source": {source: dict(sorted(per_set.items())) for source, per_set in sorted(counts.items())},
            "examples": examples[:EXAMPLES],
        }

    def sizes(self) -> dict[str, int]:
        """Rows of each set."""
        rows = self.embeddings.sources if self.embeddings is not None else []
        return {found.name: rows.count(found.name) for found in self.sets}

    def samples(self, wanted: set[str]) -> pa.Table:
        """The samples with these ids."""
        return picked((table for found in self.sets for table in found.tables()) if wanted else (), wanted)


def picked(tables: Iterable[pa.Table], wanted: set[str]) -> pa.Table:
    """The rows of `SAMPLE_SCHEMA` with these ids, each id once."""
    ids = pa.array(sorted(wanted), pa.string())
    found = [table.filter(pc.is_in(table["sample_id"], ids)) for table in tables]
    table = pa.concat_tables([SAMPLE_SCHEMA.empty_table(), *found])
    firsts, seen = [], set[str]()
    for row, key in enumerate(table["sample_id"].to_pylist()):
        if key not in seen:
            firsts.append(row)
            seen.add(key)
    return table.take(pa.array(firsts, pa.int64()))
