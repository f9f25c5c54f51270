"""Nodes and processes of a recipe's stages."""

from pathlib import Path

import pytest
import yaml

from data.errors import AerieError
from model.recipe import load_recipe
from model.training.run import _training_fingerprint

MINI = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"


@pytest.fixture
def recipe_with(tmp_path):
    def load(processes=1, **stage_1):
        document = yaml.safe_load(MINI.read_text())
        document["processes"] = processes
        for stage in document["stages"].values():
            stage["packs_per_step"] = 4
        document["stages"]["stage_1"] |= stage_1
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return load_recipe(str(path))

    return load


def test_a_stage_has_one_node_unless_it_says_otherwise(recipe_with):
    assert [stage.nodes for stage in recipe_with(nodes=2).stages.values()] == [2, 1, 1]


@pytest.mark.parametrize(("processes", "nodes", "fits"), [(2, 2, True), (1, 4, True), (2, 4, False), (1, 3, False)])
def test_every_process_of_every_node_gets_as_many_packs(recipe_with, processes, nodes, fits):
    if fits:
        assert recipe_with(processes, nodes=nodes).stages["stage_1"].nodes == nodes
        return
    message = rf"packs_per_step must be a multiple of nodes \({nodes}\) × processes \({processes}\)"
    with pytest.raises(AerieError, match=message):
        recipe_with(processes, nodes=nodes)


@pytest.mark.parametrize("nodes", [0, -1, 10_000, "two"])
def test_an_impossible_number_of_nodes_is_refused(recipe_with, nodes):
    with pytest.raises(AerieError, match=r"stages\.stage_1\.nodes"):
        recipe_with(nodes=nodes)


def test_the_result_doesnt_depend_on_nodes(recipe_with):
    prints = {_training_fingerprint(recipe_with(nodes=nodes), "stage_1", {"packing": "p"}) for nodes in (1, 2, 4)}
    assert len(prints) == 1
    other = recipe_with(learning_rate=1e-5)
    assert _training_fingerprint(other, "stage_1", {"packing": "p"}) not in prints
