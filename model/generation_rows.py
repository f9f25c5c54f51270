"""What the rows of a batch have said so far, and which of them go on."""

from collections.abc import Sequence


class Rows:
    """A row is over before its first end token, or when it has as many tokens as it may have.

    `max_new_tokens` is one number for all rows or one for each.
    """

    def __init__(self, count: int, end_ids: Sequence[int], max_new_tokens: int | Sequence[int]) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.limits = [max_new_tokens] * count if isinstance(max_new_tokens, int) else list(max_new_tokens)
        if len(self.limits) != count:
            raise ValueError(f"{count} rows, limits for {len(self.limits)}")
        self.most = max(self.limits, default=0)
        self.going = {row for row, limit in enumerate(self.limits) if limit > 0}
        self._ends = frozenset(end_ids)

    def take(self, tokens: Sequence[int]) -> None:
        """The next token of each row, also of those that are over."""
        for row in tuple(self.going):
            if tokens[row] in self._ends:
                self.going.remove(row)
                continue
            self.tokens[row].append(tokens[row])
            if len(self.tokens[row]) == self.limits[row]:
                self.going.remove(row)
