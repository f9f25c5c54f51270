"""Versions of the data out of a real Git history of dvc.lock."""

import os
import subprocess

import pytest
import yaml

from data.errors import AerieError
from data.versions import history, version_at, working_version

RECIPE = "recipes/r.yaml"


class Repository:
    """A Git repository whose dvc.lock is written by hand, in DVC's form."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        self.environment |= {
            f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        subprocess.run(["git", *arguments], cwd=self.folder, env=self.environment, check=True)

    def lock(self, digest, quota):
        stages = {
            name: {
                "cmd": "python",
                "params": {RECIPE: {"seed": 1, "data.selection": {"default": {"quota": quota}}}},
                "outs": [{"path": f"steps/{name.replace('@', '/')}", "hash": "md5", "md5": f"{digest}.dir"}],
            }
            for name in ("sourcing@mine", "formatting")
        }
        (self.folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))

    def commit(self, subject):
        self.git("add", ".")
        self.git("commit", "-qm", subject, "--allow-empty")


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path)
    made.commit("nothing yet")
    made.lock("aa", 5)
    made.commit("first data")
    (tmp_path / "code.py").write_text("")
    made.commit("code only")
    made.git("tag", "v1")
    made.lock("bb", 7)
    made.commit("more data")
    return made


def test_the_history_of_the_lock_is_the_versions(repository, tmp_path):
    new, old = history(tmp_path)
    assert (new.subject, old.subject) == ("more data", "first data")
    assert (new.outputs, new.folders) == (
        {"sourcing/mine": "bb.dir", "formatting": "bb.dir"},
        {"sourcing/mine": "steps/sourcing/mine", "formatting": "steps/formatting"},
    )
    assert old.params == {"seed": 1, "data.selection": {"default": {"quota": 5}}}
    assert (old.tags, old.name) == (("v1",), "v1")  # tagged after a later commit, with the same data
    assert (new.tags, new.name) == ((), new.commit[:10])
    assert len(new.commit) == 40
    assert new.date.startswith("20")


def test_a_revision_in_any_form_names_the_version_that_it_holds(repository, tmp_path):
    new, old = history(tmp_path)
    assert version_at(tmp_path, "main").commit == new.commit
    assert version_at(tmp_path, new.commit[:7]).outputs == new.outputs
    assert version_at(tmp_path, "v1").outputs == old.outputs
    repository.git("tag", "v1-again", "v1")
    assert version_at(tmp_path, "v1-again").name == "v1-again"
    repository.lock("cc", 9)
    assert working_version(tmp_path).name == "working tree"
    assert working_version(tmp_path).outputs["formatting"] == "cc.dir"


def test_a_version_is_found_from_a_folder_inside_the_repository(tmp_path):
    made = Repository(tmp_path)
    (tmp_path / "inner").mkdir()
    made.lock("aa", 1)
    (tmp_path / "dvc.lock").rename(tmp_path / "inner/dvc.lock")
    made.commit("data")
    assert [version.outputs["formatting"] for version in history(tmp_path / "inner")] == ["aa.dir"]


def test_mistakes_are_told_with_what_to_do(repository, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    with pytest.raises(AerieError, match="not a git repository"):
        history(outside)
    with pytest.raises(AerieError, match=r"'v9' is no version.*aerie data versions"):
        version_at(tmp_path, "v9")
    with pytest.raises(AerieError, match=r"no version"):
        version_at(tmp_path, "--all")
    with pytest.raises(AerieError, match=r"holds no dvc\.lock"):
        version_at(tmp_path, "main~3")
    with pytest.raises(AerieError, match=r"no dvc\.lock in .*dvc repro"):
        working_version(outside)
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(AerieError, match=r"dvc\.lock is damaged"):
        working_version(tmp_path)
    fresh = Repository(outside)
    fresh.commit("nothing")
    with pytest.raises(AerieError, match=r"no commit here holds dvc\.lock"):
        history(outside)


def test_a_lock_that_was_taken_away_and_came_back(repository, tmp_path):
    repository.git("rm", "-q", "dvc.lock")
    repository.commit("no data")
    repository.lock("aa", 5)
    repository.commit("data again")
    assert [version.subject for version in history(tmp_path)] == ["data again", "more data", "first data"]
