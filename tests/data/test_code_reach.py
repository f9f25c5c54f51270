"""Which modules and which recipe keys a step's code reaches, on a small room of its own."""

import pytest
import yaml

from data.code_reach import CodeReach
from data.dvc_stages import stages_yaml

FILES = {
    "data/__init__.py": '"""The room."""\n',
    "data/steps.py": "from data.curation.cut import cut_samples\nfrom data.look import validate_samples\n"
    "from data.registry.fetch import source_samples\n",
    "data/look.py": "def validate_samples(recipe):\n    return recipe.data.rows_per_shard\n",
    "data/curation/__init__.py": '"""Described."""\nimport data.flags\n',
    "data/curation/cut.py": "import json\n\nfrom data import files\nfrom data.look import validate_samples\n\n"
    "def cut_samples(recipe):\n    from data.curation.knife import sharp\n    return recipe.data.filtering, sharp\n",
    "data/curation/knife.py": "from data.files import join as sharp\n\n"
    "def draw(recipe):\n    data = recipe.data\n    return data.selection, recipe.seed\n",
    "data/curation/other.py": "import data.curation.cut\n",
    "data/files.py": "import os\n\njoin = os.path.join\n",
    "data/flags.py": "",
    "data/registry/__init__.py": "",
    "data/registry/fetch.py": "from data import files\n\ndef source_samples(recipe):\n    return recipe.seed\n",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_modules_are_followed_through_functions_packages_and_both_kinds_of_import(root):
    reach = CodeReach(root)
    assert reach.home("cut_samples") == "data.curation.cut"
    modules = reach.modules(["data.curation.cut"])
    assert modules == [
        "data",
        "data.curation",
        "data.curation.cut",
        "data.curation.knife",
        "data.files",
        "data.flags",
        "data.look",
    ]
    assert reach.files(modules) == [
        "data/curation/__init__.py",
        "data/curation/cut.py",
        "data/curation/knife.py",
        "data/files.py",
        "data/flags.py",
        "data/look.py",
    ]


def test_keys_are_those_that_the_modules_read(root):
    keys = CodeReach(root).recipe_keys(["data.curation.cut", "data.curation.knife"], ["filtering", "selection", "gate"])
    assert keys == ["data.filtering", "data.selection", "seed"]


def test_a_stage_watches_only_keys_that_the_recipe_has(root, tmp_path):
    recipe = {"name": "t", "seed": 1, "data": {"sources": [{"name": "mine"}], "filtering": {"max_answer_chars": 9}}}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe))
    text = stages_yaml(root, str(path), "out", {"filtering": ("cut_samples", ("validation",))})
    stages = yaml.safe_load(text)["stages"]
    assert stages["filtering"]["params"] == [{str(path): ["data.filtering", "seed"]}]
    assert stages["filtering"]["deps"][-1] == "out/validation"
    assert {"data/curation/knife.py", "data/look.py", "data/__main__.py"} <= set(stages["filtering"]["deps"])
    assert "data/curation/other.py" not in stages["filtering"]["deps"]
    assert stages["sourcing"]["do"]["outs"] == ["out/sourcing/${item}"]
    assert stages["sourcing"]["do"]["params"] == [{str(path): ["data.sources", "seed"]}]
    assert "data/registry" in stages["sourcing"]["do"]["deps"]
