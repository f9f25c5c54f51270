import importlib.util
from collections import Counter
from pathlib import Path

import pytest
import yaml

from data.errors import AerieError
from data.recipe import load_data_recipe
from data.registry import cards as cards_module
from data.registry.cards import BUILTIN_CARDS, load_cards, read_card, recipe_card
from data.registry.sourcing import load_adapter
from data.schema import CATEGORIES

CARD = yaml.safe_load((BUILTIN_CARDS / "general_vqa/easy-vqa.yaml").read_text())
CARDS = load_cards()
ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT.parent / "shared/eagle2_sources.yaml"
VERIFIED = {"easy-vqa", "vega-charts", "digits", "text-lines", "text-questions", "chatterbot"}
LEAD = {"name": "lead", "licence": "unknown", "category": "science", "adapter": "jsonl", "split_key": "image"}
LEAD["description"] = "A source that nobody has looked at."


def write(folder, card=CARD, **changes):
    document = {key: value for key, value in {**card, **changes}.items() if value is not None}
    path = folder / f"{document.get('name', 'x')}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


def recipe_with(folder, source, cards="extra"):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": {"cards": cards, "sources": [{"name": source}]}}))
    return load_data_recipe(str(path))


def test_there_are_cards_for_more_than_180_sources_and_each_lies_in_its_category():
    assert len(CARDS) >= 180
    assert {card.category for card in CARDS.values()} == set(CATEGORIES)
    places = [path.relative_to(BUILTIN_CARDS) for path in BUILTIN_CARDS.rglob("*.yaml")]
    assert {str(place) for place in places} == {f"{card.category}/{name}.yaml" for name, card in CARDS.items()}


def test_the_papers_names_have_exactly_one_card_each_in_the_papers_category():
    if not PAPER.is_file():
        pytest.skip(f"the paper's list of sources isn't at {PAPER}")
    paper = yaml.safe_load(PAPER.read_text())
    wanted = {}
    for part in ("stage_2", "stage_1_5_additional"):
        for category, names in paper[part].items():
            wanted |= dict.fromkeys(names, (category, "stage_2" in part))
    found = Counter(card.paper_name for card in CARDS.values() if card.paper_name)
    assert set(found) == set(wanted) | set(paper["stage_1"])
    assert set(found.values()) == {1}
    for card in CARDS.values():
        if card.paper_name in wanted:
            category, in_stage_2 = wanted[card.paper_name]
            assert (card.category, "stage_2" in card.stages) == (category, in_stage_2), card.name
            assert "stage_1_5" in card.stages, card.name
        elif card.paper_name:
            assert set(card.stages) == {"stage_1"}
    assert {card.paper_name for card in CARDS.values() if card.status == "internal"} == set(paper["internal"])


def test_only_what_was_checked_is_verified_and_nothing_unknown_is_dressed_up():
    assert {name for name, card in CARDS.items() if card.status == "verified"} == VERIFIED
    for card in CARDS.values():
        assert card.licence_known or card.note, f"{card.name}: an unknown licence is said in words"
        assert card.uri or card.note, f"{card.name}: a missing place is said in words"
        assert card.status != "internal" or not card.uri
        assert card.uri.startswith("hf://") or card.revision is None


@pytest.mark.parametrize("adapter", sorted({card.adapter for card in CARDS.values()}))
def test_every_adapter_that_cards_name_can_be_loaded(adapter):
    if importlib.util.find_spec(f"data.registry.adapters.{adapter}") is None:
        assert not [card.name for card in CARDS.values() if card.adapter == adapter and card.status == "verified"]
        pytest.skip(f"no adapter {adapter!r} in this build")
    load_adapter(next(card for card in CARDS.values() if card.adapter == adapter))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, "licence: Field required"),
        ({"license": "MIT"}, "license: .*unknown key"),
        ({"category": "poetry"}, "unknown category 'poetry'"),
        ({"uri": "ftp://example.org/x"}, "uri must start with"),
        ({"uri": "hf://datasets/only-a-name"}, "uri must read hf://datasets/OWNER/NAME"),
        ({"uri": "hf://datasets/a/b@abc1234"}, "a commit goes into `revision`"),
        ({"uri": "hf://datasets//b"}, "uri must read hf://datasets/OWNER/NAME"),
        ({"description": None}, "description: Field required"),
        ({"name": "Easy VQA"}, "name: String should match"),
        ({"status": "good"}, "status: Input should be 'verified'"),
        ({"stages": {"stage_3": 1}}, "stages.stage_3"),
        ({"stages": {"stage_2": 0}}, "a quota must be at least 1 sample"),
        ({"stages": {"stage_2": "many"}}, "stages.stage_2"),
        ({"size": -5}, "size: Input should be greater"),
        ({"revision": "main"}, "revision: String should match"),
        ({"homepage": "example.org"}, "homepage: String should match"),
        ({"licence": "unknown"}, "status `verified` needs licence; give them or write `status: unverified`"),
        ({"uri": None, "version": None}, "status `verified` needs uri and version or revision"),
    ],
)
def test_a_bad_card_names_the_file_and_the_key(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(AerieError, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


def test_a_card_of_before_the_registry_still_loads_and_is_a_lead(tmp_path):
    old = {**LEAD, "uri": "pypi://easy-vqa@1.0", "version": 1.0, "licence": "MIT"}
    card = read_card(write(tmp_path, old))
    assert (card.status, card.version, card.stages, card.size, card.auto_labelled) == ("unverified", "1.0", {}, None, 0)


def test_null_means_unknown(tmp_path):
    path = tmp_path / "lead.yaml"
    path.write_text(yaml.safe_dump({**LEAD, "uri": None, "size": None, "stages": {"stage_2": None}}))
    card = read_card(path)
    assert (card.uri, card.size, card.stages, card.readable) == ("", None, {"stage_2": None}, False)
    assert card.gaps() == ["uri", "version or revision", "licence"]


def test_what_only_describes_a_source_does_not_change_what_is_read(tmp_path):
    before = read_card(write(tmp_path)).reading()
    words = {"description": "Other words.", "note": "n", "status": "unverified", "size": 5, "stages": {"stage_2": 9}}
    assert read_card(write(tmp_path, **words)).reading() == before
    assert read_card(write(tmp_path, options={"x": 1})).reading() != before


def test_broken_yaml_and_wrong_shape_are_user_errors(tmp_path):
    (tmp_path / "a.yaml").write_text("name: [")
    with pytest.raises(AerieError, match="can't be read"):
        read_card(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- a\n- b")
    with pytest.raises(AerieError, match="must be a mapping"):
        read_card(tmp_path / "a.yaml")


def test_an_extra_folder_adds_cards_and_may_not_hide_a_verified_one(tmp_path):
    write(tmp_path, LEAD, name="mine", uri="file://data.jsonl")
    assert load_cards(str(tmp_path))["mine"].uri == f"file://{tmp_path}/data.jsonl"
    write(tmp_path, LEAD, name="digits", uri="file://data.jsonl")
    with pytest.raises(AerieError, match="'digits' is already taken by a verified card"):
        load_cards(str(tmp_path))
    with pytest.raises(AerieError, match="folder of cards not found"):
        load_cards(str(tmp_path / "nowhere"))


def test_subfolders_of_categories_are_read_and_no_others(tmp_path):
    write(tmp_path / "science", LEAD, name="deep")
    write(tmp_path / "old", LEAD, name="old")
    write(tmp_path / "run", LEAD, name="recipe", seed=1)  # not a card, and nobody says that it is one
    found = load_cards(str(tmp_path))
    assert "deep" in found
    assert "old" not in found
    write(tmp_path, LEAD, name="deep")
    with pytest.raises(AerieError, match=r"science/deep\.yaml: the name 'deep' is already taken by .*/deep\.yaml"):
        load_cards(str(tmp_path))


@pytest.mark.parametrize("name", ["chartqa", "textbooks-qa"])
def test_a_card_of_ones_own_replaces_a_lead_and_an_internal_card(tmp_path, name):
    write(tmp_path, LEAD, name=name, uri="file://copy.jsonl", category=CARDS[name].category)
    replaced = load_cards(str(tmp_path))
    assert replaced[name].uri == f"file://{tmp_path}/copy.jsonl"
    assert len(replaced) == len(CARDS)


@pytest.mark.parametrize(
    ("name", "reason"), [("textbooks-qa", "internal .*only the paper's authors"), ("mtwi", "unverified .*isn't known")]
)
def test_a_source_without_a_place_says_what_to_do_and_a_card_of_ones_own_heals_it(tmp_path, name, reason):
    (tmp_path / "extra").mkdir()
    recipe = recipe_with(tmp_path, name)
    with pytest.raises(AerieError, match=rf"source '{name}' can't be read: its card is {reason}.*name: {name}"):
        recipe_card(recipe, name)
    write(tmp_path / "extra", LEAD, name=name, uri="file://copy.jsonl", category=CARDS[name].category)
    assert recipe_card(recipe, name).uri == f"file://{tmp_path}/extra/copy.jsonl"


def test_the_recipe_names_the_folder_and_an_unknown_source_is_told_the_nearest(tmp_path):
    write(tmp_path / "extra", name="mine")
    recipe = recipe_with(tmp_path, "mine")
    assert recipe_card(recipe, "mine").name == "mine"
    with pytest.raises(AerieError, match=r"no card for source 'easy-vga'; the nearest of \d+ names are \['easy-vqa'"):
        recipe_card(recipe, "easy-vga")


def test_an_unknown_adapter_is_a_user_error(tmp_path):
    with pytest.raises(AerieError, match="no adapter 'nothing'"):
        load_adapter(read_card(write(tmp_path, adapter="nothing")))


def test_cards_load_alike_without_the_parser_in_c(monkeypatch):
    monkeypatch.setattr(cards_module, "_LOADER", yaml.SafeLoader)
    assert load_cards(str(BUILTIN_CARDS / "science")).keys() == CARDS.keys()
    assert read_card(BUILTIN_CARDS / "science/ai2d.yaml") == CARDS["ai2d"]
