"""Each adapter on the real package data, at small caps."""

import re
from decimal import Decimal

import pytest

from data.errors import AerieError
from data.expectations.checks import image_hashes, structure_problem
from data.registry import rows
from data.registry.adapters import easy_vqa, text_lines, vega_charts
from data.registry.cards import load_cards
from data.registry.rows import Accepted, Rejected, package_identity, seeded_keep
from data.registry.sourcing import load_adapter
from data.settings.sources import SourceUse

CARDS = {name: card for name, card in load_cards().items() if card.status == "verified"}


def read(name, train=6, heldout=4, seed=7, card=None):
    card = card or CARDS[name]
    use = SourceUse(name=name, max_samples=train, max_heldout=heldout)
    return list(load_adapter(card).read(card, use, seed))


@pytest.mark.parametrize("name", sorted(CARDS))
def test_caps_structure_determinism_and_tasks(name):
    found = read(name)
    accepted = [row for row in found if isinstance(row, Accepted)]
    assert sum(row.split == "train" for row in found) == 6
    assert sum(row.split == "heldout" for row in found) == 4
    for row in accepted:
        assert structure_problem(row.sample) is None
        assert isinstance(image_hashes(row.sample), tuple)
        assert len(row.sample.meta["tasks"]) * 2 == len(row.sample.conversations)
        assert row.sample.category == CARDS[name].category
    assert found == read(name)
    train = {row.sample.sample_id for row in accepted if row.split == "train"}
    assert not train & {row.sample.sample_id for row in accepted if row.split == "heldout"}


def test_easy_vqa_is_complete_and_keeps_its_answers():
    found = read("easy-vqa", None, None)
    by_split = {side: [row.sample for row in found if row.split == side] for side in ("train", "heldout")}
    questions = {side: sum(len(s.conversations) // 2 for s in samples) for side, samples in by_split.items()}
    assert {side: len(samples) for side, samples in by_split.items()} == {"train": 4000, "heldout": 1000}
    assert questions == {"train": 38575, "heldout": 9673}
    answers = {turn.content for sample in by_split["train"] for turn in sample.conversations[1::2]}
    assert len(answers) == 13
    first = by_split["heldout"][0]
    assert first.conversations[0].content.startswith("<image>\n")
    assert [easy_vqa.task_of(turn.content) for turn in first.conversations[1::2]] == first.meta["tasks"]


def test_easy_vqa_bad_files_become_rejected_rows(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for split in ("train", "test"):
        (data / split / "images").mkdir(parents=True)
    (data / "train" / "images" / "0.png").write_bytes(b"broken")
    good = next(row for row in read("easy-vqa", 1, 1) if isinstance(row, Accepted))
    (data / "train" / "images" / "2.png").write_bytes(good.sample.images[0].bytes)
    (data / "train" / "questions.json").write_text('[["q", "yes", 0], ["q", "yes", 1], ["q", " ", 2]]')
    (data / "test" / "questions.json").write_text("[]")
    monkeypatch.setattr(easy_vqa, "package_folder", lambda card, module: tmp_path)
    found = read("easy-vqa", None, None)
    assert [(row.key, row.reason) for row in found if isinstance(row, Rejected)] == [
        ("train/0.png", "corrupt_image"),
        ("train/1.png", "missing_file"),
        ("train/2.png", "empty_answer"),
    ]


def test_charts_are_held_out_by_table_and_answers_follow_from_the_shown_values():
    found = read("vega-charts", 40, 20)
    tables = {side: {row.sample.meta["table"] for row in found if row.split == side} for side in ("train", "heldout")}
    assert not tables["train"] & tables["heldout"]
    assert tables["heldout"] <= set(CARDS["vega-charts"].options["heldout_tables"])
    seen = set()
    for row in found:
        chart, turns = row.sample.meta["chart"], row.sample.conversations
        shown = dict(zip(chart["labels"], map(Decimal, chart["values"]), strict=True))
        for question, answer, task in zip(turns[::2], turns[1::2], row.sample.meta["tasks"], strict=True):
            seen.add(task)
            if task == "max":
                assert shown[answer.content] == max(shown.values())
            elif task == "min":
                assert shown[answer.content] == min(shown.values())
            elif task == "value_at":
                assert shown[re.search(r" for (.*)\?$", question.content)[1]] == Decimal(answer.content)
            elif task == "difference":
                one, other = re.search(r" between (.*) and (.*)\?$", question.content).groups()
                assert abs(shown[one] - shown[other]) == Decimal(answer.content)
            else:
                first, *_, last = shown.values()
                assert answer.content == ("rise" if last > first else "fall" if last < first else "stay the same")
    assert seen == {"max", "min", "value_at", "difference", "trend"}


def test_a_chart_does_not_depend_on_what_was_drawn_before():
    few, many = read("vega-charts", 5, 1), read("vega-charts", 20, 1)
    pixels = {row.sample.meta["key"]: row.sample.images[0].bytes for row in many}
    assert all(pixels[row.sample.meta["key"]] == row.sample.images[0].bytes for row in few if row.split == "train")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([135450.0, 98210.0], (("135", "98"), "(thousands)")),
        ([8.04, 6.5], (("8.04", "6.5"), "")),
        ([0.0], (("0",), "")),
    ],
)
def test_printed_values_are_short(values, shown):
    assert vega_charts.printed(values) == shown


def test_lines_of_the_two_text_sources_and_of_the_two_splits_differ():
    lines = {
        (name, row.split, row.sample.meta["text"])
        for name in ("text-lines", "text-questions")
        for row in read(name, 300, 100)
    }
    texts = [text for _, _, text in lines]
    assert len(texts) == len(set(texts))


def test_a_missing_licence_document_says_what_to_do():
    card = CARDS["text-lines"]
    wrong = {**card.options, "documents": [{"package": "matplotlib", "file": "NO-SUCH-FILE"}]}
    with pytest.raises(AerieError, match="ships no licence file 'NO-SUCH-FILE'"):
        text_lines.identity(card.model_copy(update={"options": wrong}))


def test_chatterbot_leaves_topics_out_and_quarantines_what_is_no_dialogue():
    found = read("chatterbot", None, None)
    topics = {row.sample.meta["topic"] for row in found if isinstance(row, Accepted)}
    assert not topics & {"gossip", "politics", "humor", "emotion"}
    assert [row.reason for row in found if isinstance(row, Rejected)] == ["invalid_conversation"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [("pypi://no-such-package@1.0", "pip install no-such-package==1.0"), ("pypi://easy-vqa@0.1", "installed is 1.0")],
)
def test_a_missing_package_says_what_to_install(uri, message):
    with pytest.raises(AerieError, match=message):
        package_identity(CARDS["easy-vqa"].model_copy(update={"uri": uri}))


def test_a_bad_option_names_the_card():
    card = CARDS["digits"].model_copy(update={"options": {"heldout_one_in": 0}})
    with pytest.raises(AerieError, match="card 'digits', options"):
        read("digits", card=card)


def test_seeded_keep_is_a_stable_subset_in_order():
    keys = list(range(100))
    kept = seeded_keep(keys, 10, 1, "x")
    assert kept == sorted(kept)
    assert set(kept) <= set(seeded_keep(keys, 20, 1, "x"))  # a larger cap only adds
    assert kept != seeded_keep(keys, 10, 2, "x")
    assert rows.seeded_keep(keys, None, 1, "x") == keys
