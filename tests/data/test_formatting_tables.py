"""Formatting by columns does to a table what formatting pairs does to its conversations; the rest passes untouched."""

import json
import random
from dataclasses import replace

import pyarrow as pa
import pytest

from data.curation.augmentation_rules import tasks_of
from data.curation.formatting_pairs import PairFormatter
from data.curation.formatting_tables import Formatted, format_table
from data.curation.formatting_tasks import declared_tasks
from data.errors import AerieError
from data.schema import ImageRef, Turn, make_sample, samples_to_table, table_to_samples
from data.settings.formatting import FormattingSettings

ON = FormattingSettings()
WORDS = ["Yes.", "no", "**7**", "The answer is 4.", "(b)", "dark blue", "[1, 2, 3, 4]", "It is a long story.", " x "]
ASKED = ["Is it red?", "What is it? Answer with one word.", "Which?\nA. x\nB. y", "<image>\nRead the text.", "Go on. "]
TASKS = ["yes_no", "color", "line", "dialogue", "open", "digit", "unheard_of"]


def conversation(rng):
    """Turns in any order a bad source may send: systems, doubled roles, answers without questions."""
    turns = []
    for _ in range(rng.randint(0, 7)):
        role = rng.choice(["user", "user", "assistant", "assistant", "system"])
        turns.append(Turn(role=role, content=rng.choice(WORDS if role == "assistant" else ASKED)))
    return tuple(turns)


def samples(count=200, seed=11):
    rng, made = random.Random(seed), []
    for number in range(count):
        turns = conversation(rng)
        answers = sum(turn.role == "assistant" for turn in turns)
        meta = rng.choice(
            [
                {},
                {"task": rng.choice(TASKS), "text": 'a "tasks": [1] b\nc'},
                {"tasks": [rng.choice(TASKS) for _ in range(answers)], "measures": {"tasks": ["no"], "x": 1.5}},
                {"tasks": [], "task": "digit"},
            ]
        )
        image = ImageRef(bytes=bytes([number % 256]) * 5, path=None, width=1, height=2)
        made.append(
            make_sample(
                source=f"s{number % 3}", category="general_vqa", images=(image,), conversations=turns, meta=meta
            )
        )
    return made


def by_sample(sample):
    """The plain rule: a user turn and the assistant turn after it are a pair."""
    formatter, tasks, turns = PairFormatter(ON), tasks_of(sample), []
    for turn in sample.conversations:
        if turn.role == "assistant" and turns and turns[-1].role == "user":
            pair = formatter(tasks[sum(t.role == "assistant" for t in turns)], turns[-1].content, turn.content)
            turns[-1:] = [replace(turns[-1], content=pair.question), replace(turn, content=pair.answer)]
        else:
            turns.append(turn)
    return replace(sample, conversations=tuple(turns))


def test_columns_agree_with_the_plain_rule():
    made = samples()
    table, done = format_table(samples_to_table(made), ON)
    assert table_to_samples(table) == [by_sample(sample) for sample in made]
    assert done.rows == {"s0": 67, "s1": 67, "s2": 66}
    assert {"answer_prefix", "bold", "canonical_answer", "replaced_instruction", "whitespace"} <= set(done.changed)


@pytest.mark.parametrize("cut", [(0, 0), (0, 1), (13, 57), (199, 1)])
def test_slices_and_chunks_are_tables_too(cut):
    made = samples()
    whole = samples_to_table(made)
    part, _ = format_table(whole.slice(*cut), ON)
    assert table_to_samples(part) == [by_sample(sample) for sample in made[cut[0] : cut[0] + cut[1]]]
    chunked, _ = format_table(pa.concat_tables([whole.slice(0, 50), whole.slice(50)]), ON)
    assert table_to_samples(chunked) == [by_sample(sample) for sample in made]


def test_images_and_meta_are_the_very_same_columns():
    table = samples_to_table(samples(20))
    formatted, _ = format_table(table, ON)
    assert formatted.schema == table.schema
    for name in ("images", "meta", "sample_id", "source", "category"):
        assert [chunk.buffers()[-1].address for chunk in formatted[name].chunks] == [
            chunk.buffers()[-1].address for chunk in table[name].chunks
        ]


def test_formatting_twice_changes_nothing_more():
    once, _ = format_table(samples_to_table(samples()), ON)
    twice, done = format_table(once, ON)
    assert twice.equals(once)
    assert not done.changed


def test_parts_add_up_to_the_whole():
    made = samples(120)
    _, whole = format_table(samples_to_table(made), ON)
    added = Formatted()
    for start in range(0, 120, 40):
        added.add(format_table(samples_to_table(made[start : start + 40]), ON)[1])
    assert (added.rows, added.changed, dict(added.examples)) == (whole.rows, whole.changed, dict(whole.examples))
    assert added.clusters.total() == whole.clusters.total()
    assert all(len({example["sample_id"] for example in shown}) == len(shown) <= 3 for shown in whole.examples.values())


@pytest.mark.parametrize(
    "meta",
    [
        {"tasks": ["a", "b"]},
        {"tasks": [1, 2]},
        {"task": 3},
        {"task": "a", "x": float("nan")},
        {"task": 'ä\u2028"\\'},
        {},
        {"task": None, "tasks": None},
    ],
)
def test_tasks_are_read_from_any_meta(meta):
    found = declared_tasks(pa.array([json.dumps(meta, ensure_ascii=False), "{}"]))
    many, one = meta.get("tasks"), meta.get("task")
    assert found == [[str(task) for task in many] if many else "open" if one is None else str(one), "open"]


def test_tasks_that_do_not_match_the_answers_are_a_users_error():
    turns = (Turn(role="user", content="Is it?"), Turn(role="assistant", content="yes"))
    good = make_sample(source="web", category="science", images=(), conversations=turns, meta={})
    bad = replace(good, sample_id="f00", meta={"tasks": ["open", "open"]})
    with pytest.raises(AerieError, match=r"sample f00 of 'web': meta.tasks names 2 tasks for 1 answers"):
        format_table(samples_to_table([good, bad]), ON)


def test_a_turn_without_text_is_a_users_error():
    table = samples_to_table(samples(3))
    turns = pa.array([[{"role": "user", "content": None}]] * 3, table.schema.field("conversations").type)
    with pytest.raises(AerieError, match=r"sample [0-9a-f]{32}: a turn without role or content"):
        format_table(table.set_column(4, "conversations", turns), ON)
