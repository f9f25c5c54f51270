"""All turns of a shard as flat columns, so that a measure is a few vectorised calls and not a loop over rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.talk import Talk

COLUMNS = ("sample_id", "source", "category", "images.list.element.width", "conversations", "meta")
SYSTEM, USER, ASSISTANT, OTHER = 0, 1, 2, 3
ROLES = pa.array(["system", "user", "assistant"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """A shard of R rows with T turns, of which A are answers.

    texts: string [T]; names: roles as text [T]; role: int8 [T] (`SYSTEM`, ...); first: int64 [R + 1], where a row's
    turns begin; row: int64 [T]; answer: int64 [A], the turns that are answers; question: int64 [A], the turn that each
    answers, -1 without one; images: int64 [R]; meta: string [R], JSON.
    """

    texts: pa.StringArray
    names: pa.StringArray
    role: np.ndarray
    first: np.ndarray
    row: np.ndarray
    answer: np.ndarray
    question: np.ndarray
    images: np.ndarray
    meta: pa.StringArray

    @property
    def rows(self) -> int:
        """R."""
        return len(self.first) - 1

    def count(self, turns: np.ndarray) -> np.ndarray:
        """How many of the given turns each row has, int64 [R]."""
        return np.bincount(self.row[turns], minlength=self.rows)

    def has(self, turns: np.ndarray) -> np.ndarray:
        """Which rows have one of the given turns, bool [R]."""
        marked = np.zeros(self.rows, np.bool_)
        marked[self.row[turns]] = True
        return marked

    def talks(self, rows: np.ndarray) -> dict[int, Talk]:
        """A few rows as Python objects."""
        turns = np.concatenate([np.arange(self.first[row], self.first[row + 1]) for row in rows]) if len(rows) else rows
        names, texts = iter(self.names.take(turns).to_pylist()), iter(self.texts.take(turns).to_pylist())
        metas = self.meta.take(rows).to_pylist()
        talks = {}
        for row, meta in zip(rows.tolist(), metas, strict=True):
            count = int(self.first[row + 1] - self.first[row])
            talks[row] = Talk(
                roles=tuple(next(names) for _ in range(count)),
                texts=tuple(next(texts) for _ in range(count)),
                images=int(self.images[row]),
                meta=meta,
            )
        return talks


def _one(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    return chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks


def lengths(column: pa.ChunkedArray) -> np.ndarray:
    """Entries of each list, int64; none for a null."""
    return pc.fill_null(pc.list_value_length(_one(column)), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def flatten(table: pa.Table) -> Turns:
    """The flat form of a table that has the `COLUMNS`."""
    counts = lengths(table["conversations"])
    first = np.concatenate([[0], np.cumsum(counts)])
    turns = _one(table["conversations"]).flatten()
    names = pc.fill_null(pc.struct_field(turns, "role"), "")
    role = pc.fill_null(pc.index_in(names, ROLES), OTHER).to_numpy(zero_copy_only=False).astype(np.int8)
    row = np.repeat(np.arange(len(counts)), counts)
    answer = np.flatnonzero(role == ASSISTANT)
    return Turns(
        texts=pc.fill_null(pc.struct_field(turns, "content"), ""),
        names=names,
        role=role,
        first=first,
        row=row,
        answer=answer,
        question=_questions(role, first[row], answer),
        images=lengths(table["images"]),
        meta=pc.fill_null(_one(table["meta"]), ""),
    )


def _questions(role: np.ndarray, start: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The latest user turn since the answer before, -1 without one."""
    if not len(answer):
        return answer
    turn = np.arange(len(role))
    asked = np.maximum.accumulate(np.where(role == USER, turn, -1))[answer]
    earlier = np.concatenate([[-1], answer[:-1]])
    return np.where((asked > earlier) & (asked >= start[answer]), asked, -1)
