"""`aerie sources` as people type it."""

import json
import socket

import pytest
import yaml
from typer.testing import CliRunner

from data.registry.cards import load_cards
from pipelines.cli import app

TOTAL = len(load_cards())
runner = CliRunner()


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def call(*arguments):
    return runner.invoke(app, ["sources", *map(str, arguments)])


def write(folder, name, **changes):
    document = {"name": name, "licence": "MIT", "category": "science", "adapter": "jsonl", "split_key": "id"}
    document |= {"description": "A source [of a test].", **changes}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture
def own(tmp_path):
    """A folder of cards: `good` can be read, `bad` has a broken row, `away` lies where nobody answers."""
    turns = [{"from": "human", "value": "Is water wet?"}, {"from": "gpt", "value": "Yes."}]
    good = json.dumps({"id": 1, "conversations": turns})
    (tmp_path / "good.jsonl").write_text(good)
    (tmp_path / "bad.jsonl").write_text(good + "\n{")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "cards"
    write(folder, "good", uri="file://../good.jsonl")
    write(folder, "bad", uri="file://../bad.jsonl")
    write(folder, "vague", uri="file://../good.jsonl", licence="unknown")
    write(folder, "away", uri=f"https://localhost:{port}/x.json")
    return folder


@pytest.mark.parametrize(
    ("command", "promise"), [("list", "by category"), ("show", "become verified"), ("check", "Exit code 0")]
)
def test_each_command_explains_itself(command, promise):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert promise in result.output


def test_the_list_names_every_source_whole_and_sums_them_up():
    result = call("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == ["source", "stages", "samples", "status", "licence"]
    assert "  python-code-instructions-18k-alpaca  1.5, 2    18,612  unverified  unknown" in lines
    assert lines[-2] == f"{TOTAL} sources: 6 verified, {TOTAL - 8} unverified, 2 internal"
    assert len([line for line in lines if line.startswith("  ")]) == TOTAL + 1
    assert max(map(len, lines[:-1])) <= 80


def test_filters_narrow_the_list_and_an_empty_one_is_said():
    output = call("list", "--category", "text_only", "--status", "verified").output
    assert "chatterbot" in output
    assert output.splitlines()[-2] == "1 source: 1 verified"
    assert "allava-1-2m" in call("list", "--stage", "stage_1").output
    assert "chartqa" not in call("list", "--stage", "stage_1").output
    assert call("list", "--category", "science", "--status", "internal").output.count("textbooks-qa") == 1
    assert call("list", "--category", "mathematics", "--status", "internal").output == "No source fits.\n"


def test_json_holds_whole_cards():
    found = json.loads(call("list", "--category", "science", "--json").output)
    assert {card["category"] for card in found} == {"science"}
    textbooks = next(card for card in found if card["name"] == "textbooks-qa")
    assert (textbooks["uri"], textbooks["status"], textbooks["stages"]) == (
        None,
        "internal",
        {"stage_1_5": None, "stage_2": None},
    )
    assert json.loads(call("show", "chartqa", "--json").output)["name"] == "chartqa"


def test_show_tells_what_is_known_and_what_is_missing(own):
    output = call("show", "textbooks-qa").output
    assert output.startswith("textbooks-qa  internal\n")
    assert "in the paper  Textbooks-QA\n" in output
    assert "- `uri`: a place to read from; the paper's authors keep this one" in output
    assert "1 (1,200,000)" in call("show", "allava-1-2m").output
    assert "lacks" not in call("show", "easy-vqa").output
    assert "A source [of a test]." in call("show", "good", "--cards", own).output
    assert max(map(len, call("show", "text-lines").output.splitlines()[2:])) <= 80


@pytest.mark.parametrize(
    ("names", "code", "verdict"),
    [
        (["good"], 0, "1 source checked: 1 ok, 0 failed, 0 unknown"),
        (["good", "bad", "away"], 1, "3 sources checked: 1 ok, 1 failed, 1 unknown"),
        (["good", "vague"], 3, "2 sources checked: 1 ok, 0 failed, 1 unknown"),
        (["away"], 4, "1 of them not at all: offline"),
        (["good", "vague", "away"], 4, "1 of them not at all: offline"),
    ],
)
def test_check_tells_each_finding_and_its_exit_code(own, names, code, verdict):
    result = call("check", *names, "--cards", own)
    assert result.exit_code == code, result.output
    assert verdict in result.output
    assert "Traceback" not in result.output
    if "bad" in names:
        assert "  rows      failed   1 of the first 2 rows are broken: bad.jsonl:2: invalid_json" in result.output
    if "away" in names:
        assert "  place     unknown  offline: could not reach localhost:" in result.output
        away = result.output.split("away")[1]
        assert "ok " not in away.split("sources checked")[0].split("source checked")[0]


def test_rows_and_names_are_heeded():
    result = call("check", "easy-vqa", "easy-vqa", "--rows", "2")
    assert result.output.count("easy-vqa  ok") == 1
    assert "  rows      ok       2 read" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--category", "poetry"], "unknown category 'poetry'; choose from captioning_knowledge"),
        (["list", "--stage", "2"], "unknown stage '2'; choose from stage_1, stage_1_5, stage_2"),
        (["list", "--cards", "/nowhere"], "folder of cards not found: /nowhere"),
        (["show", "chrtqa"], "no card for source 'chrtqa'; the nearest of"),
        (["check"], "name the sources to check, or give --all-verified"),
        (["check", "easy-vga"], "['easy-vqa'"),
    ],
)
def test_mistakes_are_one_message(arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_broken_card_of_ones_own_is_one_message(own):
    (own / "broken.yaml").write_text("name: broken\nlicence: MIT\nlicense: MIT\n")
    result = call("list", "--cards", own)
    assert result.exit_code == 2
    assert "broken.yaml is not valid" in result.output
    assert "license: Extra inputs are not permitted (unknown key)" in result.output
