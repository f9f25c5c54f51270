import json

import pytest

from data.errors import AerieError
from data.registry.cards import SourceCard, load_cards
from data.registry.catalogue import Choice, chosen, document, missing, stage_names, totals
from data.schema import CATEGORIES

CARDS = load_cards()


def card(**changes):
    values = {"name": "x", "licence": "unknown", "category": "science", "adapter": "jsonl", "split_key": "image"}
    return SourceCard(**{**values, "description": "A source for a test.", **changes})


def test_all_cards_come_by_category_in_the_papers_order_then_by_name():
    found = chosen(CARDS, Choice())
    assert len(found) == len(CARDS)
    assert found == sorted(found, key=lambda c: (CATEGORIES.index(c.category), c.name))


@pytest.mark.parametrize(
    ("choice", "holds"),
    [
        ({"category": "science"}, lambda c: c.category == "science"),
        ({"status": "internal"}, lambda c: c.status == "internal"),
        ({"stage": "stage_1"}, lambda c: "stage_1" in c.stages or not c.stages),
        ({"category": "text_only", "status": "verified"}, lambda c: c.name == "chatterbot"),
    ],
)
def test_a_choice_takes_what_it_names_and_nothing_else(choice, holds):
    names = [c.name for c in chosen(CARDS, Choice(**choice))]
    assert names
    assert sorted(names) == sorted(c.name for c in CARDS.values() if holds(c))


@pytest.mark.parametrize("key", ["category", "stage", "status"])
def test_an_unknown_word_lists_the_known(key):
    with pytest.raises(AerieError, match=rf"unknown {key} 'poetry'; choose from \w+"):
        Choice(**{key: "poetry"})


def test_totals_add_up():
    cards = [card(size=10), card(uri="pypi://p", licence="MIT", version="1", status="verified"), card(size=5)]
    found = totals(cards)
    assert (found.cards, found.samples, found.without_size) == (3, 15, 1)
    assert (found.without_place, found.without_licence) == (2, 2)
    assert found.statuses == {"verified": 1, "unverified": 2, "internal": 0}
    assert sum(totals(CARDS.values()).statuses.values()) == len(CARDS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["`uri`", "`revision` (a commit) or `version`", "`licence`", "clean first rows"]),
        (
            {"uri": "hf://datasets/a/b", "licence": "MIT", "version": "2"},
            ["`revision`: the commit", "clean first rows"],
        ),
        ({"uri": "hf://datasets/a/b", "licence": "MIT", "revision": "abcdef0"}, ["clean first rows"]),
        ({"uri": "pypi://p", "licence": "MIT", "version": "1"}, ["clean first rows"]),
        ({"status": "internal", "licence": "MIT", "version": "1"}, ["authors keep this one", "clean first rows"]),
    ],
)
def test_what_a_card_lacks_is_said_in_steps(changes, words):
    steps = missing(card(**changes))
    assert len(steps) == len(words)
    assert all(word in step for word, step in zip(words, steps, strict=True))


def test_a_verified_card_lacks_nothing():
    assert missing(CARDS["easy-vqa"]) == []


def test_stages_are_short_and_quotas_are_told_when_asked():
    assert stage_names(card()) == "–"
    both = card(stages={"stage_1_5": None, "stage_2": 20000})
    assert stage_names(both) == "1.5, 2"
    assert stage_names(both, quotas=True) == "1.5, 2 (20,000)"


def test_a_document_is_json_with_null_for_the_unknown_and_makes_the_card_again():
    for one in (*list(CARDS.values())[:20], card()):
        values = json.loads(json.dumps(document(one)))
        assert values["uri"] is None or values["uri"] == one.uri
        assert SourceCard(**values) == one
