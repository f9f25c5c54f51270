"""The tables of format clusters say what the formatting report says."""

from data.reporting.html import Badge, Page, Section, render_page
from model.evaluation.sections.format_clusters import SHOWN_TASKS, format_blocks

DEVIATION = {"source": "wordy", "pairs": 1200, "share": 0.4, "instruction": "", "form": "long"}
TASK = {
    "task": "color",
    "family": "phrase",
    "pairs": 5000,
    "share": 0.75,
    "instruction": "Short phrase",
    "form": "short",
    "shapes": {"phrase": 3000, "sentence": 1500, "number": 499, "list": 1, "box": 0},
    "deviating": [DEVIATION],
}
COLLISION = {
    "tasks": ["color", "line"],
    "families": ["phrase", "transcription"],
    "overlap": 0.9,
    "instruction": "",
    "shape": "phrase",
}


def test_tasks_deviations_and_collisions_are_shown():
    text, tasks, deviating, collisions = format_blocks({"tasks": [TASK], "collisions": [COLLISION]})
    assert "1 tasks; 1 times" in text.text
    assert tasks.rows == (
        (
            "color",
            "phrase",
            "5,000",
            "Short phrase",
            "phrase 60 %, sentence 30 %, number 10 %, list 0.0 %, …",
            "75 %",
            Badge("mixed", "warn"),
        ),
    )
    assert deviating.rows == (("wordy", "color", "1,200", "40 %", "none", "long"),)
    assert collisions.rows[0][:5] == ("color and line", "phrase and transcription", "90 %", "none", "phrase")


def test_an_older_report_and_a_long_one_render():
    many = [{**TASK, "task": f"t{number:03}", "pairs": number} for number in range(100)]
    blocks = format_blocks({"tasks": many, "collisions": []})
    assert len(blocks[1].rows) == SHOWN_TASKS
    assert blocks[1].rows[0][0] == "t099"
    assert "(60 of 100)" in blocks[1].caption
    page = render_page(
        Page(title="t", subtitle="", sections=(Section(title="F", blocks=(*format_blocks({}), *blocks)),))
    )
    assert b"No pair was formatted." in page
    assert b"t099" in page
