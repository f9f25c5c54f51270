import os
import shutil
import tempfile

import pytest

from data.curation.local_cache import cache_folder, keep_newest, new_entry
from data.errors import AerieError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder("things")


def test_the_folder_follows_the_environment(home, tmp_path, monkeypatch):
    assert home == tmp_path / "aerie" / "things"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache_folder("things") == tmp_path / "me" / ".cache" / "aerie" / "things"


def test_without_a_home_the_folder_is_a_private_one_among_the_temporary(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder("things")
    assert folder == tmp_path / f"aerie-{os.getuid()}" / "things"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(folder.parent)
    folder.parent.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(AerieError, match="belongs to somebody else"):
        cache_folder("things")


def test_a_place_that_is_no_folder_is_a_user_error(tmp_path, monkeypatch):
    (tmp_path / "aerie").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(AerieError, match="set XDG_CACHE_HOME"):
        cache_folder("things")


def test_an_entry_appears_whole_or_not_at_all(home):
    with new_entry(home, "a") as filling:
        (filling / "x").write_text("1")
        assert not (home / "a").exists()
    assert (home / "a" / "x").read_text() == "1"
    with pytest.raises(AerieError), new_entry(home, "b") as filling:
        filling.mkdir()
    assert [path.name for path in home.iterdir()] == ["a"]


def test_whoever_comes_second_leaves_the_first_one(home):
    with new_entry(home, "a") as slow:
        (slow / "x").write_text("slow")
        with new_entry(home, "a") as quick:
            (quick / "x").write_text("quick")
    assert (home / "a" / "x").read_text() == "quick"
    assert [path.name for path in home.iterdir()] == ["a"]


def test_a_full_disk_is_a_user_error(home):
    with pytest.raises(AerieError, match="No space left"), new_entry(home, "a"), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert not list(home.iterdir())


def test_only_the_newest_stay(home):
    for age, name in enumerate("abcde"):
        with new_entry(home, name):
            pass
        os.utime(home / name, (1000 - age, 1000 - age))
    keep_newest(home, 2)
    assert sorted(path.name for path in home.iterdir()) == ["a", "b"]
