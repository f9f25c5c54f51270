"""The page's last section and the summary's last key: what the run's predictions say, and nothing that runs."""

import json
from pathlib import Path

import pytest

from data.registry.cards import SourceCard
from data.reporting.html import Badge, Page, Table, Text, render_page
from model.evaluation.predictions import Prediction, read_predictions
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.weaknesses import run_weaknesses, weaknesses_document, weaknesses_section
from model.evaluation.weaknesses.ranking import weaknesses
from model.evaluation.weaknesses.search import search_list

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(finished_run):
    return RunFolder.open(*finished_run)


def test_the_section_shows_the_runs_weaknesses(run):
    ranked, leads = run_weaknesses(run)
    step = "evaluation/stage_2"
    asked = {(p.category, p.task) for p in read_predictions(run.folder(step), run.manifest(step)) if not p.blind}
    assert {(cell.category, cell.task) for cell in ranked} <= asked
    assert sum(cell.questions for cell in ranked) > 10
    section = weaknesses_section(ranked, leads)
    assert section.title == "Weaknesses and sources"
    tables = [block for block in section.blocks if isinstance(block, Table)]
    first = tables[0].rows[0]
    assert (first[0], first[1], first[2]) == ("1", ranked[0].category, ranked[0].name)
    gains = [float(row[8]) for row in tables[0].rows]
    assert gains == sorted(gains, reverse=True)
    assert {"easy-vqa", "text-lines", "chatterbot"}.isdisjoint(row[0] for row in tables[1].rows)
    raised = {row[0] for row in tables[2].rows}  # this recipe caps text-lines at 12 of 1,400
    assert "text-lines" in raised
    texts = " ".join(block.text for block in section.blocks if isinstance(block, Text))
    assert "mathematics" in texts


def test_the_summary_holds_both_lists(run, finished_run):
    from model.evaluation.flow import run_flow
    from model.evaluation.signatures.of_run import run_signatures
    from model.evaluation.summary import summary_document

    ranked = run_weaknesses(run)
    summary = summary_document(run, run_flow(run), {}, run_signatures(run, None), ranked)
    document = json.loads(json.dumps(summary))["weaknesses"]
    assert document == json.loads(json.dumps(weaknesses_document(*ranked)))
    first = document["ranked"][0]
    assert 0 <= first["low"] <= first["score"] <= first["high"] <= 1
    assert {"majority", "blind", "gap_to_baseline", "gap_to_best", "expected_gain"} <= set(first)
    assert {"source", "action", "status", "licence", "fits", "notes"} <= set(document["sources"][0])
    assert "science" in document["not_measured"]


def hostile():
    rows = [
        Prediction(
            question_id=str(number), sample_id=str(number), source=SCRIPT, category="chart_table", task=f"max{SCRIPT}",
            answer_type="open", prompt=SCRIPT, answer=SCRIPT, output=f"{SCRIPT} {number}", majority=SCRIPT, blind=False,
            checkpoint="c", rule="exact", answers=(SCRIPT,), facts={"source": SCRIPT},
        )
        for number in range(3)
    ]  # fmt: skip
    card = SourceCard(
        name="bad", category="chart_table", uri="https://x", licence=f"MIT {SCRIPT}", adapter="jsonl",
        split_key="image", description=f"Photos and charts, {SCRIPT} objects in colour.",
    )  # fmt: skip
    ranked = weaknesses(rows)
    return ranked, search_list(ranked, [card], set())


def test_outputs_tasks_and_cards_never_become_markup():
    ranked, leads = hostile()
    assert len(leads) == 1
    page = render_page(Page(title="t", subtitle="s", sections=(weaknesses_section(ranked, leads),))).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_guessing_is_marked_and_an_empty_run_still_has_a_section():
    ranked, leads = hostile()
    (table, *_) = [block for block in weaknesses_section(ranked, leads).blocks if isinstance(block, Table)]
    assert table.rows[0][6] == Badge("not above majority 100.0", "bad")
    page = render_page(Page(title="t", subtitle="s", sections=(weaknesses_section([], []),))).decode()
    assert "No question was answered wrongly." in page


def test_the_written_page_ends_with_it(finished_run, tmp_path):
    from model.evaluation.summary import write_report

    recipe, sha256, run = finished_run
    write_report(recipe, sha256, run, str(tmp_path / "report"))
    page = Path(tmp_path, "report", "index.html").read_text()
    assert page.rindex('<section id="') == page.index('<section id="weaknesses-and-sources"')
