"""Bad input as the user meets it: one message that names what is wrong, or a quarantine row; never a traceback."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from data.__main__ import main as data_step
from data.errors import AerieError
from data.images import encode_png
from data.steps import embed_samples, source_samples, validate_samples
from data.storage import parquet_table, read_attachment, read_manifest
from pipelines.cli import app

MINI = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"
CARD = {
    "name": "mine",
    "uri": "file://rows.jsonl",
    "version": "1",
    "licence": "CC0-1.0",
    "category": "general_vqa",
    "adapter": "jsonl",
    "split_key": "id",
    "description": "Rows that a user brings.",
}


def row(name: str, answer: str = "red", image: str | None = None, split: str = "train") -> str:
    turns = [{"from": "human", "value": f"<image>\nwhat colour, {name}?"}, {"from": "gpt", "value": answer}]
    return json.dumps({"id": name, "image": image or f"{name}.png", "conversations": turns, "split": split})


GOOD = [row("first"), row("second"), row("held", split="heldout")]


class Project:
    """A user's folder: a recipe, a card, a JSONL file and its images."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recipe = folder, folder / "recipe.yaml"
        self.document = yaml.safe_load(MINI.read_text())
        self.document["data"] |= {"cards": "cards", "sources": [{"name": "mine"}]}
        (folder / "cards").mkdir()
        for shade, name in enumerate(("first", "second", "held", "broken")):
            image = encode_png(Image.new("RGB", (20, 10), (60 * shade, 0, 0)))
            (folder / "cards" / f"{name}.png").write_bytes(image if name != "broken" else image[:-20])
        self.write(GOOD)

    def write(self, rows: list[str], **card: object) -> None:
        """The three files; `card` overrides keys of the card."""
        (self.folder / "cards/rows.jsonl").write_text("\n".join(rows))
        (self.folder / "cards/mine.yaml").write_text(yaml.safe_dump({**CARD, **card}))
        self.recipe.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def run(self) -> tuple[int, str]:
        """`aerie run`: exit code and all that it printed."""
        arguments = ["run", "--recipe", self.recipe, "--storage", self.folder / "artifacts", "--name", "run"]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), "nothing escapes the command"
        return result.exit_code, result.output

    def step(self, *arguments: str) -> int:
        """`python -m data ...` on this project; exit code."""
        return data_step([*arguments, "--recipe", str(self.recipe), "--folder", str(self.folder / "steps")])


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def quarantined(folder: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail by key."""
    table = parquet_table(read_attachment(str(folder), read_manifest(str(folder)), "quarantine"))
    return {entry["key"]: (entry["reason"], entry["detail"]) for entry in table.to_pylist()}


def test_bad_rows_go_to_quarantine_with_their_reason_and_the_ledger_counts_them(project):
    project.write(
        [*GOOD, row("broken"), row("silent", answer=" ", image="first.png"), row("gone"), '{"id": "cut off', "[1, 2]"]
    )
    assert project.step("sourcing", "--source", "mine") == 0
    assert project.step("validation") == 0
    refused = sorted(quarantined(project.folder / "steps/validation").values())
    assert [reason for reason, _ in refused] == [
        "corrupt_image",
        "empty_answer",
        "invalid_json",
        "invalid_json",
        "missing_file",
    ]
    assert all(detail for _, detail in refused)
    assert "image 'gone.png': No such file or directory" in dict(refused)["missing_file"]
    (sourced,) = read_manifest(str(project.folder / "steps/sourcing/mine")).counts
    assert (sourced.rows_in, sourced.rows_out) == (7, 4)
    assert sourced.dropped == {"invalid_json": 2, "missing_file": 1}
    (validated,) = read_manifest(str(project.folder / "steps/validation")).counts
    assert (validated.rows_in, validated.rows_out) == (4, 2)
    assert validated.dropped == {"corrupt_image": 1, "empty_answer": 1}


# what the user got wrong: (keys of `data` in the recipe, keys of the card, what the message says)
MISTAKES = {
    "a source without a card": (
        {"sources": [{"name": "mines"}]},
        {},
        "no card for source 'mines'; the nearest of ",
    ),
    "a missing folder of cards": ({"cards": "card"}, {}, "correct `data.cards` in the recipe"),
    "a missing raw file": (
        {},
        {"uri": "file://row.jsonl"},
        "row.jsonl can't be read (No such file or directory); correct `uri`",
    ),
    "a card without a licence": ({}, {"licence": ""}, "mine.yaml is not valid:\n  licence: "),
    "an unknown adapter": ({}, {"adapter": "jsonlines"}, "no adapter 'jsonlines' in data/registry/adapters/"),
    "a package that isn't installed": (
        {},
        {"uri": "pypi://no-such-package@1.0", "adapter": "easy_vqa"},
        "pip install no-such-package==1.0",
    ),
}


QUICK = ("a source without a card", "a missing raw file")  # a whole run each: the others are for `make test-long`


@pytest.mark.parametrize(
    "mistake", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in MISTAKES]
)
def test_a_mistake_that_only_a_step_can_see_comes_back_as_its_message(project, mistake):
    data, card, message = MISTAKES[mistake]
    project.document["data"] |= data
    project.write(GOOD, **card)
    code, output = project.run()
    assert code == 2, output
    assert f"Error: sourcing/{project.document['data']['sources'][0]['name']}: " in output
    assert message in output
    assert_short(output)


def test_a_source_without_one_valid_row_stops_the_pipeline_after_its_report(project):
    project.write([row("held", split="heldout"), row("broken"), row("gone")])
    code, output = project.run()
    assert code == 2, output
    assert "Error: enforcement: validation failed on 2 of 15 expectations:" in output
    assert "every_source_has_rows" in output
    assert_short(output)
    folder = project.folder / "artifacts/run/validation"
    assert (folder / "docs.html").exists()
    assert sorted(reason for reason, _ in quarantined(folder).values()) == ["corrupt_image", "missing_file"]


def assert_short(output: str) -> None:
    """No traceback, nothing of KFP's own log, and a message that fits on a screen."""
    assert "Traceback" not in output
    assert "KFP Executor" not in output
    assert len(output.split("Error: ", 1)[1].splitlines()) < 12, output


@pytest.mark.parametrize("damage", ["truncated", "missing", "exchanged"])
def test_a_damaged_shard_is_named_with_what_to_do(project, capsys, damage):
    assert project.step("sourcing", "--source", "mine") == 0
    assert project.step("validation") == 0
    shard = project.folder / "steps/validation/shard-00000.parquet"
    payload = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(payload[: len(payload) // 2] if damage == "truncated" else payload[:-1] + b"?")
    capsys.readouterr()
    assert project.step("embedding") == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: shard {shard} is {'missing' if damage == 'missing' else 'truncated or changed'}")
    assert line.endswith("run step 'validation' again")
    assert not (project.folder / "steps/embedding/manifest.json").exists()


def test_a_damaged_attachment_and_a_damaged_manifest_are_named(project, capsys):
    assert project.step("sourcing", "--source", "mine") == 0
    heldout = project.folder / "steps/sourcing/mine/heldout.parquet"
    heldout.write_bytes(heldout.read_bytes()[:-10])
    assert project.step("validation") == 2
    assert f"Error: {heldout} differs from its manifest; run step 'sourcing' again" in capsys.readouterr().err
    manifest = heldout.with_name("manifest.json")
    manifest.write_text(manifest.read_text()[:-20])
    assert project.step("validation") == 2
    assert f"Error: manifest {manifest} is damaged" in capsys.readouterr().err


def test_a_recipe_that_changed_under_a_run_is_refused_by_every_step(project):
    for step in (
        lambda: source_samples(str(project.recipe), "0" * 64, "mine", "out"),
        lambda: validate_samples(str(project.recipe), "0" * 64, [], "out"),
        lambda: embed_samples(str(project.recipe), "0" * 64, "validation", "out"),
    ):
        with pytest.raises(AerieError, match=r"recipe\.yaml has sha256 .*, the run expects 000000000000…"):
            step()


def test_a_report_of_a_run_that_did_not_finish_says_so(project):
    project.write(GOOD, uri="file://missing.jsonl")
    project.run()
    result = CliRunner().invoke(app, ["report", str(project.folder / "artifacts/run")])
    assert result.exit_code == 2, result.output
    assert "has not finished" in result.output


@pytest.mark.parametrize("arguments", [["run", "--storage"], ["compile", "--out"]])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, arguments):
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    result = CliRunner().invoke(app, [*arguments, str(taken)])
    assert result.exit_code == 2, result.output
    assert str(taken) in result.output


def test_values_that_no_network_can_have_are_named_before_anything_runs(project):
    for keys, value, message in (
        (("model", "language", "num_heads"), 0, "model.language.num_heads: Input should be greater than or equal to 1"),
        (("model", "language", "num_heads"), 3, "must be a multiple of"),
        (("model", "siglip", "patch_size"), 0, "model.siglip.patch_size"),
        (("model", "convnext", "image_size"), 31, "convnext.image_size must be"),
        (("stages", "stage_2", "trainable"), [], "stages.stage_2.trainable"),
        (("stages", "stage_2", "epochz"), 1, "stages.stage_2.epochz: Extra inputs are not permitted (unknown key)"),
        (("data", "sources"), [{"name": "../mine"}], "data.sources.0.name"),
        (("seed",), 1 << 40, "seed: "),
    ):
        document = yaml.safe_load(MINI.read_text())
        part = document
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        project.recipe.write_text(yaml.safe_dump(document, sort_keys=False))
        code, output = project.run()
        assert (code, message in output) == (2, True), (keys, value, output)
        assert not (project.folder / "artifacts").exists()
