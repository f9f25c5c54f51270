"""`aerie chat` as a user types it: answers on stdout, one message for a mistake."""

import re

import pytest
from typer.testing import CliRunner

from model.checkpoint import save_checkpoint
from pipelines.cli import app


@pytest.fixture(scope="module")
def run_folder(colour_checkpoint, tmp_path_factory) -> str:
    """STORAGE/mine: a run whose last stage is a checkpoint."""
    run = tmp_path_factory.mktemp("storage") / "mine"
    run.mkdir()
    (run / "recipe.yaml").write_text("name: mine")
    files = {"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    save_checkpoint(str(run / "stage_2"), colour_checkpoint.model, files=files)
    return str(run)


def aerie(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """(exit code, stdout, stderr with its line breaks as spaces)"""
    result = CliRunner().invoke(app, ["chat", *arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), "nothing escapes the command"
    return result.exit_code, result.stdout, re.sub(r"\s+", " ", result.stderr)


def test_a_stage_a_run_and_a_run_by_name_answer(run_folder, colour_pictures):
    storage, _, name = run_folder.rpartition("/")
    question = "which colour?"
    for place in ([f"{run_folder}/stage_2"], [run_folder], [name, "--storage", storage]):
        for picture, colour in (("red.png", "red"), ("blue.jpg", "blue")):
            assert aerie(*place, "--image", colour_pictures[picture], question) == (0, f"{colour}\n", "")


def test_several_pictures_and_no_picture(run_folder, colour_pictures):
    pictures = ["--image", colour_pictures["red.png"], "--image", colour_pictures["wide.png"]]
    code, output, errors = aerie(run_folder, *pictures, "--max-new-tokens", "3", "<image> or <image>?")
    assert (code, errors) == (0, "")
    assert output.endswith("\n")
    assert aerie(run_folder, "--max-new-tokens", "3", "which?")[0] == 0


def test_sampling_follows_its_seed(run_folder, colour_pictures):
    def drawn(*options: str) -> str:
        picture = ["--image", colour_pictures["red.png"], "--max-new-tokens", "12"]
        code, output, errors = aerie(run_folder, *picture, "--temperature", "5", *options, "which colour?")
        assert (code, errors) == (0, "")
        return output

    assert drawn("--seed", "3") == drawn("--seed", "3")
    assert len({drawn("--seed", str(seed)) for seed in range(4)}) > 1
    assert drawn("--seed", "1", "--top-p", "0.0001") == "red\n", "the likeliest token alone"


def test_without_a_question_it_reads_them_until_the_end(run_folder, colour_pictures):
    lines = "which colour?\n\n  \nwhich colour?\n"
    code, output, errors = aerie(
        run_folder, "--image", colour_pictures["blue.jpg"], "--max-new-tokens", "4", stdin=lines
    )
    assert (code, errors) == (0, "")
    assert output.count("\n") >= 2
    assert output.startswith("blue\n")
    assert aerie(run_folder, stdin="") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", " "], "the question is empty"),
        (["RUN/..", "what?"], "is no checkpoint: no config.json there"),
        (["nowhere", "what?"], "nowhere is no checkpoint"),
        (["RUN", "--image", "nowhere.png", "what?"], "file not found: nowhere.png"),
        (["RUN", "--image", "RUN/recipe.yaml", "what?"], "recipe.yaml can't be used: corrupt_image"),
        (["RUN", "--image", "RUN", "what?"], "is a folder, a file was expected"),
        (["RUN", "<image> what?"], "1 <image> placeholders, 0 images"),
        (["RUN", "--max-new-tokens", "600", "what?"], "the network knows 512 positions"),
        (["RUN", "--tokenizer", "nowhere", "what?"], "file not found: nowhere/tokenizer.json"),
        (["RUN", "--temperature", "-1", "what?"], "--temperature"),
        (["RUN", "--top-p", "2", "what?"], "--top-p"),
    ],
)
def test_mistakes_are_told_in_one_message(run_folder, arguments, message):
    code, output, errors = aerie(*(argument.replace("RUN", run_folder) for argument in arguments))
    assert code == 2
    assert output == ""
    assert message in errors
    assert "Traceback" not in errors
