"""Each section says what the run's files say."""

import json

import pytest

from data.reporting.html import Details, Gallery, KeyValues, Links, Mosaic, Table, Text
from data.storage import read_manifest
from model.evaluation.flow import run_flow
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.artifacts import artifacts_section
from model.evaluation.sections.augmentation import augmentation_section
from model.evaluation.sections.examples import examples_section
from model.evaluation.sections.filtering import filtering_section
from model.evaluation.sections.ledger import ledger_section
from model.evaluation.sections.overview import overview_section, short_count
from model.evaluation.sections.packing import packing_section
from model.evaluation.sections.rewriting import formatting_section, short
from model.evaluation.sections.scoreboard import evaluation_section, scoreboard
from model.evaluation.sections.selection import selection_section
from model.evaluation.sections.similarity import similarity_section
from model.evaluation.sections.training import training_section
from model.evaluation.sections.validation import validation_section
from model.recipe import STAGES


@pytest.fixture(scope="module")
def run(finished_run):
    return RunFolder.open(*finished_run)


def blocks(section, kind):
    """All blocks of a kind, also those inside details."""
    found, queue = [], list(section.blocks)
    while queue:
        block = queue.pop(0)
        found += [block] if isinstance(block, kind) else []
        queue = [*block.blocks, *queue] if isinstance(block, Details) else queue
    return found


def plain(cell):
    return cell if isinstance(cell, str) else cell.text


def cells(section):
    return {plain(cell) for table in blocks(section, Table) for row in table.rows for cell in row}


def test_the_ledger_shows_every_source_and_closes(run):
    flow = run_flow(run)
    table = blocks(ledger_section(flow), Table)[0]
    assert [row[0] for row in table.rows] == [*run.sources, "All"]
    assert {plain(row[-1]) for row in table.rows} == {"closes"}
    sourced = {c.source: c.rows_in for s in run.sources for c in run.manifest(f"sourcing/{s}").counts}
    assert {flow.source: flow.read for flow in flow.sources} == sourced
    for entry in flow.sources:
        assert entry.read + entry.added == entry.trained + entry.lost


def test_the_ledger_names_what_the_filters_dropped(run):
    dropped = {(c.source, reason): n for c in run.manifest("filtering").counts for reason, n in c.dropped.items()}
    assert dropped
    table = blocks(ledger_section(run_flow(run)), Table)[-1]
    shown = {(row[0], row[2]): row[3] for row in table.rows if row[1] == "filtering"}
    assert shown == {key: f"{n:,}" for key, n in dropped.items()}


def test_the_overview_names_recipe_sources_and_parts(run):
    section = overview_section(run, run_flow(run), {"gate": 61.0, "filtering": 2.0})
    values = dict(item for block in blocks(section, KeyValues) for item in block.items)
    assert (values["Recipe"], values["Seed"], values["Total time"]) == ("report", "3", "1 min 3 s")
    assert {*run.sources, "vision", "connector", "language"} <= cells(section)
    unknown = overview_section(run, run_flow(run), {})
    assert dict(blocks(unknown, KeyValues)[0].items)["Total time"] == "not recorded"


def test_the_board_follows_the_recipe_and_keeps_baselines(run):
    board = scoreboard(run, "source")
    assert list(dict.fromkeys(row["group"] for row in board)) == run.sources
    whole = {row["group"]: row for row in board if row["answer_type"] == "all"}
    assert whole["chatterbot"]["blind"] is None
    assert 0 < whole["easy-vqa"]["stages"]["stage_2"] < 1
    assert {row["answer_type"] for row in board if row["group"] == "easy-vqa"} == {"all", "yes_no", "open"}
    assert "yes/no" in cells(evaluation_section(run))


def test_examples_show_right_and_wrong_ones(run):
    section = examples_section(run)
    pictures = [picture for picture, found in blocks(section, Gallery)[0].pictures if found]
    assert {picture.badge.text for picture in pictures} == {"right", "wrong"}
    assert all("<image>" not in picture.caption for picture in pictures)
    assert {row[1] for row in blocks(section, Table)[0].rows} == {"chatterbot"}


def test_validation_shows_expectations_and_the_leak_check(run):
    section = validation_section(run)
    assert {"holds", "placeholders_equal_images", "drop_share_below_limit", "quotas_respected"} <= cells(section)
    assert dict(blocks(section, KeyValues)[0].items)["Matches dropped from training"] == "0"


def test_the_gate_shows_every_source(run):
    assert set(run.sources) <= cells(similarity_section(run))


def test_filter_examples_stand_beside_their_finding(run):
    report = run.document("filtering")["reasons"]
    table = blocks(filtering_section(run), Table)[-1]
    assert {row[0] for row in table.rows} == set(report)
    assert all(row[2] and row[3] for row in table.rows)


def test_the_mosaic_shows_pictures_of_every_cluster(run):
    section = selection_section(run)
    assert {"kmeans", "all"} <= cells(section)
    mosaic = blocks(section, Mosaic)[0]
    report = run.document("selection")["categories"]["general_vqa"]
    assert len(mosaic.rows) == len([cluster for cluster in report["mosaic"] if cluster["sample_ids"]])
    assert all(found for _, strip in mosaic.strips for found in strip)


def test_rewriting_shows_rules_changes_and_examples(run):
    assert "ocr_count_words" in cells(augmentation_section(run))
    section = formatting_section(run)
    assert set(run.document("formatting")["changed"]) <= cells(section)
    assert all(row[2] != row[3] for row in blocks(section, Table)[-1].rows)


def test_packing_shows_each_stage(run):
    shown = cells(packing_section(run))
    for stage in STAGES:
        report = run.document(f"packing/{stage}")
        assert {f"{report['tokens']:,}", f"{report['metrics']['packs']:,}", report["plan_sha256"][:12]} <= shown
        spread = report["metrics"]["samples_per_pack_std"]
        assert f"{report['metrics']['samples_per_pack']:.1f} ± {spread:.1f}" in shown


def test_training_shows_losses(run):
    rows = blocks(training_section(run), Table)[0].rows
    assert [row[0] for row in rows] == ["Stage 1", "Stage 1.5", "Stage 2"]
    assert all(float(row[5]) > float(row[6]) for row in rows)


def test_training_shows_what_each_category_ended_at(run):
    section = training_section(run)
    rows = [
        row for table in blocks(section, Table) if table.headers[0] == "Final loss of category" for row in table.rows
    ]
    mean = sum(3 / n for n in range(55, 61)) / 6
    assert rows == [("chart_table", *[f"{mean:.3f}"] * 3), ("text_only", *[f"{2 * mean:.3f}"] * 3)]


def test_every_artifact_is_linked(run):
    links = [
        address for block in blocks(artifacts_section(run), Links) for _, group in block.groups for _, address in group
    ]
    manifest = read_manifest(run.folder("gate"))
    assert {f"../gate/{entry['path']}" for entry in manifest.attachments.values()} <= set(links)
    assert len(links) > len(run.steps)


def test_counts_and_texts_are_cut_short():
    assert [short_count(value) for value in (12, 1234, 5_000_000, 8.9e9)] == ["12", "1.23K", "5M", "8.9B"]
    assert short([{"role": "user", "content": "x"}, "y"]) == "user: x\ny"
    assert len(short("x" * 5000)) == 500


def test_texts_are_sentences(run):
    for section in (validation_section(run), filtering_section(run), selection_section(run)):
        assert all(json.dumps(text.text) for text in blocks(section, Text))


def test_the_filters_show_every_rule_with_what_it_met(run):
    section = filtering_section(run)
    rules = run.document("filtering")["rules"]
    assert {rule["reason"] for rule in rules} <= cells(section)
    counted = {(row[0], row[1]): row[2] for row in blocks(section, Table)[2].rows}
    dropped = {(c.source, reason): n for c in run.manifest("filtering").counts for reason, n in c.dropped.items()}
    assert counted == {key: f"{n:,}" for key, n in dropped.items()}
