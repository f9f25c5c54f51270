"""Weaknesses are ranked by what can surely be gained, and each names registry sources that fit."""

import math

import pytest

from data.registry.cards import SourceCard, load_cards
from data.schema import CATEGORIES
from model.evaluation.predictions import Prediction
from model.evaluation.scorers import METRIC_OF_TASK
from model.evaluation.weaknesses.gains import CATEGORIES_OF_BENCHMARK, category_weights
from model.evaluation.weaknesses.intervals import score_interval
from model.evaluation.weaknesses.kinds import SKILL_OF_TASK, SKILLS, image_type, image_types, skill_of, skill_word
from model.evaluation.weaknesses.ranking import weaknesses
from model.evaluation.weaknesses.search import leads_for, search_list

CATEGORY_OF = {"charts": "chart_table", "lines": "naive_ocr", "scenes": "general_vqa", "chat": "text_only"}


def asked(source, task, rights, *, rule="exact", majority="", blind=False, per_sample=1, start=0, **more):
    """A prediction for each of `rights`: answered rightly or not."""
    rows = []
    for number, right in enumerate(rights, start):
        known = {
            "question_id": f"{source}-{task}-{number}",
            "sample_id": f"{source}-{number // per_sample}",
            "prompt": f"<image>\n{task} {number}?",
            "answer": "yes",
            "answers": ("yes",),
        } | more
        rows.append(
            Prediction(
                source=source, category=CATEGORY_OF[source], task=task, answer_type="open",
                output="yes" if right else "no", majority=majority, blind=blind, checkpoint="c", rule=rule, **known,
            )
        )  # fmt: skip
    return rows


def shares(right, questions):
    return [number < right for number in range(questions)]


def wilson(mean, size, z=1.959964):
    centre = (mean + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(mean * (1 - mean) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    return centre - half, centre + half


@pytest.mark.parametrize(("right", "questions"), [(50, 100), (1, 10), (7, 8)])
def test_independent_questions_have_wilsons_interval(right, questions):
    low, high = score_interval(shares(right, questions), range(questions))
    # m/(m-1) in the variance over clusters makes the effective size slightly smaller than the number of questions
    assert (low, high) == pytest.approx(wilson(right / questions, questions - 1), abs=1e-9)


def test_known_wilson_values():
    assert score_interval([1.0] * 10, range(10)) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert score_interval([0.0] * 10, range(10)) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_questions_of_one_image_are_no_independent_evidence():
    scores = [float(number // 10 < 5) for number in range(100)]  # ten images, ten questions each, all alike
    alike = score_interval(scores, [number // 10 for number in range(100)])
    apart = score_interval(scores, range(100))
    assert alike == pytest.approx(wilson(0.5, 9), abs=1e-9)
    assert alike[0] < apart[0] < 0.5 < apart[1] < alike[1]
    assert score_interval([1.0] * 100, [number // 10 for number in range(100)])[0] == pytest.approx(0.7225, abs=1e-4)


def test_part_scores_and_single_questions_stay_in_bounds():
    low, high = score_interval([0.4, 0.6, 0.5], "abc")
    assert 0 <= low < 0.5 < high <= 1
    assert score_interval([0.0], "a")[0] == 0
    with pytest.raises(ValueError, match="no interval"):
        score_interval([], [])


def test_weights_share_out_one_average():
    weights = category_weights()
    assert len(CATEGORIES_OF_BENCHMARK) == 13
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) == set(CATEGORIES)


def test_the_expected_gain_is_what_is_surely_missing():
    rows = asked("charts", "max", shares(30, 60)) + asked("charts", "min", shares(6, 20))
    weights = {"chart_table": 0.25}
    first, second = weaknesses(rows, weights=weights)
    assert (first.task, first.questions, first.score) == ("max", 60, 0.5)
    assert first.expected_gain == pytest.approx(100 * 0.25 * 60 / 80 * (1 - first.high))
    assert second.expected_gain == pytest.approx(100 * 0.25 * 20 / 80 * (1 - second.high))
    assert first.low < 0.5 < first.high
    # min is the lower score of the two, so max is the level that it is held to
    assert (second.best, second.best_score) == ("max (chart)", 0.5)
    assert second.gap_to_best == pytest.approx(0.2)
    assert first.best == ""
    assert first.gap_to_best is None


def test_few_wrong_answers_do_not_outrank_many():
    rows = asked("charts", "max", [False] * 2) + asked("charts", "min", shares(20, 100))
    assert [cell.task for cell in weaknesses(rows)] == ["min", "max"]


def test_baselines_tell_guessing():
    rows = asked("scenes", "yes_no", shares(52, 100), majority="yes")  # majority is always right here
    rows += asked("scenes", "color", shares(90, 100), majority="no")
    rows += asked("scenes", "color", shares(20, 100), blind=True)
    cells = {cell.task: cell for cell in weaknesses(rows)}
    assert (cells["yes_no"].majority, cells["yes_no"].blind) == (1.0, None)
    assert cells["yes_no"].guesses
    assert cells["yes_no"].gap_to_baseline == pytest.approx(-0.48)
    assert (cells["color"].majority, cells["color"].blind) == (0.0, 0.2)
    assert not cells["color"].guesses
    assert cells["color"].gap_to_baseline == pytest.approx(0.7)
    options = (("A", "yes"), ("B", "no"), ("C", "so"), ("D", "ho"))
    (choice,) = weaknesses(asked("lines", "multiple_choice", shares(26, 100), options=options))
    assert (choice.chance, choice.majority, choice.blind) == (0.25, None, None)
    assert choice.guesses
    (bare,) = weaknesses(asked("chat", "dialogue", shares(1, 9)))
    assert (bare.baseline, bare.gap_to_baseline, bare.guesses) == (None, None, False)


def test_perfect_cells_are_no_weakness_and_small_ones_no_level():
    rows = asked("lines", "line", shares(3, 10)) + asked("lines", "digit", shares(12, 12))
    rows += asked("lines", "ocr", shares(9, 9))
    (line,) = weaknesses(rows)
    assert (line.task, line.best, line.best_score) == ("line", "digit (text line)", 1.0)
    (line,) = weaknesses(asked("lines", "line", shares(3, 10)) + asked("lines", "ocr", shares(9, 9)))
    assert line.best == ""


def test_a_question_asked_twice_in_the_same_words_counts_once_for_its_source():
    rows = asked("charts", "max", shares(5, 10))
    again = asked("charts", "max", shares(5, 10), facts={"source": "charts"})
    copies = [Prediction(**{n: getattr(p, n) for n in Prediction.__slots__} | {"source": "local"}) for p in again]
    assert weaknesses(rows + copies) == weaknesses(rows)
    (cell,) = weaknesses(copies, image_types={"charts": "diagram"})
    assert (cell.sources, cell.image_type) == (("charts",), "diagram")


def test_what_cannot_be_judged_is_left_out_and_a_scorer_may_be_given():
    rows = asked("scenes", "label", shares(2, 8), rule="mmvet")
    assert weaknesses(rows) == []
    (cell,) = weaknesses(rows, score_of=lambda row: 0.5 if row.output == "yes" else None)
    assert (cell.questions, cell.score) == (2, 0.5)


def test_the_best_of_several_references_counts():
    (cell,) = weaknesses(asked("lines", "line", [True, False], rule="anls", answers=("absolutely", "yes")))
    assert cell.score == 0.5


def test_order_of_predictions_changes_nothing():
    rows = asked("charts", "max", shares(30, 60), per_sample=4) + asked("lines", "line", shares(9, 30))
    assert weaknesses(rows[::-1]) == weaknesses(rows)


def card(name, category="chart_table", description="Questions about charts.", **more):
    known = {"uri": f"hf://datasets/x/{name}", "licence": "MIT", "adapter": "hf_parquet", "split_key": "images"}
    return SourceCard(name=name, category=category, description=description, **(known | more))


WEAK = asked("charts", "max", shares(10, 40)) + asked("lines", "line", shares(30, 60))


def test_leads_need_two_of_three_matches_and_give_their_reasons():
    cards = [
        card("all-three"),
        card("no-words", description="Pretty ones."),
        card("other-category", "general_vqa", "Comparisons of charts."),
        card("only-images", "general_vqa", "Pretty charts."),
        card("stranger", "science", "Diagrams of cells."),
    ]
    ranked = weaknesses(WEAK)
    leads = {lead.source: lead for lead in search_list(ranked, cards, set())}
    assert list(leads) == ["all-three", "no-words", "other-category"]
    assert leads["all-three"].reasons == (
        "same category (chart_table)",
        "comparing and calculating: its card says “Questions about charts”",
        "same images (chart)",
    )
    assert [fit.share for fit in leads["no-words"].fits] == [pytest.approx(2 / 3)]
    assert leads["other-category"].reasons[0].endswith("its card says “Comparisons”")
    reads = card("scene-words", "ocr_qa", "Words to read in drawn lines.", adapter="text_lines")
    (lead,) = search_list(ranked, [reads], set())
    assert [(fit.category, fit.task) for fit in lead.fits] == [("naive_ocr", "line")]


def test_of_equal_fits_the_surest_source_comes_first():
    cards = [
        card("machine", auto_labelled=True),
        card("larger", size=900),
        card("smaller", size=90),
        card("verified", status="verified", version="1"),
        card("no-licence", licence="unknown"),
        card("no-place", uri=""),
        card("kept", uri="", status="internal"),
    ]
    ranked = weaknesses(asked("charts", "max", shares(10, 40)))
    leads = search_list(ranked, cards, set())
    assert [lead.source for lead in leads_for(ranked[0], leads, 9)] == [
        "verified", "larger", "smaller", "machine", "no-place", "no-licence", "kept",
    ]  # fmt: skip
    notes = {lead.source: lead.notes for lead in leads}
    assert notes["kept"] == ("only the paper's authors have it",)
    assert notes["no-place"] == ("its place isn't known",)
    assert notes["no-licence"] == ("find out its licence",)
    assert notes["machine"] == ("take a small share: a machine wrote the answers",)


def test_used_sources_come_last_and_only_when_a_cap_holds_them_back():
    cards = [card("used", size=1000), card("capped", size=1000), card("loose", size=150), card("new")]
    used = {"used", "capped", "loose"}
    leads = search_list(weaknesses(WEAK), cards, used, caps={"capped": 100, "loose": 100, "new": 5})
    assert [(lead.source, lead.action) for lead in leads] == [("new", "add"), ("capped", "raise")]
    assert leads[1].notes == ("the recipe takes at most 100 of its 1,000 samples",)


def test_the_list_spreads_over_the_weaknesses():
    charts = [card(f"chart-{number}") for number in range(4)]
    lines = [card("line-1", "naive_ocr", "Lines to read.")]
    ranked = weaknesses(WEAK)
    gains = [cell.expected_gain for cell in ranked]
    assert gains[0] / 3 < gains[1] < gains[0] / 2  # a third chart source counts less than the first of lines
    found = [lead.source for lead in search_list(ranked, charts + lines, set())]
    assert found == ["chart-0", "chart-1", "line-1", "chart-2", "chart-3"]


def test_real_cards_answer_real_weaknesses():
    cards = load_cards()
    rows = asked("charts", "value_at", shares(4, 40)) + asked("chat", "dialogue", shares(0, 20))
    ranked = weaknesses(rows + asked("scenes", "count", shares(2, 20)), image_types=image_types(cards))
    leads = search_list(ranked, cards, {"vega-charts", "chatterbot"})
    assert {lead.source for lead in leads} <= set(cards) - {"vega-charts", "chatterbot"}
    best = {cell.task: [lead.source for lead in leads_for(cell, leads, 40)] for cell in ranked}
    assert "chartqa" in best["value_at"]
    assert {"tallyqa", "pixmo-count"} & set(best["count"])
    assert cards[best["dialogue"][0]].category == "text_only"


def test_kinds_of_images_of_the_registry():
    kinds = image_types(load_cards())
    expected = {
        "vega-charts": "chart", "chartqa": "chart", "docvqa": "document", "sroie": "document",
        "text-lines": "text line", "iiit5k": "text line", "hme-100k": "formula",
        "coco-text": "natural scene", "vqav2": "natural scene",
        "easy-vqa": "shape scene", "clevr": "shape scene", "ai2d": "diagram", "geometry3k": "diagram",
        "chatterbot": "none", "orca-math": "none",
    }  # fmt: skip
    assert {name: kinds[name] for name in expected} == expected


def test_every_task_that_is_scored_has_a_skill():
    assert set(METRIC_OF_TASK) <= set(SKILL_OF_TASK)
    assert set(SKILL_OF_TASK.values()) == set(SKILLS)
    assert skill_of("never heard of") == "recognising"
    assert skill_word(card("c", description="Discounted goods."), "counting") == ""  # whole words only
    assert image_type(card("c", "text_only", "Chats about charts.")) == "none"
