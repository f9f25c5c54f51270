"""Dataset versions by the real dvc and git: repro runs what changed; versions travel to a bucket and to a folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("s3")]
CHAIN = ["validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting"]


class Project:
    """A Git repository with the data room, a recipe of one small source and its DVC stages."""

    def __init__(self, folder, server, bucket):
        self.folder = folder / "repository"
        self.environment = {**os.environ, **server.environment(), "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
        # dvc.yaml says `python`: this one, whether or not its environment is activated.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self.environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": "", "PATH": path}
        self.environment |= {
            f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        shutil.copytree(ROOT / "data", self.folder / "data", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / ".dvcignore", self.folder)
        (self.folder / "requirements.lock").write_text("")
        (self.folder / ".gitignore").write_text("/steps/\n__pycache__/\n")
        self.write_source(40)
        self.write_recipe(quota=20)
        self.git("init", "-q")
        self.dvc("init", "-q")
        self.dvc("remote", "add", "-d", "folder", str(folder / "remote"))
        # The server's address and keys are in the environment, as on a cluster.
        self.dvc("remote", "add", "bucket", f"s3://{bucket}/dvc-{folder.name}")
        arguments = ["stages", "--recipe", "recipes/r.yaml", "--folder", "steps"]
        (self.folder / "dvc.yaml").write_text(self.call(sys.executable, "-m", "data", *arguments))

    def write_source(self, rows):
        """Questions without pictures, a few of them too long."""
        cards = self.folder / "cards"
        cards.mkdir(exist_ok=True)
        card = {"name": "mine", "uri": "file://mine.jsonl", "version": "1", "licence": "CC0-1.0", "adapter": "jsonl"}
        card |= {"category": "text_only", "split_key": "id", "description": "Rows written by a test."}
        (cards / "mine.yaml").write_text(yaml.safe_dump(card))
        lines = [f"What is {i} plus {i}?|{'very ' * 90 if i % 10 == 0 else ''}{2 * i}".split("|") for i in range(rows)]
        turns = [f'[{{"from": "human", "value": "{q}"}}, {{"from": "gpt", "value": "{a}"}}]' for q, a in lines]
        rows = [f'{{"id": {i}, "image": null, "conversations": {turn}}}' for i, turn in enumerate(turns)]
        (cards / "mine.jsonl").write_text("\n".join(rows))

    def write_recipe(self, quota):
        selection = {"categories": {"text_only": {"strategy": "random", "quota": quota}}}
        data = {"cards": "../cards", "sources": [{"name": "mine"}], "embedding": {"image_size": 32}}
        data |= {"filtering": {"max_answer_chars": 400}, "selection": selection}
        (self.folder / "recipes").mkdir(exist_ok=True)
        (self.folder / "recipes" / "r.yaml").write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))

    def call(self, *command):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def git(self, *arguments):
        return self.call("git", *arguments)

    def dvc(self, *arguments):
        return self.call(sys.executable, "-m", "dvc", *arguments)

    def repro(self, tag):
        """Run what changed, keep it as a version; returns the steps that ran."""
        said = self.dvc("repro").splitlines()
        self.git("add", ".")
        self.git("commit", "-qm", tag)
        self.git("tag", tag)
        return [line.split("'")[1] for line in said if line.startswith("Running stage")]

    def wipe(self):
        """Lose every result and the cache, as a fresh clone has none."""
        for folder in ("steps", ".dvc/cache"):
            shutil.rmtree(self.folder / folder)

    def hashes(self):
        steps = self.folder / "steps"
        files = [path for path in sorted(steps.rglob("*")) if path.is_file()]
        return {str(path.relative_to(steps)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def versions(s3_server, s3_bucket, tmp_path_factory):
    """Two versions, told apart by one number of the recipe: the project, what ran, and what each consists of."""
    project = Project(tmp_path_factory.mktemp("dvc"), s3_server, s3_bucket)
    ran, hashes = {"v1": project.repro("v1")}, {"v1": project.hashes()}
    project.write_recipe(quota=10)
    ran["v2"], hashes["v2"] = project.repro("v2"), project.hashes()
    for remote in ("bucket", "folder"):
        project.dvc("push", "-q", "--all-tags", "-r", remote)
    return project, ran, hashes


def test_repro_runs_what_a_changed_recipe_reaches_and_nothing_else(versions):
    project, ran, hashes = versions
    assert ran["v1"] == ["sourcing@mine", *CHAIN]
    assert ran["v2"] == ["selection", "augmentation", "formatting"]
    changed = {name.split("/")[0] for name in hashes["v1"] if hashes["v2"].get(name) != hashes["v1"][name]}
    assert changed == {"selection", "augmentation", "formatting"}
    assert project.dvc("status").strip() == "Data and pipelines are up to date."


def test_a_changed_module_is_noticed_by_the_steps_that_import_it(versions):
    project, *_ = versions
    name = "data/curation/decorations.py"
    module, stages = project.folder / name, yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"]
    importing = [step for step in CHAIN if name in stages[step]["deps"]]
    text = module.read_text()
    module.write_text(text + "\n# changed\n")
    said = project.dvc("status").splitlines()
    module.write_text(text)
    noticed = [line.rstrip(":") for line in said if line.endswith(":") and not line.startswith(("\t", " "))]
    assert "formatting" in importing
    assert len(importing) < len(CHAIN)
    assert sorted(noticed) == sorted(importing)


@pytest.mark.parametrize("remote", ["bucket", "folder"])
def test_versions_come_back_from_a_remote_bit_by_bit(versions, remote):
    project, _, hashes = versions
    for version in ("v1", "v2"):
        project.git("checkout", "-q", version)
        project.wipe()
        project.dvc("pull", "-q", "-r", remote)
        assert project.hashes() == hashes[version]
