"""The recipes that ship: what they name exists, and the big ones follow the paper."""

from pathlib import Path

import pytest
import yaml

from data.registry.cards import load_cards
from data.schema import CATEGORIES
from model.presets import preset
from model.recipe import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "pipelines/recipes"
EAGLES = {"eagle2-1b": 4e-5, "eagle2-9b": 2e-5}  # name: learning rate once everything trains


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_source_has_a_card_with_a_place(path):
    recipe, cards = load_recipe(str(path)), load_cards()
    assert recipe.name == path.stem
    names = [use.name for use in recipe.data.sources]
    assert [name for name in names if name not in cards or not cards[name].readable] == []
    assert set(recipe.data.selection.categories) <= {cards[name].category for name in names} <= set(CATEGORIES)


@pytest.mark.parametrize(("name", "rate"), EAGLES.items())
def test_the_stages_are_the_papers(name, rate):
    recipe = load_recipe(str(RECIPES / f"{name}.yaml"))
    stages = list(recipe.stages.values())
    assert stages[0].trainable == ("connector",)
    assert {len(stage.trainable) for stage in stages[1:]} == {3}
    assert [stage.capacity for stage in stages] == [4096, 8192, 16384]
    assert [stage.packs_per_step for stage in stages] == [1024, 1024, 256]
    assert [stage.learning_rate for stage in stages] == [2e-4, rate, rate]
    assert [stage.nodes * recipe.processes for stage in stages] == [128, 256, 256]
    assert {(stage.loss_reduction, stage.packing, stage.precision) for stage in stages} == {
        ("sqrt", "balanced", "bf16")
    }


@pytest.mark.parametrize("name", EAGLES)
def test_the_network_is_the_preset_and_every_pretrained_part_starts_from_somewhere(name):
    model = load_recipe(str(RECIPES / f"{name}.yaml")).model
    own = {"tokenizer": model.tokenizer, "pretrained": model.pretrained}
    assert model == preset(name).model_copy(update=own)
    assert model.tokenizer.path is not None
    assert (model.pretrained.convnext is None) == (model.convnext is None)
    assert None not in (model.pretrained.siglip, model.pretrained.language)


def test_both_sizes_train_on_all_the_papers_sources_that_can_be_read():
    one, nine = (yaml.safe_load((RECIPES / f"{name}.yaml").read_text())["data"] for name in EAGLES)
    assert one == nine
    known = {card.name for card in load_cards().values() if card.paper_name and card.readable}
    assert {source["name"] for source in one["sources"]} == known
