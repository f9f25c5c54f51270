"""What the Dockerfiles promise, checked without an engine; the images themselves are checked by `make e2e-docker`."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from components.images import DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE
from pipelines.docker_run import STAGE_IMAGE

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "containers").glob("*.Dockerfile"))
LOCAL_IMAGES = (DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE, STAGE_IMAGE)
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)", re.I)


def instructions(path):
    """(instruction, arguments) with continuation lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def stages(path):
    """Instructions by stage, in order."""
    found = {}
    for name, arguments in instructions(path):
        if name == "FROM":
            current = arguments.split(" AS ")[-1]
            found[current] = []
        elif found:
            found[current].append((name, arguments))
    return found


def final_stages(path):
    return {name: steps for name, steps in stages(path).items() if any(step[0] == "LABEL" for step in steps)}


def test_the_three_images_are_there():
    assert [path.name for path in FILES] == ["data.Dockerfile", "eval.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_base_is_an_argument_without_a_moving_default(path):
    assert instructions(path)[:2] == [("ARG", "BASE_IMAGE"), ("FROM", "${BASE_IMAGE} AS python")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_package_version_comes_from_the_lock(path):
    installs = [arguments for name, arguments in instructions(path) if name == "RUN" and "pip install" in arguments]
    assert len(installs) >= 4
    for arguments in installs:
        assert arguments.count("constraint /build/requirements.lock") == arguments.count("pip install")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_images_run_as_a_user_of_their_own_with_labels(path):
    for steps in final_stages(path).values():
        assert [arguments for name, arguments in steps if name == "USER"][-1] == "10001:10001"
        labels = " ".join(arguments for name, arguments in steps if name == "LABEL")
        for label in ("title", "description", "version", "revision", "source", "created", "licenses"):
            assert f"org.opencontainers.image.{label}=" in labels


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_image_lists_its_packages_and_keeps_no_tools(path):
    for steps in final_stages(path).values():
        (install,) = [arguments for name, arguments in steps if name == "RUN"]
        assert "cyclonedx-py environment" in install
        assert "--mount=type=bind,from=tools,source=/opt/tools" in install
        assert not [arguments for name, arguments in steps if name in {"COPY", "ADD"}]


def test_the_images_share_their_largest_layer():
    shared = [path.read_text().partition("FROM torch AS")[0].partition("ARG BASE_IMAGE")[2] for path in FILES]
    assert shared[0] == shared[1] == shared[2]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_secret_and_nothing_from_the_web_enters(path):
    for name, arguments in instructions(path):
        assert name != "ADD"
        if name in {"ENV", "ARG"}:
            assert not SECRET.search(arguments)


def test_only_rooms_and_project_files_reach_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == {"pyproject.toml", "requirements.lock", "README.md", "data", "model", "components", "pipelines"}


def test_a_change_of_our_code_reinstalls_no_package():
    for path in FILES:
        for name, steps in final_stages(path).items():
            (install,) = [arguments for step, arguments in steps if step == "RUN"]
            assert "--no-deps /build" in install, f"{path.name}: {name}"
        for steps in (steps for name, steps in stages(path).items() if name not in final_stages(path)):
            sources = {
                source for step, arguments in steps for source in re.findall(r"type=bind,source=(\S+?),", arguments)
            }
            assert sources <= {"requirements.lock", "pyproject.toml"}


def test_the_trainjobs_image_is_built_without_the_workflow_and_the_launcher_without_training():
    assert extras("train.Dockerfile", "packages") == {"train"}
    assert extras("train.Dockerfile", "local-packages") == {"demo", "train", "workflow"}
    assert extras("eval.Dockerfile", "packages") == {"demo", "model", "workflow"}
    (install,) = [text for name, text in stages(ROOT / "containers/train.Dockerfile")["train"] if name == "RUN"]
    assert "rm -r /build/components /build/pipelines" in install


def test_images_that_train_take_further_extras():
    taking = {(path.name, name) for path in FILES for name in stages(path) if "${OPTIONS}" in installs(path.name, name)}
    assert taking == {("train.Dockerfile", "packages")}, "which both of its images start from"
    assert ("ARG", "OPTIONS") in stages(ROOT / "containers/train.Dockerfile")["packages"]


def installs(file, stage):
    return " ".join(arguments for name, arguments in stages(ROOT / "containers" / file)[stage] if name == "RUN")


def extras(file, stage):
    return set(re.findall(r"--extra (\S+)", installs(file, stage)))


def test_the_tags_carry_the_projects_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for image in filter(lambda name: name.startswith("localhost/"), LOCAL_IMAGES):
        assert image.rpartition(":")[2] in {version, f"{version}-local"}


def test_what_the_index_needs_is_lent_as_secrets(tmp_path):
    engine, calls = tmp_path / "engine", tmp_path / "calls"
    engine.write_text(f'#!/bin/sh\necho "$*" >> {calls}\ncase "$1 $2" in "build --help") echo --secret ;; esac\n')
    engine.chmod(0o755)
    (tmp_path / "ca.pem").write_text("an authority")
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://name:planted@index.example/simple")
    environment = {**os.environ, "BASE_IMAGE": "local/debian:bookworm", "ENGINE": str(engine), "IMAGES": "train"}
    environment |= {"SSL_CERT_FILE": f"{tmp_path}/ca.pem", "PIP_CONFIG_FILE": f"{tmp_path}/pip.conf"}
    environment.pop("UV_CONFIG_FILE", None)
    work = tmp_path / "copy"
    for name in ("containers/build.sh", "pyproject.toml", "Makefile"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, work / name)
    subprocess.run(["sh", "containers/build.sh"], cwd=work, env=environment, check=True)
    (build,) = [call for call in calls.read_text().splitlines() if call.startswith("build --file")]
    assert re.findall(r"--secret (\S+)", build) == [f"id=ca,src={tmp_path}/ca.pem", f"id=pip,src={tmp_path}/pip.conf"]
    assert "planted" not in build


@pytest.mark.parametrize(("base", "message"), [("", "BASE_IMAGE is not set"), ("python:3.11-slim", "is not pinned")])
def test_an_unpinned_base_is_refused_with_what_to_write(base, message):
    environment = {**os.environ, "BASE_IMAGE": base}
    done = subprocess.run(
        ["sh", "containers/build.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "NAME@sha256:DIGEST" in done.stderr or "pinned by digest" in done.stderr


@pytest.mark.parametrize("script", ["build.sh", "e2e.sh"])
def test_without_an_engine_it_is_said_and_nothing_is_built(script, tmp_path):
    environment = {**os.environ, "BASE_IMAGE": "local/debian:bookworm", "ENGINE": str(tmp_path / "no-engine")}
    done = subprocess.run(
        ["sh", f"containers/{script}", "python", "mini"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "engine answers" in done.stderr
