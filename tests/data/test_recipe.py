"""A recipe's mistakes are named by file and key."""

import pytest
import yaml

from data.errors import AerieError
from data.recipe import beside_recipe, load_data_recipe

GOOD = {"name": "t", "seed": 1, "data": {"sources": [{"name": "digits"}]}, "model": {}}


def written(tmp_path, document):
    path = tmp_path / "recipe.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return str(path)


def test_a_good_recipe_loads_and_carries_its_hash(tmp_path):
    recipe = load_data_recipe(written(tmp_path, GOOD))
    assert recipe.data.source("digits").max_samples is None
    assert len(recipe.sha256) == 64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sources": []}, "data.sources"),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, "listed twice"),
        ({"sources": [{"name": "a"}], "gaet": {}}, r"data\.gaet: .*unknown key"),
        ({"sources": [{"name": "a"}], "gate": {"flag_above": 2}}, r"data\.gate\.flag_above"),
        ({"sources": [{"name": "a"}], "gate": {"flag_above": 0.9, "reject_above": 0.5}}, "must not exceed"),
        ({"sources": [{"name": "a"}], "selection": {"categories": {"memes": {}}}}, "unknown categories"),
    ],
)
def test_bad_values_name_their_key(tmp_path, data, message):
    with pytest.raises(AerieError, match=message):
        load_data_recipe(written(tmp_path, {**GOOD, "data": data}))


def test_a_missing_file_and_bad_yaml_are_named(tmp_path):
    with pytest.raises(AerieError, match="file not found"):
        load_data_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(AerieError, match="not valid YAML"):
        load_data_recipe(written(tmp_path, "a: [1"))
    with pytest.raises(AerieError, match="must be a mapping"):
        load_data_recipe(written(tmp_path, "- 1"))


def test_a_recipe_that_changed_meanwhile_is_refused(tmp_path):
    with pytest.raises(AerieError, match="changed meanwhile"):
        load_data_recipe(written(tmp_path, GOOD), sha256="0" * 64)


@pytest.mark.parametrize(
    ("path", "recipe", "place"),
    [
        ("data", "/home/me/recipe.yaml", "/home/me/data"),
        ("s3://b/data", "/home/me/recipe.yaml", "s3://b/data"),
        ("../data", "s3://b/runs/recipes/r.yaml", "s3://b/runs/data"),
        ("/data", "s3://b/runs/recipes/r.yaml", "/data"),
    ],
)
def test_a_relative_path_counts_from_the_recipes_folder(path, recipe, place):
    assert beside_recipe(path, recipe) == place


def test_what_the_data_room_reads_lies_beside_the_recipe(tmp_path):
    endpoint = {"url": "http://h/v1", "model": "m", "cache_uri": "paid"}
    data = {
        "sources": [{"name": "digits"}],
        "cards": "cards",
        "gate": {"pool": "../pool", "pool_rows": "s3://b/rows", "benchmarks": ["/quiz.parquet"]},
        "embedding": {"image_encoder": "timm:resnet18@weights/r.pt"},
        "augmentation": {"endpoint": endpoint},
    }
    found = load_data_recipe(written(tmp_path, GOOD | {"data": data})).data
    assert (found.cards, found.augmentation.endpoint.cache_uri) == (f"{tmp_path}/cards", f"{tmp_path}/paid")
    assert (found.gate.pool, found.gate.pool_rows) == (f"{tmp_path}/../pool", "s3://b/rows")
    assert found.gate.benchmarks == ("/quiz.parquet",)
    assert found.embedding.image_encoder == f"timm:resnet18@{tmp_path}/weights/r.pt"
    assert found.embedding.text_encoder == "minilm-l6-v2"
