import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from data.curation.augmentation import augment_samples, chosen, ending, with_turn
from data.curation.augmentation_charts import chart_compare
from data.curation.augmentation_rules import RULES, VERSION, digit_parity, ocr_count_words, tasks_of
from data.ledger import Tally
from data.registry.sourcing import source_samples
from data.schema import Turn, make_sample
from data.storage import Manifest, commit, read_attachment, read_samples, write_samples

SOURCES = {"vega-charts": 30, "digits": 60, "text-lines": 60, "text-questions": 10, "chatterbot": 10, "easy-vqa": 40}
RULE_NAMES = ["chart_compare", "describe_shape", "digit_parity", "ocr_count_words"]


def write_recipe(folder, seed=7, share=0.5, rules=RULE_NAMES):
    sources = [{"name": name, "max_samples": cap, "max_heldout": 1} for name, cap in SOURCES.items()]
    path = folder / f"recipe-{seed}-{len(list(folder.glob('recipe-*')))}.yaml"
    data = {"sources": sources, "augmentation": {"rules": dict.fromkeys(rules, share)}}
    path.write_text(yaml.safe_dump({"name": "t", "seed": seed, "data": data}))
    return str(path)


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """Real samples of five sources, committed as the selection step does."""
    folder = tmp_path_factory.mktemp("augmentation")
    recipe, tally, samples = write_recipe(folder), Tally("selection"), []
    for name in SOURCES:
        source = str(folder / name)
        samples += read_samples(source, source_samples(recipe, "", name, source))
    samples = [replace(sample, meta={**sample.meta, "stages": ["stage_1_5"]}) for sample in samples]
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
    out = str(folder / "selection")
    shards = write_samples(out, samples, 64)
    rows, counts = len(samples), tally.counts()
    commit(out, Manifest(step="s", fingerprint="s", recipe_sha256="", rows=rows, shards=shards, counts=counts))
    return out


@pytest.fixture(scope="module")
def augmented(selection, tmp_path_factory):
    """(samples before, after, report, manifest)"""
    folder = tmp_path_factory.mktemp("augmented")
    out = str(folder / "out")
    manifest = augment_samples(write_recipe(folder), "", selection, out)
    report = json.loads(read_attachment(out, manifest, "report"))["rules"]
    return list(read_samples(selection)), list(read_samples(out, manifest)), report, manifest


def test_rows_ids_and_what_was_there_stay(augmented):
    before, after, _, manifest = augmented
    assert [sample.sample_id for sample in after] == [sample.sample_id for sample in before]
    assert manifest.rows == len(before) == sum(count.rows_out for count in manifest.counts)
    assert not any(count.gap() or count.rows_added or count.dropped for count in manifest.counts)
    for old, new in zip(before, after, strict=True):
        assert new.conversations[: len(old.conversations)] == old.conversations
        assert (new.images, new.source, new.meta["stages"]) == (old.images, old.source, ["stage_1_5"])
        assert len(new.conversations) == 2 * len(new.meta["tasks"])
        if "augmentation" not in new.meta:
            assert new == old


def test_each_rule_takes_its_share(augmented):
    _, after, report, _ = augmented
    assert set(report) == set(RULE_NAMES) <= set(RULES)
    assert [report[name]["fitting"] for name in ("digit_parity", "ocr_count_words")] == [60, 60]
    for name, entry in report.items():
        assert 0.3 < entry["augmented"] / entry["fitting"] < 0.7
        made = [sample for sample in after if any(p["rule"] == name for p in sample.meta.get("augmentation", []))]
        assert len(made) == entry["augmented"]
        assert 0 < len(entry["examples"]) <= 5
        example = entry["examples"][0]
        assert example["after"].startswith(example["before"])
        assert example["after"].count("assistant: ") == example["before"].count("assistant: ") + 1
    untouched = {sample.source for sample in after if "augmentation" not in sample.meta}
    assert {"text-questions", "chatterbot"} <= untouched


def added(after, rule):
    for sample in after:
        for provenance in sample.meta.get("augmentation", []):
            if provenance["rule"] == rule:
                assert provenance["version"] == VERSION
                yield sample, sample.conversations[-2].content, sample.conversations[-1].content, provenance["inputs"]


def test_chart_answers_follow_from_the_shown_values(augmented):
    directions, firsts = set(), set()
    for sample, question, answer, inputs in added(augmented[1], "chart_compare"):
        chart = sample.meta["chart"]
        shown = dict(zip(chart["labels"], map(Decimal, chart["values"]), strict=True))
        names = [name for name in shown if name in inputs["values"]]
        values = {name: shown[name] for name in names}
        assert len(set(values.values())) == 2
        want = max if "higher" in question else min
        assert answer == want(values, key=values.get)
        assert all(name in question for name in names)
        assert sample.meta["tasks"][-1] == "compare"
        directions.add(inputs["direction"])
        firsts.add(question.endswith(f"or {answer}?"))
    assert directions == {"higher", "lower"}
    assert firsts == {True, False}


def test_parity_and_word_counts_are_right(augmented):
    for sample, _, answer, _ in added(augmented[1], "digit_parity"):
        assert answer == ("odd" if sample.conversations[1].content in "13579" else "even")
        assert sample.meta["tasks"] == ["digit", "parity"]
        assert "task" not in sample.meta
    for sample, question, answer, inputs in added(augmented[1], "ocr_count_words"):
        assert question == "How many words are there?"
        assert int(answer) == len(sample.conversations[1].content.split()) == len(inputs["text"].split())
        assert sample.meta["tasks"] == ["line", "count_words"]


def test_a_description_is_made_of_the_conversations_own_answers(augmented):
    found = list(added(augmented[1], "describe_shape"))
    assert found
    for sample, question, answer, inputs in found:
        said = [turn.content for turn in sample.conversations if turn.role == "assistant"][:-1]
        assert question == "Describe the image."
        assert answer == f"{inputs['color']} {inputs['shape']}"
        assert inputs["color"] in said
        assert inputs["shape"] in said
        assert sample.meta["tasks"][-1] == "description"


def test_the_seed_decides_and_a_second_run_agrees(selection, tmp_path):
    recipe = write_recipe(tmp_path)
    one = augment_samples(recipe, "", selection, str(tmp_path / "one"))
    assert augment_samples(recipe, "", selection, str(tmp_path / "two")).sha256() == one.sha256()
    stamp = Path(tmp_path, "one", "manifest.json").stat().st_mtime_ns
    assert augment_samples(recipe, "", selection, str(tmp_path / "one")) == one
    assert Path(tmp_path, "one", "manifest.json").stat().st_mtime_ns == stamp
    other = augment_samples(write_recipe(tmp_path, seed=8), "", selection, str(tmp_path / "three"))
    assert other.shards != one.shards


def test_share_bounds_and_no_rules(selection, tmp_path):
    before = list(read_samples(selection))
    for number, settings in enumerate(({"share": 0.0}, {"rules": []})):
        out = str(tmp_path / str(number))
        augment_samples(write_recipe(tmp_path, **settings), "", selection, out)
        assert list(read_samples(out)) == before
    out = str(tmp_path / "all")
    manifest = augment_samples(write_recipe(tmp_path, share=1.0), "", selection, out)
    report = json.loads(read_attachment(out, manifest, "report"))["rules"]
    assert all(entry["augmented"] == entry["fitting"] > 0 for entry in report.values())
    assert chosen(1, "rule", "id", 1.0)
    assert not chosen(1, "rule", "id", 0.0)


def chart_sample(labels, values, **names):
    turns = (Turn(role="user", content="q"), Turn(role="assistant", content="a"))
    chart = {"x": "year", "y": "price", "labels": labels, "values": values, **names}
    return make_sample(source="s", category="chart_table", images=(), conversations=turns, meta={"chart": chart})


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (["a", "b"], ["1.5", "1.50"]),
        (["a", "A "], ["1", "2"]),
        (["a", "a", "b"], ["1", "2", "nan"]),
        (["a", "b"], ["1", "many"]),
        (["a", "b"], ["1"]),
        (["a"], ["1"]),
        (["", "b"], ["1", "2"]),
        ("ab", ["1", "2"]),
        (None, None),
    ],
)
def test_ambiguous_or_broken_charts_are_left_alone(labels, values):
    assert chart_compare(chart_sample(labels, values), random.Random(0)) is None


def test_charts_of_other_sources():
    turn = chart_compare(chart_sample(["a", "a", "b", "c"], ["9", "8", "1,200", "-3"]), random.Random(0))
    assert turn is not None
    assert set(turn.inputs["values"]) == {"b", "c"}
    assert chart_compare(chart_sample(["a", "b"], ["1", "2"], x=""), random.Random(0)) is None
    broken = replace(chart_sample([], []), meta={"chart": "a bar chart"})
    assert chart_compare(broken, random.Random(0)) is None


def test_facts_that_do_not_fit():
    nobody = chart_sample(["a"], ["1"])
    assert digit_parity(nobody, random.Random(0)) is None
    assert ocr_count_words(nobody, random.Random(0)) is None
    assert tasks_of(nobody) == ["open"]
    asked = replace(nobody, meta={"text": "two words", "tasks": ["count_words"]})
    assert ocr_count_words(asked, random.Random(0)) is None
    word = replace(nobody, meta={"task": "digit"})
    assert digit_parity(word, random.Random(0)) is None  # its answer is "a"


def test_a_task_that_all_pairs_share_stays_named():
    sample = replace(chart_sample(["a"], ["1"]), meta={"task": "parity"})
    turn = digit_parity(
        replace(
            sample,
            conversations=(Turn(role="user", content="q"), Turn(role="assistant", content="4")),
            meta={"task": "digit"},
        ),
        random.Random(0),
    )
    both = with_turn(sample, "digit_parity", turn)
    assert (both.meta["task"], both.meta["tasks"]) == ("parity", ["parity", "parity"])
    assert ending(both, 2) == "…\nuser: Is the digit even or odd?\nassistant: even"
