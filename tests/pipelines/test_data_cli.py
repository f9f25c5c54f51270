"""`aerie data versions|diff` on a Git repository whose versions the real dvc made."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from data.ledger import StepCount
from data.storage import Manifest, attach, commit
from pipelines.cli import app

STAGES = """\
stages:
  selection:
    cmd: mkdir -p steps && cp -r made/selection steps/selection
    deps: [made/selection]
    params: [{r.yaml: [data.selection]}]
    outs: [steps/selection]
  formatting:
    cmd: cp -r made/formatting steps/formatting
    deps: [made/formatting, steps/selection]
    outs: [steps/formatting]
"""


def call(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def write_steps(folder, rows, quota):
    for name in ("selection", "formatting"):
        place = str(folder / name)
        facts = {"facts": [{"group": "category chart_table", "stage_2": quota, "quota": quota}]}
        entry = attach(place, "expectations.json", json.dumps(facts).encode())
        counts = tuple(StepCount(source=source, rows_in=count, rows_out=count) for source, count in rows.items())
        total = sum(rows.values())
        manifest = Manifest(step=name, fingerprint="", recipe_sha256="", rows=total, shards=(), counts=counts)
        commit(place, Manifest(**{**as_fields(manifest), "attachments": {"expectations": entry}}))


def as_fields(manifest):
    return {name: getattr(manifest, name) for name in Manifest.__slots__}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}
    environment |= {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def run(*command):
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    def version(tag, rows, quota):
        write_steps(folder / "made", rows, quota)
        (folder / "r.yaml").write_text(f"data: {{selection: {{quota: {quota}}}}}\n")
        run(sys.executable, "-m", "dvc", "repro", "-q")
        run("git", "add", ".")
        run("git", "commit", "-qm", f"data {tag}")
        run("git", "tag", tag)

    (folder / "dvc.yaml").write_text(STAGES)
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    version("v1", {"charts": 1200, "words": 30}, 500)
    version("v2", {"charts": 1250, "words": 30}, 400)
    return folder


def test_versions_are_listed_with_rows_and_sources(repository):
    told = json.loads(call("versions", "--repository", repository, "--json").output)
    assert [(entry["tags"], entry["rows"], entry["sources"]) for entry in told] == [
        (["v2"], 1280, 2),
        (["v1"], 1230, 2),
    ]
    shown = call("versions", "--repository", repository)
    assert shown.exit_code == 0
    assert "1,280" in shown.output
    assert told[1]["sha256"][:10] in shown.output


def test_a_difference_is_shown_by_key_step_source_and_category(repository):
    shown = call("diff", "v1", "v2", "--repository", repository)
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.output.splitlines()]
    assert "data.selection.quota 500 400" in lines
    assert "formatting charts 1,200 1,250 +50" in lines
    assert "chart_table 500 400" in lines
    assert not [line for line in lines if line.startswith("formatting words")]


def test_the_working_tree_and_a_runs_folder_can_be_compared_too(repository, tmp_path):
    told = json.loads(call("diff", "v1", "--repository", repository, "--json").output)
    assert (told["before"], told["after"], told["equal"]) == ("v1", "working tree", False)
    write_steps(tmp_path, {"charts": 1250, "words": 30}, 400)
    found = json.loads(call("diff", tmp_path, "v2", "--repository", repository, "--json").output)
    assert found["equal"]
    assert "are the same" in call("diff", tmp_path, tmp_path).output


def test_a_version_that_is_nowhere_at_hand_says_how_to_get_it(repository, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    shutil.rmtree(copy / ".dvc/cache")
    shutil.rmtree(copy / ".dvc/tmp", ignore_errors=True)
    shown = call("diff", "v1", "v2", "--repository", copy)
    assert shown.exit_code == 0, shown.output
    assert "git checkout v1 && dvc fetch" in shown.output
    assert "1,200" not in shown.output
    assert "data.selection.quota" in shown.output
    told = json.loads(call("diff", "v1", "v2", "--repository", copy, "--json").output)
    assert [entry["steps"] for entry in told["away"]] == [["selection", "formatting"]] * 2
    assert "dvc fetch" in call("versions", "--repository", copy).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diff", "v7", "v1"], "'v7' is no version"),
        (["diff", "s3", "v1"], "'s3' is no version"),
    ],
)
def test_mistakes_are_one_message(repository, arguments, message):
    shown = call(*arguments, "--repository", repository)
    assert shown.exit_code == 2
    assert message in shown.output
    assert "Traceback" not in shown.output


def test_outside_git_the_message_says_so(tmp_path):
    shown = call("versions", "--repository", tmp_path)
    assert shown.exit_code == 2
    assert "not a git repository" in shown.output
