"""`aerie plan`: what it shows on narrow and wide terminals, the same as JSON, and what it refuses."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from model.costs.cost import plan
from model.costs.gpus import gpu
from model.costs.sample_mix import SampleMix
from model.recipe import load_recipe
from pipelines.cli import app
from pipelines.plan_report import PlanReport, document, plan_report
from pipelines.plan_tables import show_plan
from pipelines.sample_counts import sample_counts

RECIPES = Path(__file__).resolve().parents[2] / "pipelines/recipes"


def reported(path: Path, card: str = "h100", samples: str = "") -> PlanReport:
    recipe = load_recipe(str(path))
    counts = sample_counts(recipe, str(path), samples)
    return plan_report(recipe, plan(recipe, gpu(card), SampleMix(), counts.stages), counts)


def shown(report: PlanReport, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    show_plan(report, console)
    return console.file.getvalue()


def cells(text: str) -> list[list[str]]:
    """The cells of each line: two spaces or more between them."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def changed(tmp_path: Path, change, name: str = "eagle2-9b") -> Path:
    document = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    change(document)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def nine_billion() -> PlanReport:
    return reported(RECIPES / "eagle2-9b.yaml")


@pytest.mark.parametrize("width", [80, 100])
def test_a_plan_fits_its_terminal_and_cuts_nothing(nine_billion, width):
    text = shown(nine_billion, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text


def test_a_plan_names_the_pieces_the_pods_and_the_papers_stages(nine_billion):
    found = cells(shown(nine_billion, 100))
    for line in (
        ["vision", "1,256,718,960"],
        ["siglip", "413,327,088"],
        ["convnext", "843,391,872"],
        ["decoder", "6,525,621,760"],
        ["total", "8,912,728,176"],
        ["GPUs", "128", "256", "256"],
        ["pods × GPUs in each", "16 × 8", "32 × 8", "32 × 8"],
        ["samples", "1,200,000", "21,600,000", "4,600,000"],
        ["together", "71.98", "129.52", "129.52"],
        ["fits", "yes", "yes", "yes"],
        ["GPU-hours", "512", "7,168", "1,536"],
    ):
        assert line in found, line


def test_json_says_the_same(nine_billion):
    found = document(nine_billion)
    assert json.loads(json.dumps(found)) == found
    stage, paper = found["stages"]["stage_1_5"], found["paper"]["stage_1_5"]
    assert (stage["gpus"], stage["pods"], stage["samples"]) == (256, 32, 21_600_000)
    assert stage["sample_flops"]["total"] == pytest.approx(129.5e12, rel=0.01)
    memory = stage["memory_bytes"]
    parts = ("weights", "gradients", "optimizer", "activations", "buffers")
    assert memory["peak"] == pytest.approx(sum(memory[part] for part in parts))
    assert stage["gpu_hours"] == pytest.approx(256 * stage["hours"])
    assert paper["samples_per_second"] == pytest.approx(0.837, abs=0.001)


def test_what_does_not_fit_is_said_with_what_would(tmp_path):
    path = changed(tmp_path, lambda d: d["stages"]["stage_2"].update(activation_checkpointing=False), "eagle2-1b")
    text = " ".join(shown(reported(path, "a100-40gb"), 200).split())
    assert "does not fit" in text
    assert "stage_2 would fit with activation_checkpointing: true" in text


@pytest.mark.parametrize("name", ["tiny", "mini", "eagle2-1b"])
def test_every_recipe_that_ships_has_a_plan(name):
    report = reported(RECIPES / f"{name}.yaml")
    text = shown(report, 80)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert report.beside_paper == (name == "eagle2-1b")
    assert ("Beside the paper" in text) == report.beside_paper


def test_cards_count_the_samples_where_they_know_them():
    found = reported(RECIPES / "mini.yaml").counts
    assert found.stages["stage_1_5"] == 24 + 12 + 24 + 16 + 12 + 16
    assert found.stages["stage_1"] == 52
    assert found.stages["stage_2"] == 24 + 8 + 20 + 12 + 16  # quotas: 8 charts, 20 of digits and lines
    assert "6 sources" in found.origin


def test_a_recipe_of_unknown_size_has_no_hours_until_somebody_gives_it(tmp_path):
    def change(document):
        document["data"]["sources"] = [{"name": "spatialsense"}]
        document["model"].pop("preset")
        document["model"].pop("pretrained")

    path = changed(tmp_path, change, "eagle2-1b")
    unknown = reported(path)
    assert set(unknown.counts.stages.values()) == {None}
    assert all(stage.speed.hours is None and stage.steps is None for stage in unknown.plan.stages.values())
    assert "give --samples" in shown(unknown, 200)
    given = reported(path, samples="1000,20_000,4000")
    assert list(given.counts.stages.values()) == [1000, 20_000, 4000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "h99"], "there is no GPU 'h99'"),
        (["--gpus", "3"], "3 GPUs"),
        (["--gpus", "-2"], "at least one GPU"),
        (["--tiles", "-1"], "must not be negative"),
        (["--text-tokens", "99999"], "a pack holds 1,024"),
        (["--samples", "1,2"], "--samples takes 3 positive counts"),
        (["--samples", "1,0,2"], "--samples takes 3 positive counts"),
    ],
)
def test_a_mistake_is_one_message(arguments, message):
    result = CliRunner().invoke(app, ["plan", str(RECIPES / "mini.yaml"), *arguments])
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert "Traceback" not in result.output


def test_the_command_prints_json():
    result = CliRunner().invoke(app, ["plan", str(RECIPES / "mini.yaml"), "--gpus", "2", "--gpu", "a100", "--json"])
    found = json.loads(result.output)
    assert (found["gpu"]["name"], found["stages"]["stage_2"]["gpus"]) == ("a100", 2)
