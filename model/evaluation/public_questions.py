"""A public benchmark's questions a few at a time: its pictures together may be larger than memory."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.errors import AerieError
from data.registry.rows import seeded_rank
from model.evaluation.benchmarks.cards import BenchmarkCard
from model.evaluation.benchmarks.reading import questions
from model.evaluation.questions import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`asked` are the ids of the questions to ask, in the files' order; `of` how many questions the files hold."""

    asked: tuple[str, ...]
    of: int


def listing(card: BenchmarkCard, place: str, most: int | None = None, seed: int = 0) -> Listing:
    """Read every row once, holding one at a time, and choose at most `most` (`_kept`); `AerieError` names a bad row."""
    units = {question.question_id: _unit(question) for question in questions(card, place)}
    return Listing(asked=_kept(card.name, units, most, seed), of=len(units))


class QuestionStream:
    """The questions once more, from the first row to the last."""

    def __init__(self, card: BenchmarkCard, place: str) -> None:
        self._place, self._rest = place, questions(card, place)

    def take(self, ids: Sequence[str]) -> list[Question]:
        """These questions, which stand behind all that were taken before; what lies between is skipped."""
        wanted, found = set(ids), list[Question]()
        for question in self._rest:
            if question.question_id in wanted:
                found.append(question)
            if len(found) == len(ids):
                return found
        raise AerieError(f"{self._place} was changed while its questions were asked; run the evaluation again")


def _unit(question: Question) -> str:
    """What a question must be asked with for every rule set to score it: rotated copies, figures of one set."""
    facts = question.facts
    if question.rule == "circular":
        return str(facts["group"])
    if question.rule == "hallusion":
        return json.dumps([str(facts.get("subcategory") or facts["category"]), str(facts["set_id"])])
    return question.question_id


def _kept(name: str, units: Mapping[str, str], most: int | None, seed: int) -> tuple[str, ...]:
    """Whole units by seeded rank while they fit, at least one."""
    if most is None or len(units) <= most:
        return tuple(units)
    sizes, kept, count = Counter(units.values()), set[str](), 0
    for unit in sorted(sizes, key=lambda unit: seeded_rank(seed, "public", name, unit)):
        if not kept or count + sizes[unit] <= most:
            kept.add(unit)
            count += sizes[unit]
    return tuple(question_id for question_id, unit in units.items() if unit in kept)
