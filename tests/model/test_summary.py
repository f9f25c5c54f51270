"""One page and one summary: complete, deterministic, safe, and silent in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from data.errors import AerieError
from data.ledger import StepCount
from data.storage import Manifest, commit, read_manifest
from model.evaluation.summary import write_report
from pipelines.tables import show_summary

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECTIONS = (
    "run-summary", "evaluation", "promotion", "example-predictions", "failure-signatures", "data-ledger", "validation",
    "similarity-gate", "filters", "selection", "augmentation", "formatting", "packing", "training", "artifacts",
    "weaknesses-and-sources",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(finished_run):
    recipe, sha256, run = finished_run
    return write_report(recipe, sha256, run, f"{run}/report"), Path(run) / "report"


def test_the_page_has_every_section(written):
    _, folder = written
    page = (folder / "index.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert re.findall('<section id="([^"]*)"', page) == list(SECTIONS)
    assert page.count("<svg") >= 10
    assert 'src="data:image/png;base64,' in page
    assert "http" not in re.sub(r"http-equiv|[a-zA-Z]*https?:[^<\"]*(?=<)", "", page).replace("http-equiv", "")


def test_every_link_leads_to_a_file(written):
    _, folder = written
    links = re.findall('href="(\\.\\./[^"]*)"', (folder / "index.html").read_text())
    assert len(links) > 30
    assert not [link for link in links if not (folder / link).is_file()]


def test_the_summary_is_what_the_terminal_shows(written):
    _, folder = written
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["run"]["recipe"] == "report"
    assert summary["run"]["parameters"]["total"] > 0
    total = summary["ledger"]["total"]
    assert total["read"] + total["added"] == total["trained"] + total["lost"]
    assert set(summary["training"]) == set(summary["packing"]) == {"stage_1", "stage_1_5", "stage_2"}
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_summary(summary, console)
    text = console.export_text()
    assert "easy-vqa" in text
    assert "yes/no" in text
    assert f"{total['trained']:,} trained" in text


def test_a_finished_report_is_left_alone_and_a_damaged_one_is_written_again(written, finished_run):
    manifest, folder = written
    recipe, sha256, run = finished_run
    page = folder / "index.html"
    before, stamp = page.read_bytes(), page.stat().st_mtime_ns
    assert write_report(recipe, sha256, run, str(folder)) == manifest
    assert page.stat().st_mtime_ns == stamp
    page.write_text("broken")
    assert write_report(recipe, sha256, run, str(folder)) == manifest
    assert page.read_bytes() == before


def test_times_stand_in_the_page_but_not_in_the_fingerprint(written, finished_run, tmp_path):
    manifest, _ = written
    recipe, sha256, run = finished_run
    copy = tmp_path / Path(run).name
    shutil.copytree(run, copy)
    (copy / "logs").mkdir()
    (copy / "logs/1.log").write_text('::aerie {"event": "end", "step": "gate", "seconds": 75, "reused": false}\n')
    timed = write_report(recipe, sha256, str(copy), str(copy / "again"))
    assert timed.fingerprint == manifest.fingerprint
    assert timed.attachments["page"] != manifest.attachments["page"]
    assert "1 min 15 s" in (copy / "again/index.html").read_text()
    assert json.loads((copy / "again/summary.json").read_text())["run"]["seconds"] == 75


def tampered(finished_run, tmp_path, step, change):
    recipe, sha256, run = finished_run
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    change(copy / step)
    return lambda: write_report(recipe, sha256, str(copy), str(copy / "again"))


def test_rows_that_vanish_between_steps_stop_the_report(finished_run, tmp_path):
    def lose_a_row(folder):
        manifest = read_manifest(str(folder))
        first, *rest = manifest.counts
        less = StepCount(source=first.source, rows_in=first.rows_in - 1, rows_out=first.rows_out - 1)
        parts = {name: getattr(manifest, name) for name in Manifest.__slots__}
        commit(str(folder), Manifest(**{**parts, "counts": (less, *rest)}))

    write = tampered(finished_run, tmp_path, "gate", lose_a_row)
    with pytest.raises(AerieError, match="between steps 'embedding' and 'gate' for source"):
        write()


def test_a_missing_step_is_named(finished_run, tmp_path):
    write = tampered(finished_run, tmp_path, "packing/stage_2", shutil.rmtree)
    with pytest.raises(AerieError, match=r"packing/stage_2/manifest\.json.*has not finished"):
        write()


def test_a_changed_report_file_is_named(finished_run, tmp_path):
    write = tampered(finished_run, tmp_path, "gate/report.json", lambda path: path.write_text("{}"))
    with pytest.raises(AerieError, match="differs from its manifest"):
        write()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_opens_the_page_without_a_word(written, tmp_path, scheme):
    _, folder = written
    shot = tmp_path / "page.png"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,3000", f"--screenshot={shot}",
        *(["--force-dark-mode"] if scheme == "dark" else []), (folder / "index.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert shot.is_file(), done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
