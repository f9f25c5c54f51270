"""Crafted mixes: same task → similar format, different tasks → distinct formats, and the sources that break it."""

import random
from collections import Counter

import pytest

from data.curation.format_clusters import Collision, Deviation, bounded, format_report, own_instruction, without_rare
from data.curation.formatting_tables import format_table
from data.schema import Turn, make_sample, samples_to_table
from data.settings.formatting import FormattingSettings


def clusters(*rows):
    """(source, task, family, instruction, words brought along, shape, pairs) rows as counts."""
    return Counter({tuple(row[:6]): row[6] for row in rows})


def task(report, name):
    return next(found for found in report.tasks if found.task == name)


def test_one_format_a_task_and_none_collides():
    report = format_report(
        clusters(
            ("a", "color", "phrase", "Short phrase", "", "phrase", 90),
            ("b", "color", "phrase", "Short phrase", "", "number", 10),
            ("a", "yes_no", "yes_no", "Yes or no", "", "boolean", 50),
        )
    )
    color = task(report, "color")
    assert (color.pairs, color.share, color.instruction, color.form) == (100, 1.0, "Short phrase", "short")
    assert color.shapes == {"phrase": 90, "number": 10}
    assert color.deviating == ()
    assert report.collisions == ()


def test_a_source_that_answers_in_another_form_is_named():
    report = format_report(
        clusters(
            ("good", "color", "phrase", "Short phrase", "", "phrase", 300),
            ("mixed", "color", "phrase", "Short phrase", "", "phrase", 85),
            ("mixed", "color", "phrase", "", "", "sentence", 15),
            ("wordy", "color", "phrase", "", "", "sentence", 60),
            ("wordy", "color", "phrase", "Short phrase", "", "phrase", 40),
        )
    )
    found = task(report, "color")
    assert found.share == 425 / 500
    assert found.deviating == (Deviation(source="wordy", pairs=100, share=0.4, instruction="", form="long"),)


def test_a_source_that_brings_its_own_instruction_is_named():
    report = format_report(
        clusters(
            ("plain", "count", "free", "", "", "sentence", 90),
            ("own", "count", "free", "", "Reply in one line.", "sentence", 10),
            ("own", "count", "free", "", "Said once.", "sentence", 1),
        )
    )
    (deviation,) = task(report, "count").deviating
    assert (deviation.source, deviation.instruction) == ("own", "Reply in one line.")
    assert deviation.share == pytest.approx(1 / 11)  # what one question alone says is no instruction


def test_tasks_of_different_families_that_look_alike_collide():
    rows = [
        ("a", "color", "phrase", "", "", "phrase", 80),
        ("a", "color", "phrase", "", "", "sentence", 20),
        ("b", "line", "transcription", "", "", "phrase", 70),
        ("b", "line", "transcription", "", "", "sentence", 30),
        ("c", "shape", "phrase", "", "", "phrase", 50),
    ]
    report = format_report(clusters(*rows))
    assert [collision.tasks for collision in report.collisions] == [("color", "line"), ("line", "shape")]
    assert report.collisions[0] == Collision(
        tasks=("color", "line"),
        families=("phrase", "transcription"),
        overlap=pytest.approx(0.9),
        instruction="",
        shape="phrase",
    )
    told_apart = [(*row[:3], {"line": "Exact text"}.get(row[1], ""), *row[4:]) for row in rows]
    assert format_report(clusters(*told_apart)).collisions == ()


def test_few_pairs_say_nothing():
    few = [("a", "x", "phrase", "", "", "phrase", 19), ("b", "y", "free", "", "", "phrase", 500)]
    assert format_report(clusters(*few)).collisions == ()
    few[0] = (*few[0][:6], 20)
    assert len(format_report(clusters(*few)).collisions) == 1


def test_order_does_not_matter():
    counts = clusters(
        *(
            (source, name, family, "", "", shape, pairs)
            for pairs, (source, name, family, shape) in enumerate(
                [("a", "x", "free", "phrase"), ("b", "x", "free", "text"), ("c", "y", "phrase", "phrase")], start=30
            )
        )
    )
    shuffled = list(counts.items())
    random.Random(1).shuffle(shuffled)
    assert format_report(dict(shuffled)) == format_report(counts)
    assert format_report({}).document() == {"tasks": (), "collisions": ()}


@pytest.mark.parametrize(
    ("question", "own"),
    [
        ("What is it? Reply with the name only.", "Reply with the name only."),
        ("What is it?\nName only", "Name only"),
        ("<image>\nDescribe the image.", ""),
        ("<image> <image>\nCompare them.", ""),
        ("Look at the image. Describe it in one line!", "Describe it in one line!"),
        ("What is it?", ""),
        ("Which?\nA. x\nB. y", ""),
        ("Take the first: what is it?", ""),
        ("word " * 60 + "end.", ""),
        ("word " * 60 + "end? Be brief.", "Be brief."),
        ("", ""),
    ],
)
def test_words_that_follow_the_question(question, own):
    assert own_instruction(question) == own


def test_words_of_one_question_alone_are_dropped():
    counts = clusters(
        ("a", "x", "free", "", "Once.", "text", 1),
        ("a", "x", "free", "", "Twice.", "text", 1),
        ("a", "x", "free", "", "Twice.", "phrase", 1),
        ("b", "x", "free", "", "Once.", "text", 1),
    )
    assert {key[4] for key in without_rare(counts)} == {"", "Twice."}
    assert without_rare(counts).total() == 4


def test_clusters_stay_few_and_frequent_words_stay():
    counts = clusters(
        *(("a", "x", "free", "", f"Words {number}.", "text", 2 + number % 5) for number in range(100)),
        ("a", "x", "free", "", "Be brief.", "text", 500),
    )
    few = bounded(counts, most=10)
    assert {key[4] for key in few} == {"", "Be brief."}
    assert few.total() == counts.total()
    assert bounded(counts, most=1000) == counts


def mix(instructions):
    """A crafted mix through the real formatting: three tasks, one source that asks for names in its own words."""
    pairs = [
        ("tidy", "color", "What colour is it?", "red"),
        ("own", "color", "Which colour is it?", "It is a bright red."),
    ]
    pairs += [("tidy", "line", "Read it out", "red"), ("tidy", "dialogue", "And then?", "We went home again.")]
    samples = [
        make_sample(
            source=source,
            category="general_vqa",
            images=(),
            conversations=(Turn(role="user", content=f"{question} {number}?"), Turn(role="assistant", content=answer)),
            meta={"task": name},
        )
        for source, name, question, answer in pairs
        for number in range(60 if source == "tidy" else 30)
    ]
    _, done = format_table(samples_to_table(samples), FormattingSettings(instructions=instructions))
    return format_report(done.clusters)


def test_instructions_tell_apart_what_looked_alike():
    without, given = mix(False), mix(True)
    assert [found.tasks for found in without.collisions] == [("color", "line")]
    assert given.collisions == ()
    assert [deviation.source for deviation in task(given, "color").deviating] == ["own"]
