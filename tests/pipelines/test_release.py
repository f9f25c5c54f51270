"""The release files: named by content, byte-stable, accepted by KFP's CRDs, and those in Git are fresh."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp.components import load_component_from_text

from data.errors import AerieError
from model.recipe import load_recipe
from pipelines.release import (
    RELEASE_NAME,
    Manifests,
    check_images,
    compile_manifests,
    dataset_version,
    describe,
    read_release,
    submittable,
    version_name,
    write_release,
)
from pipelines.submission import order

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "infra/release"
RECIPE = ROOT / "pipelines/recipes/tiny.yaml"
CHECKER = ROOT.parent / "shared/tools/check_custom_resources.py"
FILES = ("pipeline.yaml", "pipeline-version.yaml", "recipe.yaml", RELEASE_NAME)
VARIABLES = {name: f"AERIE_{name.upper()}_IMAGE" for name in ("data", "eval", "stage", "train")}


@pytest.fixture(scope="module")
def manifests():
    return compile_manifests()


@pytest.fixture
def release(tmp_path):
    """A written release folder; the pipeline in it is the real one, compiled here."""
    folder = tmp_path / "release"
    lock = tmp_path / "dvc.lock"
    lock.write_text("schema: '2.0'\n")
    write_release(str(RECIPE), folder, lock)
    return folder


def aerie(*arguments, cwd=ROOT, **environment):
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_committed_release_is_fresh(tmp_path):
    """Compiled anew with the images that it names, it is the same byte for byte."""
    committed = json.loads((COMMITTED / RELEASE_NAME).read_text())
    images = {VARIABLES[name]: reference for name, reference in committed["images"].items()}
    result = aerie("release", "--recipe", committed["recipe"], "--out", str(tmp_path), **images)
    assert result.returncode == 0, result.stderr
    stale = [name for name in FILES if (tmp_path / name).read_bytes() != (COMMITTED / name).read_bytes()]
    assert not stale, f"stale: {stale} in infra/release; write them again with: aerie release, and commit"


def test_kfps_resources_have_no_unknown_fields():
    if not CHECKER.exists():
        pytest.skip(f"no {CHECKER.name} and no CRD schemas beside the repository")
    files = [str(COMMITTED / name) for name in ("pipeline.yaml", "pipeline-version.yaml")]
    result = subprocess.run([sys.executable, CHECKER, *files], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_two_resources_in_two_waves_named_by_content(manifests):
    pipeline, version = manifests.pipeline, manifests.version
    name = version["metadata"]["name"]
    waves = [item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] for item in (pipeline, version)]
    assert [pipeline["kind"], version["kind"], *waves] == ["Pipeline", "PipelineVersion", "0", "1"]
    assert pipeline["metadata"]["name"] == version["spec"]["pipelineName"] == "aerie-end-to-end"
    assert name == version["spec"]["displayName"] == version_name(version["spec"])
    prefix, digits = name.rsplit("-", 1)
    assert (prefix, len(digits)) == ("end-to-end", 12)
    assert {item["metadata"]["namespace"] for item in (pipeline, version)} == {"aerie"}


@pytest.mark.parametrize("part", ["pipelineSpec", "platformSpec"])
def test_every_change_of_what_kfp_executes_changes_the_name(part, manifests):
    changed = copy.deepcopy(manifests.version["spec"])
    changed[part]["added"] = 1
    assert version_name(changed) != version_name(manifests.version["spec"])


def test_the_upload_is_the_same_pipeline(manifests):
    spec, platform = yaml.safe_load_all(manifests.package())
    assert version_name({"pipelineSpec": spec, "platformSpec": platform}) == manifests.version["metadata"]["name"]
    assert load_component_from_text(manifests.package().decode()).name == "aerie-end-to-end"


def test_a_submitted_run_has_exactly_the_pipelines_parameters(manifests, release):
    found = order(read_release(release), load_recipe(str(RECIPE)), "s3://bucket/aerie")
    types = {name: "LIST" if isinstance(value, list) else "STRING" for name, value in found.parameters.items()}
    declared = manifests.version["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert types == {name: entry["parameterType"] for name, entry in declared.items()}
    assert found.parameters["training_runtime"] == "aerie-torch-v1"


def test_pinned_images_are_in_the_release_and_make_another_version(tmp_path, manifests):
    images = {name: f"registry.example/aerie-{name}@sha256:{'0' * 63}{number}" for number, name in enumerate(VARIABLES)}
    result = aerie("release", "--out", str(tmp_path), **{VARIABLES[name]: image for name, image in images.items()})
    assert result.returncode == 0, result.stderr
    assert "Note" not in result.stdout
    release = json.loads((tmp_path / RELEASE_NAME).read_text())
    assert release["images"] == images
    assert release["version"] != manifests.version["metadata"]["name"]
    assert "registry.example/aerie-train" in (tmp_path / "pipeline-version.yaml").read_text()


def test_a_moving_tag_is_refused_wherever_it_stands(manifests):
    version = copy.deepcopy(manifests.version)
    executors = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]
    next(iter(executors.values()))["container"]["image"] = "registry.example/aerie:latest"
    with pytest.raises(AerieError, match="not pinned; name the images as NAME@sha256"):
        check_images(Manifests(pipeline=manifests.pipeline, version=version))


def test_mistakes_are_one_message_and_write_nothing(tmp_path):
    unpinned = aerie("release", "--out", str(tmp_path / "out"), AERIE_DATA_IMAGE="registry.example/aerie:latest")
    unlocked = aerie("release", "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert (unpinned.returncode, unlocked.returncode) == (2, 2)
    assert "AERIE_DATA_IMAGE='registry.example/aerie:latest' is not pinned" in unpinned.stderr
    assert unlocked.stderr == "Error: no dvc.lock here: it names the data version; make it with: dvc repro\n"
    assert not (tmp_path / "out").exists()


def test_the_data_version_is_dvcs_lock_file(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text("a")
    first = dataset_version(lock)
    lock.write_text("b")
    assert len({first, dataset_version(lock)}) == 2


def test_a_release_whose_recipe_was_edited_is_refused(release):
    with (release / "recipe.yaml").open("a") as stream:
        stream.write("# edited\n")
    with pytest.raises(AerieError, match=r"is not the recipe of .*write both again with: aerie release"):
        read_release(release)


def test_a_damaged_release_is_refused(release):
    (release / RELEASE_NAME).write_text("{}")
    with pytest.raises(AerieError, match="is damaged; write it again with: aerie release"):
        read_release(release)


def test_no_path_of_this_machine_gets_into_the_release(tmp_path, monkeypatch):
    copied = tmp_path / "mine.yaml"
    copied.write_bytes(RECIPE.read_bytes())
    lock = ROOT / "dvc.lock"
    monkeypatch.chdir(ROOT)
    assert describe(str(copied), "v", lock).recipe == "mine.yaml"
    assert describe(str(RECIPE), "v", lock).recipe == "pipelines/recipes/tiny.yaml"


def test_a_recipe_with_cards_on_this_machine_is_refused(tmp_path):
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["data"]["cards"] = "cards"
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(AerieError, match=r"data\.cards is 'cards', a folder of this machine"):
        submittable(str(path))


def with_judge(tmp_path, **changed):
    recipe = yaml.safe_load(RECIPE.read_text())
    judge = {"url": "https://judge.example.com/v1", "model": "m", "cache_uri": "s3://b/paid", **changed}
    recipe["evaluation"] |= {"local_benchmarks": True, "judge": judge}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return str(path)


@pytest.mark.parametrize(("cache", "refused"), [("/paid", True), ("../paid", False), ("s3://b/paid", False)])
def test_paid_answers_never_end_with_a_pod(tmp_path, cache, refused):
    path = with_judge(tmp_path, cache_uri=cache)
    if not refused:
        assert submittable(path).evaluation.judge.cache_uri == cache
        return
    with pytest.raises(AerieError, match=r"cache_uri is /paid, where .* would end with its pod"):
        submittable(path)


def test_a_key_that_no_pod_has_is_told_before_it_is_missed(tmp_path):
    assert submittable(with_judge(tmp_path, api_key_env="AERIE_ENDPOINT_API_KEY"))
    with pytest.raises(AerieError, match=r"evaluation\.judge wants its key in MY_KEY, which no pod has; write"):
        submittable(with_judge(tmp_path, api_key_env="MY_KEY"))
