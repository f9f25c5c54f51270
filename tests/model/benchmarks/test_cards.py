"""The cards: complete, strict, and true to the rules of the evaluation."""

import pytest
import yaml

from data.errors import AerieError
from data.settings.base import validated
from model.evaluation.benchmarks import cards
from model.evaluation.benchmarks.cards import BenchmarkCard, average_cards, benchmark_card, benchmark_cards

PAPER = [
    *("docvqa", "chartqa", "infovqa", "textvqa", "ocrbench", "mmstar", "realworldqa", "ai2d", "mmmu", "mmbench-v11"),
    *("mmvet", "hallusionbench", "mathvista"),
]


def document(name):
    path = next(cards.FOLDER.glob(f"*-{name}.yaml"))
    return yaml.safe_load(path.read_text())


def test_there_are_the_papers_benchmarks_in_its_order_and_two_averages():
    assert list(benchmark_cards()) == PAPER
    assert set(average_cards()["eagle2"].of) == set(PAPER)
    assert len(average_cards()["opencompass"].of) == 8


@pytest.mark.parametrize("name", PAPER)
def test_a_card_is_pinned_and_says_what_is_uncertain(name):
    card = benchmark_card(name)
    assert card.tsv.md5
    assert card.tsv.uri.endswith(f"/{card.tsv.files}")
    assert set(card.wordings) == {"direct", "vlmevalkit"}
    assert card.status == "unverified"
    assert card.split == card.paper_split or "answers only" in card.note
    assert (card.judge == "required") == (card.rule == "mmvet")


def test_the_rules_and_sizes_are_those_of_the_benchmarks():
    rules = {name: card.rule for name, card in benchmark_cards().items()}
    assert rules["docvqa"] == rules["infovqa"] == "anls"
    assert {rules[name] for name in ("mmstar", "realworldqa", "ai2d")} == {"choice"}
    known = {name: card.questions for name, card in benchmark_cards().items() if card.questions}
    assert len(known) == 12
    assert sum(known.values()) == 5349 + 2500 + 2801 + 5000 + 1000 + 1500 + 765 + 3088 + 900 + 218 + 951 + 1000
    assert [name for name, card in benchmark_cards().items() if card.maximum == 1000] == ["ocrbench"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rule": "bleu"}, "rule"),
        ({"licens": "MIT"}, "licens"),
        ({"category": "charts"}, "unknown category"),
        ({"wordings": {"vlmevalkit": {}}}, "needs 'direct'"),
        ({"wordings": {"direct": {"open": "{prompt}"}}}, "unknown fields"),
        ({"wordings": {"direct": {"open": "{question"}}}, "brace"),
        ({"judge": "required"}, "judge_model"),
        ({"status": "verified", "questions": None}, "verified"),
        ({"tsv": {"uri": "ftp://x/y.tsv", "files": "y.tsv"}}, "uri must start"),
        ({"tsv": {"uri": "https://x/y.tsv", "files": "y.tsv", "md5": "123"}}, "md5"),
    ],
)
def test_a_wrong_card_is_refused_by_its_key(change, word):
    with pytest.raises(AerieError, match=word):
        validated(BenchmarkCard, document("docvqa") | change, "card x")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AerieError, match="hallusionbench"):
        benchmark_card("halusionbench")


def test_an_average_counts_only_what_has_a_card(tmp_path, monkeypatch):
    (tmp_path / "averages").mkdir()
    (tmp_path / "averages" / "01-x.yaml").write_text(
        yaml.safe_dump({"name": "x", "title": "X", "description": "A mean of nothing.", "of": ["mme"]})
    )
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    with pytest.raises(AerieError, match="mme"):
        average_cards.__wrapped__()
