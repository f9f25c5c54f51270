"""A benchmark's questions from a folder of downloaded data, and the identity of the card that words them."""

from collections.abc import Sequence

from data.errors import AerieError
from data.storage import fingerprint
from model.evaluation.benchmarks.cards import WORDING, BenchmarkCard, benchmark_card, benchmark_cards
from model.evaluation.benchmarks.places import located
from model.evaluation.benchmarks.reading import questions
from model.evaluation.questions import Question

ASKED = ("name", "split", "rule", "rule_without_options", "interleaved")  # what of a card a question depends on


def benchmark_questions(name: str, data: str, wording: str = WORDING) -> list[Question]:
    """All questions of a benchmark; `AerieError` says what is missing or damaged."""
    card = benchmark_card(name)
    if not data:
        raise AerieError(f"the questions of {name!r} are read from its data: give its folder by --data FOLDER")
    place = located(card, data)
    if place is None:
        raise AerieError(f"benchmark {name!r} has no data below {data}: {lacking(card)}")
    return list(questions(card, place, wording))


def lacking(card: BenchmarkCard) -> str:
    """What to fetch where a benchmark's data aren't there."""
    return f"put {card.tsv.files} there, from {card.tsv.uri}"


def chosen(names: Sequence[str]) -> list[BenchmarkCard]:
    """The named benchmarks, each once; all without a name. `AerieError` for an unknown one."""
    return [benchmark_card(name) for name in dict.fromkeys(names)] if names else list(benchmark_cards().values())


def card_identity(card: BenchmarkCard, wording: str) -> str:
    """Hash of what a card does to its questions; notes and addresses may change."""
    document = card.model_dump(mode="json")
    kept = {name: document[name] for name in ASKED}
    return fingerprint(**kept, wording=document["wordings"][wording])
