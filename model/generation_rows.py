"""What the answers of some prompts say so far, and which of them go on."""

from collections.abc import Iterable, Sequence


class Rows:
    """A row is over before its first end token, or when it has as many tokens as it may have.

    `max_new_tokens` is one number for all rows or one for each.
    """

    def __init__(self, count: int, end_ids: Sequence[int], max_new_tokens: int | Sequence[int]) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.limits = [max_new_tokens] * count if isinstance(max_new_tokens, int) else list(max_new_tokens)
        if len(self.limits) != count:
            raise ValueError(f"{count} rows, limits for {len(self.limits)}")
        self.going = {row for row, limit in enumerate(self.limits) if limit > 0}
        self._ends = frozenset(end_ids)

    def take(self, tokens: Iterable[tuple[int, int]]) -> None:
        """(row, its next token) of some rows; those that are over take none."""
        for row, token in tokens:
            if row not in self.going:
                continue
            if token in self._ends:
                self.going.remove(row)
                continue
            self.tokens[row].append(token)
            if not self.left(row):
                self.going.remove(row)

    def left(self, row: int) -> int:
        """Tokens that a row may still have."""
        return self.limits[row] - len(self.tokens[row])
