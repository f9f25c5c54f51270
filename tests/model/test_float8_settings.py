"""The switch for FP8 products: what it needs, said before training starts."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from data.errors import AerieError
from model.recipe import load_recipe
from model.training.float8 import use_float8
from model.training.run import _training_fingerprint

MINI = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"


@pytest.fixture
def recipe_with(tmp_path):
    def load(**stage_2):
        document = yaml.safe_load(MINI.read_text())
        document["stages"]["stage_2"] |= stage_2
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return load_recipe(str(path))

    return load


def test_it_is_off_unless_a_stage_says_otherwise(recipe_with):
    stages = recipe_with(float8="tensorwise", precision="bf16").stages
    assert [stage.float8 for stage in stages.values()] == ["off", "off", "tensorwise"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"float8": "tensorwise", "precision": "fp32"}, "needs precision: bf16"),
        ({"float8": "tensorwise", "precision": "bf16", "zero_stage": 3}, "needs zero_stage 2 or lower"),
        ({"float8": "e4m3"}, r"stages\.stage_2\.float8"),
    ],
)
def test_what_it_doesnt_go_with_is_refused(recipe_with, settings, message):
    with pytest.raises(AerieError, match=message):
        recipe_with(**settings)


def test_the_result_depends_on_it(recipe_with):
    prints = {
        _training_fingerprint(recipe_with(float8=kind, precision="bf16"), "stage_2", {"packing": "p"})
        for kind in ("off", "tensorwise")
    }
    assert len(prints) == 2


def test_a_machine_without_fp8_units_is_told_the_key(tiny_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AerieError, match="float8: rowwise needs a GPU with FP8 units, and there is none"):
        use_float8(tiny_model, "rowwise")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    with pytest.raises(AerieError, match=r"this A100 has 8\.0; set the stage's float8 to off"):
        use_float8(tiny_model, "rowwise")


def test_without_the_package_the_message_names_it(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.delitem(sys.modules, "torchao.float8", raising=False)
    with pytest.raises(AerieError, match="float8: tensorwise needs the package torchao"):
        use_float8(tiny_model, "tensorwise", emulate=True)
