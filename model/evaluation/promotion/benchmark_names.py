"""Which names a recipe's limits of benchmarks may have."""

import difflib
from collections.abc import Iterable

from model.evaluation.benchmarks.cards import benchmark_cards
from model.evaluation.local_benchmarks import LOCAL_BENCHMARKS
from model.evaluation.promotion.benchmarks import line_name
from model.evaluation.rules.units import HALLUSION_PARTS


def check_names(names: Iterable[str]) -> None:
    """`ValueError` for a name that neither a benchmark nor a part of one has; it lists the nearest."""
    cards = benchmark_cards()
    parts = [
        line_name(card.name, part) for card in cards.values() if card.rule == "hallusion" for part in HALLUSION_PARTS
    ]
    known = [*LOCAL_BENCHMARKS, *cards, *parts]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
            raise ValueError(f"no benchmark {name!r}; the nearest names are {', '.join(near)}")
