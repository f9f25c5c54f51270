"""What an epoch shows of a sample, and where."""

from dataclasses import replace

import pytest

from data.schema import Turn, make_sample
from model.config import ModelSettings
from model.inputs.encode import SampleProblemError
from model.inputs.tokens import ChatTokenizer, train_bpe
from model.inputs.uses import draw_turns, uses_of
from model.recipe import StageSettings

SEEDS = {"seed": 7, "stage": "stage_2", "epoch": 0, "sample_id": "abc"}


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(train_bpe(["question", "answer"], 300))


def talk(pairs: int, length: int = 8):
    turns = [Turn(role=role, content=role[0] * length) for _ in range(pairs) for role in ("user", "assistant")]
    return make_sample(source="here", category="text_only", images=(), conversations=tuple(turns), meta={})


def stage(**values) -> StageSettings:
    return StageSettings(learning_rate=1e-3, **{"capacity": 256, **values})


def test_all_turns_stay_in_order():
    assert draw_turns(4, None, **SEEDS) == (0, 1, 2, 3)


def test_draws_are_seeded_by_seed_stage_epoch_and_sample():
    draw = draw_turns(10, 3, **SEEDS)
    assert draw == draw_turns(10, 3, **SEEDS)
    assert len(set(draw)) == 3
    for key, value in {"seed": 8, "stage": "stage_1", "epoch": 1, "sample_id": "abd"}.items():
        assert draw_turns(10, 3, **{**SEEDS, key: value}) != draw
    assert sorted(draw_turns(2, 3, **SEEDS)) == [0, 1]


def test_every_turn_is_drawn_over_the_epochs():
    drawn = {turn for epoch in range(40) for turn in draw_turns(10, 3, **{**SEEDS, "epoch": epoch})}
    assert drawn == set(range(10))


def test_a_sample_has_one_use_an_epoch(tokenizer):
    settings = stage(epochs=3, turns_per_sample=2)
    uses = uses_of(
        talk(5), (2, 9), tokenizer=tokenizer, model=ModelSettings(), settings=settings, stage="stage_2", seed=7
    )
    assert len(uses) == 3
    assert len({use.turns for use in uses}) > 1
    assert {(use.shard, use.row, len(use.turns)) for use in uses} == {(2, 9, 2)}


def test_a_draw_shows_added_pairs_first_and_replaced_ones_like_any_other(tokenizer):
    """An entry of `augmentation` whose mode is `replace` added no pair."""
    common = {"tokenizer": tokenizer, "model": ModelSettings(), "stage": "stage_2", "seed": 7}
    settings = stage(epochs=8, turns_per_sample=1)
    for entries, always in (([{"rule": "r"}], True), ([{"kind": "cot", "mode": "add_turn"}], True), ([], False)):
        entries = [*entries, {"kind": "cot", "mode": "replace"}]
        sample = replace(talk(5), meta={"augmentation": entries})
        drawn = {use.turns for use in uses_of(sample, (0, 0), settings=settings, **common)}
        assert (drawn == {(4,)}) == always


@pytest.mark.parametrize(("settings", "reason"), [(stage(capacity=64), "too_long")])
def test_a_sample_without_room_has_a_reason(tokenizer, settings, reason):
    with pytest.raises(SampleProblemError) as caught:
        uses_of(
            talk(5, 60), (0, 0), tokenizer=tokenizer, model=ModelSettings(), settings=settings, stage="stage_2", seed=7
        )
    assert caught.value.reason == reason


def test_turns_that_rules_added_are_always_drawn_and_come_first():
    for epoch in range(20):
        drawn = draw_turns(10, 4, added=2, seed=1, stage="stage_2", epoch=epoch, sample_id="s")
        assert drawn[:2] == (8, 9)
        assert len(set(drawn)) == 4
    assert draw_turns(10, 1, added=2, seed=1, stage="stage_2", epoch=0, sample_id="s") == (8,)
    assert draw_turns(3, None, added=1, seed=1, stage="stage_2", epoch=0, sample_id="s") == (0, 1, 2)
