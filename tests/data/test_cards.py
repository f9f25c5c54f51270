import pytest
import yaml

from data.errors import AerieError
from data.recipe import load_data_recipe
from data.registry.cards import BUILTIN_CARDS, load_cards, read_card, recipe_card
from data.registry.sourcing import load_adapter

CARD = yaml.safe_load((BUILTIN_CARDS / "easy-vqa.yaml").read_text())


def write(folder, **changes):
    document = {key: value for key, value in {**CARD, **changes}.items() if value is not None}
    path = folder / f"{document.get('name', 'x')}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_builtin_cards_are_complete_and_their_adapters_fit():
    cards = load_cards()
    assert {"easy-vqa", "vega-charts", "digits", "text-lines", "text-questions", "chatterbot"} <= set(cards)
    assert len({card.category for card in cards.values()}) >= 5
    for card in cards.values():
        load_adapter(card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, "licence: Field required"),
        ({"license": "MIT"}, "license: .*unknown key"),
        ({"category": "poetry"}, "unknown category 'poetry'"),
        ({"uri": "ftp://example.org/x"}, "uri must start with"),
        ({"description": None}, "description: Field required"),
    ],
)
def test_a_bad_card_names_the_file_and_the_key(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(AerieError, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


def test_broken_yaml_and_wrong_shape_are_user_errors(tmp_path):
    (tmp_path / "a.yaml").write_text("name: [")
    with pytest.raises(AerieError, match="can't be read"):
        read_card(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- a\n- b")
    with pytest.raises(AerieError, match="must be a mapping"):
        read_card(tmp_path / "a.yaml")


def test_an_extra_folder_adds_cards_and_may_not_hide_one(tmp_path):
    write(tmp_path, name="mine", adapter="jsonl", uri="file://data.jsonl")
    assert load_cards(str(tmp_path))["mine"].uri == f"file://{tmp_path}/data.jsonl"
    write(tmp_path, name="digits")
    with pytest.raises(AerieError, match="already taken"):
        load_cards(str(tmp_path))
    with pytest.raises(AerieError, match="folder of cards not found"):
        load_cards(str(tmp_path / "nowhere"))


def test_the_recipe_names_the_folder_and_unknown_sources_list_the_known(tmp_path):
    folder = tmp_path / "extra"
    folder.mkdir()
    write(folder, name="mine")
    recipe_uri = str(tmp_path / "recipe.yaml")
    (tmp_path / "recipe.yaml").write_text("{name: t, seed: 1, data: {cards: extra, sources: [{name: mine}]}}")
    recipe = load_data_recipe(recipe_uri)
    assert recipe_card(recipe, recipe_uri, "mine").name == "mine"
    with pytest.raises(AerieError, match=r"no card for source 'nope'.*easy-vqa"):
        recipe_card(recipe, recipe_uri, "nope")


def test_an_unknown_adapter_is_a_user_error(tmp_path):
    with pytest.raises(AerieError, match="no adapter 'nothing'"):
        load_adapter(read_card(write(tmp_path, adapter="nothing")))
