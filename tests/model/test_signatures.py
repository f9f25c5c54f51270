"""Signatures over many predictions, biases with known truth, tracing, and who is to blame for a drop."""

import random
from collections import Counter

import pytest

from data.schema import Turn, make_sample
from model.evaluation.predictions import Prediction
from model.evaluation.signatures import SIGNATURES, regressions, signatures, suspects, traced
from model.evaluation.signatures.biases import ALPHA, Paired, constant_bias, marginal_pvalue, option_bias, yes_no_bias
from model.evaluation.signatures.choice import chosen, options_of, yes_or_no
from model.evaluation.signatures.reply import Reply
from model.evaluation.signatures.tracing import Trace, trace

LETTERS = "ABCD"
OPTIONS = tuple((letter, f"thing {letter}") for letter in LETTERS)


def prediction(number, output, answer, source="bench", prompt="<image>\nWhat is it?", **more):
    values = {
        "question_id": f"{source}-{number}#0", "sample_id": f"{source}-{number}", "source": source,
        "category": "general_vqa", "task": "open", "answer_type": "open", "prompt": prompt, "answer": answer,
        "output": output, "majority": "", "blind": False, "checkpoint": "c", "rule": "exact", "answers": (answer,),
    }  # fmt: skip
    return Prediction(**{**values, **more})


def named(found):
    return {one.name: one for one in found}


def choices(said, right):
    return [Paired(a, b, len(LETTERS)) for a, b in zip(said, right, strict=True)]


def drawn(seed, count, weights=None, of=LETTERS):
    return random.Random(seed).choices(of, weights=weights, k=count)


# ---------------------------------------------------------------- biases with known truth


def test_a_model_that_always_says_a_is_biased_on_any_set():
    for weights in (None, (7, 1, 1, 1)):
        right = drawn(1, 80, weights)
        bias = option_bias(choices("A" * 80, right))
        assert (bias.favoured, bias.said, bias.right) == ("A", 80, right.count("A"))
        assert bias.wrong == 80 - right.count("A")
        assert bias.found


def test_knowledge_guesses_and_noise_are_no_bias():
    for seed in range(40):
        balanced, lopsided = drawn(seed, 120), drawn(seed, 120, (70, 10, 10, 10))
        guesses = drawn(1000 + seed, 120)
        for right in (balanced, lopsided):
            half_right = [a if number % 2 else b for number, (a, b) in enumerate(zip(right, guesses, strict=True))]
            for said in (right, guesses, half_right):
                assert not option_bias(choices(said, right)).found, seed


def test_a_leaning_model_is_found_and_its_letter_named():
    found = 0
    for seed in range(20):
        right = drawn(seed, 200)
        lean = drawn(seed + 500, 200, (1, 1, 5, 1))
        said = [a if number % 2 else b for number, (a, b) in enumerate(zip(right, lean, strict=True))]
        bias = option_bias(choices(said, right))
        assert bias.favoured == "C"
        found += bias.found
    assert found >= 19


@pytest.mark.parametrize("yes", [0.5, 0.8, 0.2])
def test_yes_bias_is_told_from_knowledge_chance_and_error(yes):
    for seed in range(25):
        generator = random.Random(seed)
        right = ["yes" if generator.random() < yes else "no" for _ in range(150)]
        noisy = [word if generator.random() < 0.8 else {"yes": "no", "no": "yes"}[word] for word in right]
        coin = [generator.choice(("yes", "no")) for _ in right]
        for said in (right, noisy, coin):
            assert not yes_no_bias([Paired(a, b, 2) for a, b in zip(said, right, strict=True)]).found, seed
        leaning = ["yes" if word == "no" and generator.random() < 0.6 else word for word in right]
        bias = yes_no_bias([Paired(a, b, 2) for a, b in zip(leaning, right, strict=True)])
        assert bias.favoured == "yes"
        assert bias.found, (seed, bias)


def test_no_is_found_as_well_and_one_kind_of_question_alone_tells_nothing():
    right = ["yes", "no"] * 30
    assert yes_no_bias([Paired("no", word, 2) for word in right]).favoured == "no"
    assert not yes_no_bias([Paired("yes", "yes", 2)] * 50).found
    assert not yes_no_bias([Paired("yes", "no", 2)] * 50).found  # all wrong, but nothing to compare with


def test_a_constant_output_is_found_among_free_answers():
    right = [f"word {number}" for number in range(60)]
    collapsed = [Paired("a street" if number % 3 == 0 else word, word) for number, word in enumerate(right)]
    bias = constant_bias(collapsed)
    assert (bias.favoured, bias.said, bias.right, bias.wrong) == ("a street", 20, 0, 20)
    assert bias.found
    assert not constant_bias([Paired(word, word) for word in right]).found
    assert not constant_bias([Paired(f"other {word}", word) for word in right]).found
    assert not constant_bias([Paired("red", "red")] * 60).found  # the sole right answer


def test_the_tests_are_exact():
    pairs = [Paired("A", "B", 4)] * 8 + [Paired("B", "A", 4)] * 2 + [Paired("A", "A", 4)] * 5
    assert marginal_pvalue(pairs, "A") == pytest.approx(sum((45, 10, 1)) / 2**10)
    assert marginal_pvalue([Paired("A", "A", 4)], "A") == 1
    assert option_bias([]) is yes_no_bias([]) is constant_bias([]) is None


def test_false_alarms_stay_below_the_level():
    alarms = sum(option_bias(choices(drawn(seed, 60), drawn(seed + 9000, 60))).found for seed in range(400))
    assert alarms <= 400 * ALPHA * 2


# ---------------------------------------------------------------- reading answers


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B", "B"), ("b", "B"), ("(B)", "B"), ("B.", "B"), ("B. thing B", "B"), ("The answer is B.", "B"), ("**C**", "C"),
     ("Option D", "D"), ("thing A", "A"), ("Thing a.", "A"), ("E", ""), ("none", ""), ("", ""), ("A or B", "")],
)  # fmt: skip
def test_the_chosen_letter_is_read(text, letter):
    assert chosen(text, dict(OPTIONS)) == letter


def test_options_come_from_the_benchmark_or_from_the_question():
    assert options_of(Reply(question="Which?", text="", options=OPTIONS)) == dict(OPTIONS)
    assert options_of(Reply(question="Which?\nA. red\nB. blue", text="")) == {"A": "red", "B": "blue"}
    assert options_of(Reply(question="Is plan A. good?", text="")) == {}
    assert [yes_or_no(text) for text in ("Yes.", "no, it isn't", "not", "No parking", "")] == ["yes", "no", "", "", ""]


# ---------------------------------------------------------------- all of it over predictions


def test_every_signature_is_listed_with_counts_sources_and_examples():
    rows = [prediction(n, rf"\boxed{{word {n}}}", f"word {n}", source="ocrbench") for n in range(10)]
    rows += [prediction(n, f"word {n}", f"word {n}", source="other") for n in range(30)]
    rows += [prediction(99, "", "red", source="other"), prediction(98, r"\boxed{x}", "x", blind=True)]
    found = signatures(rows)
    assert tuple(one.name for one in found) == SIGNATURES
    latex = named(found)["fixed_latex"]
    assert (latex.count, latex.asked, latex.share) == (10, 41, 10 / 41)
    assert (latex.sources, latex.asked_of) == ({"ocrbench": 10}, {"ocrbench": 10})
    assert latex.marks == {r"\boxed": 10}
    assert [one.question_id for one in latex.examples] == ["ocrbench-0#0", "ocrbench-1#0"]
    assert latex.examples[0].output == r"\boxed{word 0}"
    assert named(found)["empty_output"].sources == {"other": 1}
    assert named(found)["refusal"].count == 0
    assert latex.pvalue is None


def test_right_answers_and_nothing_show_no_signature():
    assert all(one.count == one.share == 0 for one in signatures([]))
    texts = [
        "red",
        "yes",
        "12.3456",
        r"\frac{1}{2}",
        "",
        "红色",
        "I don't know.",
        "no " * 30,
        '{"a": 1}',
        "[1, 2, 3, 4]",
    ]
    rows = [prediction(number, text, text) for number, text in enumerate(texts)]
    assert not [one.name for one in signatures(rows) if one.count]


def test_biases_are_tested_per_source_and_corrected_for_all_of_them():
    right = drawn(5, 100)
    rows = [prediction(n, "A", letter, source="biased", options=OPTIONS) for n, letter in enumerate(right)]
    for other in range(3):
        rows += [prediction(n, x, x, source=f"fair-{other}", options=OPTIONS) for n, x in enumerate(right)]
    found = named(signatures(rows))["position_bias"]
    assert found.sources == {"biased": 100 - right.count("A")}
    assert found.asked == 400
    assert found.marks == {"A": found.count}
    assert found.pvalue == found.biases["biased"].pvalue < ALPHA
    assert set(found.biases) == {"biased", "fair-0", "fair-1", "fair-2"}
    assert not found.biases["fair-0"].found
    alone = named(signatures([row for row in rows if row.source == "biased"]))["position_bias"]
    assert found.pvalue == pytest.approx(4 * alone.pvalue)
    assert named(signatures(rows))["yes_bias"].pvalue is None


def test_yes_bias_reads_references_of_several_annotators():
    rows = [prediction(n, "Yes, it is.", ("yes", "no")[n % 2], prompt="<image>\nIs it red?") for n in range(60)]
    assert named(signatures(rows))["yes_bias"].sources == {"bench": 30}
    torn = [prediction(n, "yes", "yes", answers=("yes", "no"), prompt="<image>\nIs it?") for n in range(60)]
    assert named(signatures(torn))["yes_bias"].asked == 0


# ---------------------------------------------------------------- tracing


def sample(source, *pairs, category="general_vqa", **meta):
    turns = [turn for q, a in pairs for turn in (Turn(role="user", content=q), Turn(role="assistant", content=a))]
    return make_sample(source=source, category=category, images=(), conversations=tuple(turns), meta=meta)


LATEX, PLAIN = ("<image>\nWhat is written?", r"\begin{align*} STOP \end{align*}"), ("<image>\nWhat colour?", "red")
ASKED = ("<image>\nWrite the formula in LaTeX.", r"\begin{align*} x \end{align*}")
BOXED = ("<image>\nWhat is it?", r"\boxed{4}")


def test_the_trace_counts_samples_answers_and_unasked_ones_by_source():
    samples = [sample("a", LATEX, PLAIN), sample("a", PLAIN, ("And this?", LATEX[1])), sample("a", PLAIN)]
    samples += [sample("b", ASKED), sample("c", BOXED), sample("d", PLAIN)]
    found = traced(["fixed_latex", "refusal"], samples)
    assert set(found) == {"fixed_latex"}
    assert list(found["fixed_latex"]) == ["a", "b", "c"]
    a, b = found["fixed_latex"]["a"], found["fixed_latex"]["b"]
    assert (a.count, a.total, a.share, a.unasked, a.answers, a.answers_total) == (2, 3, 2 / 3, 2, 2, 5)
    assert (b.count, b.unasked) == (1, 0)
    assert a.examples[1].answer == LATEX[1]
    narrowed = traced(["fixed_latex"], samples, marks={"fixed_latex": {r"\boxed"}})
    assert list(narrowed["fixed_latex"]) == ["c"]


def test_a_stage_counts_only_samples_whose_showing_pairs_stand_in_its_packs():
    one, two = sample("a", PLAIN, LATEX), sample("a", LATEX, PLAIN)
    shown = {"stage_1": {one.sample_id: {0}}, "stage_2": {one.sample_id: {0, 1}, two.sample_id: {0}}, "stage_1_5": {}}
    found = traced(["fixed_latex"], [one, two], shown=shown)["fixed_latex"]["a"]
    assert found.packed == {"stage_1": 0, "stage_2": 2, "stage_1_5": 0}


def test_biases_are_traced_to_answers_with_the_favoured_word():
    pairs = [("<image>\nIs it red?", "yes")] * 3 + [("<image>\nIs it blue?", "no")]
    found = traced(["yes_bias"], [sample("a", *pairs), sample("b", PLAIN)], marks={"yes_bias": {"yes"}})
    assert list(found["yes_bias"]) == ["a"]
    assert (found["yes_bias"]["a"].answers, found["yes_bias"]["a"].answers_total) == (3, 4)
    letters = [("<image>\nWhich?\nA. red\nB. blue", letter) for letter in "AAB"]
    found = traced(["position_bias"], [sample("a", *letters)], marks={"position_bias": {"A"}})
    assert (found["position_bias"]["a"].answers, found["position_bias"]["a"].answers_total) == (2, 3)
    said = [sample("a", PLAIN), sample("a", ("<image>\nWhat else?", "A street."))]
    found = traced(["constant_output"], said, marks={"constant_output": {"a street"}})
    assert found["constant_output"]["a"].count == 1


def test_parts_of_the_training_set_are_summed():
    samples = [sample("a", (LATEX[0], rf"\boxed{{{n}}}"), PLAIN) for n in range(7)] + [sample("b", BOXED)]
    whole = Trace()
    for begin in range(0, len(samples), 3):
        whole.add(trace(["fixed_latex"], samples[begin : begin + 3]))
    assert whole.patterns({}) == traced(["fixed_latex"], samples)


def test_training_answers_of_each_pattern_are_found_by_the_detectors_of_outputs():
    answers = {
        "fixed_template": "The answer is red.",
        "repetition_loop": "no " * 30,
        "decimal_precision": "12.34567",
        "refusal": "I'm sorry, but I can't see it.",
        "empty_output": "...",
        "language_switch": "这辆车是红色的。",
    }
    samples = [sample(name, ("<image>\nWhat colour is the car?", answer)) for name, answer in answers.items()]
    samples.append(sample("format_drift", ("<image>\nIs the car red?", "The car over there is painted in red.")))
    found = traced(SIGNATURES[:8], samples)
    for name in (*answers, "format_drift"):
        assert found[name][name].unasked == 1, name


# ---------------------------------------------------------------- drops and suspects


def drop(before, after, **more):
    right = [prediction(n, "red" if n < before else "no", "red", **more) for n in range(40)]
    return right, [prediction(n, "red" if n < after else "no", "red", **more) for n in range(40)]


def test_a_fall_beyond_chance_on_common_questions_is_a_regression():
    before, after = drop(40, 20, source="ocrbench")
    (found,) = regressions(before, [*after, prediction(99, "no", "red", source="ocrbench")])
    assert (found.questions, found.before, found.after, found.worse, found.better) == (40, 1.0, 0.5, 20, 0)
    assert found.reads_text
    assert found.pvalue == pytest.approx(2**-20)
    assert regressions(*drop(40, 38)) == []  # two of forty: chance
    assert regressions(*drop(20, 40)) == []
    assert regressions(before, []) == regressions([], after) == []
    assert regressions(before, after, scored=lambda row: None) == []


def gate(source, score=0.9, category="general_vqa", decision="flag"):
    return {"source": source, "category": category, "score": score, "flag_above": 0.8, "decision": decision}


def test_only_a_new_similar_source_beside_a_drop_is_named():
    fallen = regressions(*drop(40, 10, source="vqa"))
    entries = [
        gate("new"), gate("old"), gate("unlike", score=0.3), gate("first", score=None),
        gate("gone", decision="reject"), gate("elsewhere", category="science"),
    ]  # fmt: skip
    (found,) = suspects(entries, {"old"}, fallen)
    assert (found.source, found.drops, found.score, found.threshold) == ("new", ("vqa",), 0.9, 0.8)
    assert suspects(entries, {"old"}, []) == []


def test_a_source_of_another_category_is_named_by_what_it_teaches():
    before, after = drop(40, 10, source="vqa")
    after = [prediction(n, r"\boxed{red}", "red", source="vqa") for n in range(40)]
    fallen, found = regressions(before, after), signatures(after)
    entries = [gate("boxes", category="science"), gate("plain", category="science")]
    traces = traced(["fixed_latex"], [sample("boxes", BOXED), sample("plain", PLAIN)])
    (suspect,) = suspects(entries, (), fallen, traces, found)
    assert (suspect.source, suspect.patterns) == ("boxes", {"fixed_latex": 1})
    assert suspects(entries, (), fallen, traces) == []


def test_reading_links_both_kinds_of_ocr():
    fallen = regressions(*drop(40, 10, source="bench", category="ocr_qa"))
    assert [one.source for one in suspects([gate("new", category="naive_ocr")], (), fallen)] == ["new"]


def test_marks_are_counted_in_order_of_frequency():
    rows = [prediction(n, r"\boxed{1}" if n % 3 else "$$ x $$", "1") for n in range(9)]
    assert list(Counter(named(signatures(rows))["fixed_latex"].marks)) == [r"\boxed", "$$"]
