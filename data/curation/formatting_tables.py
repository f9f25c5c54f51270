"""Formatting by columns: only the text is touched, images and measures pass as they are.

One Parquet shard in, one out, whatever stands beside it: shards can be formatted in any order and number of processes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.format_clusters import ClusterKey, bounded, own_instruction, without_rare
from data.curation.formatting_pairs import Pair, PairFormatter
from data.curation.formatting_tasks import declared_tasks
from data.errors import AerieError
from data.schema import SAMPLE_SCHEMA
from data.settings.formatting import FormattingSettings
from data.shardwise import readable_by_row, shard_table, write_shard
from data.storage import Shard, shard_payload

EXAMPLES = 3
SNIPPET_CHARS = 300
Example = dict[str, str]


@dataclass(slots=True)
class Formatted:
    """What formatting did to some rows.

    rows: rows by source; changed: pairs by kind of change; clusters: pairs by `ClusterKey`; examples: up to `EXAMPLES`
    of each kind, from different samples.
    """

    rows: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    clusters: Counter[ClusterKey] = field(default_factory=Counter)
    examples: defaultdict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: "Formatted") -> None:
        """Take up what was done to the rows that follow."""
        self.rows.update(other.rows)
        self.changed.update(other.changed)
        self.clusters.update(other.clusters)
        self.clusters = bounded(self.clusters)
        for kind, examples in other.examples.items():
            for example in examples:
                self.show(kind, example)

    def show(self, kind: str, example: Example) -> None:
        """Keep an example; not two of one kind from one conversation: its questions look alike."""
        shown = self.examples[kind]
        if len(shown) < EXAMPLES and all(other["sample_id"] != example["sample_id"] for other in shown):
            shown.append(example)


def format_table(table: pa.Table, settings: FormattingSettings) -> tuple[pa.Table, Formatted]:
    """The table with every pair in canonical form, and what was done.

    System turns, ids, images and meta stay. `AerieError` names a sample whose text or tasks are not whole.
    """
    turns = _Turns.of(table)
    ids, sources = table["sample_id"], _shared(table["source"])
    tasks = _tasks(table, turns, sources)
    contents, done, formatter = turns.contents, Formatted(Counter(sources)), PairFormatter(settings)
    changes: Counter[tuple[str, ...]] = Counter()
    names: dict[tuple[str, str], str] = {}
    for answer_at, row, task in zip(turns.answers.tolist(), turns.rows.tolist(), tasks, strict=True):
        question, answer = contents[answer_at - 1], contents[answer_at]
        pair = formatter(task, question, answer)
        contents[answer_at - 1], contents[answer_at] = pair.question, pair.answer
        own = "" if pair.instruction or pair.question[-1:] == "?" else own_instruction(pair.question)
        shown_task = names.get((task, pair.family)) or names.setdefault((task, pair.family), formatter.name(task, pair))
        done.clusters[(sources[row], shown_task, pair.family, pair.instruction, own, pair.shape)] += 1
        if pair.kinds:
            changes[pair.kinds] += 1
            for kind in pair.kinds:
                if len(done.examples[kind]) < EXAMPLES:
                    done.show(kind, _example(str(ids[row]), sources[row], kind, (question, answer), pair))
    for kinds, pairs in changes.items():
        done.changed.update(dict.fromkeys(kinds, pairs))
    done.clusters = without_rare(done.clusters)
    return table.set_column(table.schema.get_field_index("conversations"), *turns.column(contents)), done


@dataclass(slots=True)
class _Turns:
    """The turns of a table, flat. `answers` are the turns that answer the turn before, `rows` their rows."""

    lists: pa.ListArray
    roles: pa.Array
    contents: list[str]
    answers: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    per_row: npt.NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table) -> "_Turns":
        lists = table["conversations"].combine_chunks()
        lists = pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists
        flat = lists.flatten()
        roles, contents = pc.struct_field(flat, "role"), pc.struct_field(flat, "content")
        if lists.null_count or roles.null_count or contents.null_count:
            raise AerieError(_where_null(table))
        row_of = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
        assistant, user = (_mask(roles, name) for name in ("assistant", "user"))
        follows = np.zeros(len(roles), dtype=bool)
        follows[1:] = user[:-1] & (row_of[1:] == row_of[:-1])
        answers = np.flatnonzero(assistant & follows)
        per_row = np.bincount(row_of[assistant], minlength=len(lists))
        before = np.cumsum(per_row) - per_row  # assistant turns in earlier rows
        ordinals = (np.cumsum(assistant) - 1)[answers] - before[row_of[answers]]
        return cls(lists, roles, contents.to_pylist(), answers, row_of[answers], ordinals, per_row)

    def column(self, contents: list[str]) -> tuple[pa.Field, pa.Array]:
        """The conversations column with other contents."""
        names = SAMPLE_SCHEMA.field("conversations")
        struct = pa.StructArray.from_arrays(
            [self.roles, pa.array(contents, pa.string())], fields=list(names.type.value_type)
        )
        lengths = pc.list_value_length(self.lists).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return names, pa.ListArray.from_arrays(pa.array(offsets), struct, type=names.type)


def _shared(names: pa.ChunkedArray) -> list[str]:
    """A column of few values as Python texts that are made (and hashed) once each."""
    coded = pc.dictionary_encode(names).combine_chunks()
    coded = coded if isinstance(coded, pa.DictionaryArray) else pa.concat_arrays(coded.chunks)
    values = coded.dictionary.to_pylist()
    return [values[code] for code in coded.indices.to_pylist()]


def _mask(roles: pa.Array, name: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(roles, name).to_numpy(zero_copy_only=False), dtype=bool)


def _where_null(table: pa.Table) -> str:
    for sample_id, turns in zip(table["sample_id"].to_pylist(), table["conversations"].to_pylist(), strict=True):
        if turns is None or any(turn is None or None in turn.values() for turn in turns):
            return f"sample {sample_id}: a turn without role or content; correct the source's adapter or rows"
    return "a turn without role or content"


def _tasks(table: pa.Table, turns: _Turns, sources: list[str]) -> list[str]:
    """The task of each answer in `turns.answers`."""
    declared = declared_tasks(table["meta"].combine_chunks())
    for row, (tasks, answers) in enumerate(zip(declared, turns.per_row.tolist(), strict=True)):
        if isinstance(tasks, list) and len(tasks) != answers:
            raise AerieError(
                f"sample {table['sample_id'][row]} of {sources[row]!r}: meta.tasks names {len(tasks)} tasks for "
                f"{answers} answers; correct the source's adapter or rows"
            )
    pairs = zip(turns.rows.tolist(), turns.ordinals.tolist(), strict=True)
    return [tasks if isinstance(tasks := declared[row], str) else tasks[ordinal] for row, ordinal in pairs]


def _example(sample_id: str, source: str, kind: str, before: tuple[str, str], after: Pair) -> Example:
    return {
        "sample_id": sample_id,
        "source": source,
        "kind": kind,
        "before": _snippet(*before),
        "after": _snippet(after.question, after.answer),
    }


def _snippet(question: str, answer: str) -> str:
    text = f"user: {question}\nassistant: {answer}"
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"


def format_shard(
    folder: str, shard: Shard, *, step: str, out_uri: str, settings: FormattingSettings
) -> tuple[Shard, Formatted]:
    """Format one shard of a step into a file of the same name."""
    table = shard_table(shard_payload(folder, shard, step), SAMPLE_SCHEMA.names)
    formatted, done = format_table(table, settings)
    return write_shard(out_uri, shard.path, readable_by_row(formatted.cast(SAMPLE_SCHEMA)), formatted.num_rows), done


def merged(parts: Iterable[Formatted]) -> Formatted:
    """What was done to all parts, in their order."""
    whole = Formatted()
    for part in parts:
        whole.add(part)
    return whole


def given_formats(clusters: Counter[ClusterKey]) -> dict[str, dict[str, int]]:
    """Task to the instructions given for it, with the number of pairs."""
    formats: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (_, task, _, instruction, _, _), pairs in clusters.items():
        formats[task][instruction] += pairs
    return {task: dict(sorted(found.items())) for task, found in sorted(formats.items())}


def report_of(done: Formatted) -> dict[str, Any]:
    """JSON: counts by kind, the formats of each task, examples before and after."""
    return {
        "changed": dict(sorted(done.changed.items())),
        "formats": given_formats(done.clusters),
        "examples": [example for kind in sorted(done.examples) for example in done.examples[kind]],
    }
