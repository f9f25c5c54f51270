"""Local benchmarks: every answer follows from real held-out data, every question is the same again."""

import io
import random
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from data.curation.formatting_tables import format_table
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.registry.cards import load_cards
from data.registry.sourcing import load_adapter
from data.schema import IMAGE_PLACEHOLDER, Turn, make_sample, samples_to_table, table_to_samples
from data.settings.formatting import FormattingSettings
from data.settings.sources import SourceUse
from model.evaluation.local.boxes import GRID, ink_box
from model.evaluation.local_benchmarks import (
    LOCAL_BENCHMARKS,
    benchmark_identity,
    benchmark_questions,
    is_local,
    local_benchmarks,
)
from model.evaluation.questions import sample_questions
from model.evaluation.scorers import SCORERS, normalised
from model.recipe import load_recipe

HELDOUT = {"easy-vqa": 40, "vega-charts": 14, "digits": 20, "text-lines": 20, "text-questions": 20, "chatterbot": 5}


@pytest.fixture(scope="module")
def samples():
    """Held-out samples of the default recipe's sources, formatted as the formatting step does."""
    found = []
    for name, cap in HELDOUT.items():
        card = load_cards()[name]
        rows = load_adapter(card).read(card, SourceUse(name=name, max_samples=1, max_heldout=cap), 7)
        found += [row.sample for row in rows if row.split == "heldout"]
    table, _ = format_table(samples_to_table(found), FormattingSettings())
    return table_to_samples(table)


@pytest.fixture(scope="module")
def made(samples):
    return local_benchmarks(samples, 7)


@pytest.fixture(scope="module")
def by_id(samples):
    return {sample.sample_id: sample for sample in samples}


def test_every_benchmark_is_made_of_the_held_out_samples_alone(made, by_id):
    assert set(made) == set(LOCAL_BENCHMARKS)
    assert all(map(is_local, made))
    assert not is_local("easy-vqa")
    questions = [question for some in made.values() for question in some]
    assert len({question.question_id for question in questions}) == len(questions)
    for name, some in made.items():
        for question in some:
            sample = by_id[question.sample_id]
            assert question.source == name
            assert question.facts["source"] == sample.source
            assert question.images == sample.images
            assert question.prompt.count(IMAGE_PLACEHOLDER) == 1
            assert question.answer == question.answers[0]


def test_order_of_samples_changes_nothing_and_the_seed_does(samples, made):
    shuffled = random.Random(1).sample(samples, len(samples))
    assert local_benchmarks(shuffled, 7) == made
    assert local_benchmarks(shuffled, 7, most=20) == local_benchmarks(samples, 7, most=20)
    other = local_benchmarks(samples, 8)
    assert other["local-choice"] != made["local-choice"]
    ids = [question.question_id for question in made["local-choice"]]
    assert [question.question_id for question in other["local-choice"]] == ids


def test_a_cap_is_even_over_tasks_and_cuts_no_group(samples):
    capped = local_benchmarks(samples, 7, most=20)
    assert all(0 < len(some) <= 20 for some in capped.values())
    assert len(capped["local-chartqa"]) == 20
    assert Counter(question.task for question in capped["local-chartqa"]).most_common()[-1][1] == 4
    groups = Counter(question.facts["group"] for question in capped["local-circular"])
    sizes = {question.facts["group"]: len(question.options) for question in capped["local-circular"]}
    assert groups == sizes


@pytest.mark.parametrize(
    ("benchmark", "rule", "repeats"),
    [("local-docvqa", "anls", None), ("local-chartqa", "relaxed", 1), ("local-ocrbench", "ocrbench", 1),
     ("local-vqa", "vqa", 10)],
)  # fmt: skip
def test_the_samples_own_questions_are_asked_word_for_word(made, by_id, benchmark, rule, repeats):
    for question in made[benchmark]:
        assert question.rule == rule
        if repeats:
            assert question.answers == (question.answer,) * repeats
        number = question.question_id.rpartition("#")[2]
        if number.isdecimal():
            own = sample_questions(by_id[question.sample_id])[int(number)]
            assert (question.prompt, question.answer, question.task) == (own.prompt, own.answer, own.task)


def test_repeated_answers_and_types_of_reading_are_said(made):
    assert {question.facts["annotators"] for question in made["local-vqa"]} == {1}
    assert {question.facts["answer_repeated"] for question in made["local-vqa"]} == {10}
    types = {question.facts["source"]: question.facts["type"] for question in made["local-ocrbench"]}
    assert types == {"digits": "Digit String Recognition", "text-lines": "Regular Text Recognition"}


def test_several_answers_are_accepted_where_several_are_right(made, by_id):
    several = [question for question in made["local-docvqa"] if question.task == "any_word"]
    assert several
    for question in several:
        assert set(question.answers) == set(by_id[question.sample_id].meta["text"].split())
    counts = {question.answers for question in made["local-docvqa"] if question.task == "count_words"}
    assert counts <= {("2", "two"), ("3", "three"), ("4", "four")}
    assert len(counts) > 1


def table_of(sample):
    chart = sample.meta["chart"]
    return dict(zip(chart["labels"], map(Decimal, chart["values"]), strict=True))


def test_calculations_are_those_of_the_shown_table(made, by_id):
    seen = Counter()
    for question in made["local-math"]:
        table, key = table_of(by_id[question.sample_id]), question.question_id.rpartition("#")[2]
        value, values = Decimal(question.answer), list(table.values())
        seen[key] += 1
        if key == "range":
            assert value == max(values) - min(values)
        elif key == "mean":
            assert value * len(values) == sum(values)
        else:
            asked = question.prompt.split(" for ", 1)[1].split("?")[0]
            pairs = {f"{one} and {other}": table[one] + table[other] for one in table for other in table}
            assert value == pairs[asked]
        facts = question.facts
        assert facts["question_type"] == "free_form"
        if facts["answer_type"] == "integer":
            assert question.answer.lstrip("-").isdecimal()
            assert facts["precision"] is None
        else:
            assert len(question.answer.split(".")[1]) == facts["precision"]
    assert set(seen) == {"sum", "range", "mean"}


def test_counts_are_those_of_the_shown_table_or_text(made, by_id):
    for question in made["local-count"]:
        sample, key = by_id[question.sample_id], question.question_id.rpartition("#")[2]
        if question.task == "count_words":
            assert int(question.answer) == len(sample.meta["text"].split())
            continue
        values = table_of(sample).values()
        limit = re.search(r"are above (-?[\d.]+)\?", question.prompt)
        assert (limit is None) == (key == "marks")
        assert int(question.answer) == (len(values) if limit is None else sum(v > Decimal(limit[1]) for v in values))


def test_options_are_real_answers_and_right_letters_stand_everywhere_alike(samples, made):
    answers = {}
    for sample in samples:
        for question in sample_questions(sample):
            answers.setdefault((sample.source, question.task), set()).add(normalised(question.answer))
    places = Counter()
    for question in made["local-choice"]:
        sample = next(sample for sample in samples if sample.sample_id == question.sample_id)
        own = sample_questions(sample)[int(question.question_id.rpartition("#")[2])]
        options = dict(question.options)
        assert options[question.answer] == own.answer
        assert len({normalised(text) for text in options.values()}) == len(options) > 1
        shown = {*map(normalised, sample.meta.get("text", "").split())}
        if "chart" in sample.meta:
            shown |= {normalised(text) for name in ("labels", "values") for text in sample.meta["chart"][name]}
        assert {normalised(text) for text in options.values()} <= answers[sample.source, own.task] | shown
        assert all(f"\n{letter}. {text}\n" in question.prompt for letter, text in question.options)
        assert question.prompt.endswith("\nLetter only")
        assert "Short phrase" not in question.prompt
        places[len(options), question.answer] += 1
    for size in {size for size, _ in places}:
        counts = [places[size, letter] for letter in "ABCD"[:size]]
        assert max(counts) - min(counts) <= 1


def test_circular_copies_are_all_rotations_of_one_question_a_sample(made):
    groups = {}
    for question in made["local-circular"]:
        groups.setdefault(question.facts["group"], []).append(question)
    assert len({copies[0].sample_id for copies in groups.values()}) == len(groups)
    for copies in groups.values():
        texts = [tuple(text for _, text in question.options) for question in copies]
        first = texts[0]
        assert set(texts) == {first[turn:] + first[:turn] for turn in range(len(first))}
        assert len(copies) == len(first)
        assert len({dict(question.options)[question.answer] for question in copies}) == 1
        assert {question.answer for question in copies} == set("ABCD"[: len(first)])


def drawn(draw_it, side=(200, 100), ground="white"):
    image = Image.new("RGB", side, ground)
    draw_it(ImageDraw.Draw(image))
    return make_sample(
        source="s",
        category="general_vqa",
        images=(image_ref(encode_png(image), "x.png"),),
        conversations=(Turn(role="user", content="<image>\nWhat?"), Turn(role="assistant", content="square")),
        meta={"task": "shape"},
    )


def test_a_box_is_where_the_thing_was_drawn():
    box = ink_box(drawn(lambda pen: pen.rectangle((20, 10, 119, 59), fill="red"), ground="#eef"))
    assert box == (100, 100, 600, 600)
    assert ink_box(drawn(lambda pen: None)) is None
    assert ink_box(drawn(lambda pen: pen.rectangle((0, 0, 50, 50), fill="red"))) is None  # what is the ground here?


def test_boxes_of_real_images_lie_within_a_pixel_of_all_ink(made, by_id):
    seen = Counter()
    for question in made["local-grounding"]:
        sample = by_id[question.sample_id]
        image = Image.open(io.BytesIO(sample.images[0].bytes)).convert("RGB")
        ground = Image.new("RGB", image.size, image.getpixel((0, 0)))
        ink = ImageChops.difference(image, ground).getbbox()  # with the faintest smoothing
        box = [int(number) for number in re.findall(r"\d+", question.answer)]
        found = [edge * size / GRID for edge, size in zip(box, image.size * 2, strict=True)]
        assert all(abs(one - other) <= 1.1 for one, other in zip(found, ink, strict=True)), question.question_id
        seen[sample.source] += 1
    assert set(seen) == {"easy-vqa", "text-lines", "text-questions"}
    assert seen["text-lines"] == HELDOUT["text-lines"]


def test_own_scorers_give_a_reference_full_marks(made):
    for some in made.values():
        for question in some:
            if question.rule in SCORERS:
                assert max(SCORERS[question.rule](question.answer, other) for other in question.answers) == 1


def test_every_rule_can_score_its_benchmark(made):
    rules = pytest.importorskip("model.evaluation.rules")
    from model.evaluation.answered import Answered

    for some in made.values():
        for question in some:
            names = ("question_id", "rule", "prompt", "answers", "options", "facts")
            known = {name: getattr(question, name) for name in names}
            for output, value in ((question.answers[-1], 1), ("?", 0)):
                row = Answered(benchmark=question.source, output=output, **known)
                assert rules.verdict(row, "eagle2").value == value, (question, output)


def test_instructions_follow_the_recipe(samples):
    bare = local_benchmarks(samples, 7, most=8, formatting=FormattingSettings(instructions=False))
    assert all(question.prompt.endswith(question.options[-1][1]) for question in bare["local-choice"])
    full = local_benchmarks(samples, 7, most=8, formatting=FormattingSettings(wording="full"))
    assert all(question.prompt.endswith("Answer with the option's letter.") for question in full["local-choice"])


def test_samples_without_images_or_tables_serve_no_benchmark(samples):
    assert local_benchmarks([sample for sample in samples if sample.source == "chatterbot"], 7) == {}
    odd = drawn(lambda pen: None)
    for chart in (
        None,
        3,
        {"kind": "bar"},
        {"kind": "bar", "x": "x", "y": "y", "labels": ["a", "b"], "values": ["1", "n"]},
    ):
        broken = make_sample(
            source="s",
            category="chart_table",
            images=odd.images,
            conversations=odd.conversations,
            meta={"task": "value_at", "chart": chart},
        )
        assert set(local_benchmarks([broken], 7)) == set()


def test_a_network_answers_every_kind_of_question(samples, finished_run, tiny_settings):
    """Real tiles, tokens and decoding: nothing that is asked is too long or places an image wrongly."""
    from model.evaluation.predict import Answerer
    from model.inputs.tokens import ChatTokenizer
    from model.vlm import build_model

    tokenizer = ChatTokenizer.load(f"{finished_run[2]}/tokenizer")
    model = build_model(tiny_settings, tokenizer.vocab_size, tokenizer.image_context_id, seed=3)
    asked = [question for some in local_benchmarks(samples, 7, most=8).values() for question in some]
    answerer = Answerer(model, tokenizer, batch_size=32, max_new_tokens=3)
    for blind in (False, True):
        outputs = answerer.answers(asked, blind=blind, label="local")
        assert len(outputs) == len(asked) > 60


RECIPE = "pipelines/recipes/tiny.yaml"


def test_the_recipe_switches_them_on(samples, tmp_path):
    text, switch = Path(RECIPE).read_text(), "local_benchmarks: true"
    assert switch in text, "the embedded default asks them"
    most = load_recipe(RECIPE).evaluation.max_questions_per_benchmark
    asked = benchmark_questions(load_recipe(RECIPE), samples)
    assert {question.source for question in asked} == set(LOCAL_BENCHMARKS)
    assert max(Counter(question.source for question in asked).values()) <= most
    assert benchmark_identity(load_recipe(RECIPE))["local_benchmarks"]["most"] == most
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace(switch, "local_benchmarks: false"))
    assert benchmark_questions(load_recipe(str(path)), samples) == []
    assert benchmark_identity(load_recipe(str(path))) == {}
    path.write_text(text.replace(f"max_questions_per_benchmark: {most}", "max_questions_per_benchmark: 2"))
    with pytest.raises(AerieError, match="max_questions_per_benchmark"):
        load_recipe(str(path))
