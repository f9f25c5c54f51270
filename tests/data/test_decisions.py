import numpy as np
import pyarrow as pa

from data.curation.decisions import KEPT, RULES, Distribution, decide, judged
from data.curation.measures import MEANINGS, MEASURES
from data.settings.filtering import FilterSettings


def table(**columns):
    rows = len(next(iter(columns.values())))
    return pa.table({name: columns.get(name, [0] * rows) for name in MEASURES})


def test_the_first_rule_that_fires_is_the_reason_and_all_are_known():
    found = decide(table(refusals=[0, 1, 1], empty_turns=[0, 0, 2], answer_chars=[5, 5, 5000]), FilterSettings())
    assert found.first.tolist() == [KEPT, 3, 1]
    assert found.keep.tolist() == [True, False, False]
    assert found.reasons(0) == []
    assert found.reasons(2) == ["empty_turn", "refusal", "answer_too_long"]


def test_judged_rows_name_their_reason():
    measures = table(refusals=[0, 1, 1], empty_turns=[0, 0, 2])
    assert judged(measures, decide(measures, FilterSettings()))["reason"].to_pylist() == [None, "refusal", "empty_turn"]


def test_every_rule_reads_a_measure_and_a_threshold():
    assert {rule.measure for rule in RULES} <= set(MEANINGS)
    assert {rule.threshold for rule in RULES} <= set(FilterSettings.model_fields)
    assert len({rule.reason for rule in RULES}) == len(RULES)


def test_each_threshold_moves_its_own_rule():
    for rule in RULES:
        if rule.beyond == "<":
            values = [10.0, np.nan, -1.0]
            settings = FilterSettings(min_image_text_relevance=0.0)
            assert rule.fires(np.array(values), settings).tolist() == [False, False, True], rule
            continue
        values = [0.0, 1.0] if MEASURES[rule.measure].share else [0, 10**6]
        fired = rule.fires(np.array(values), FilterSettings())
        assert fired.tolist() == [False, True], rule
        assert not rule.fires(np.array(values[1:]), FilterSettings(**{rule.threshold: values[1]})).any()


def test_distributions_add_up():
    one, other = Distribution.of(np.array([0, 0, 1, np.nan])), Distribution.of(np.array([0.254, 3]))
    one.values.update(other.values)
    assert (one.quantile(0.5), one.quantile(1.0)) == (0.25, 3)
    assert one.histogram(3) == [(0.0, 1.0, 3), (1.0, 2.0, 1), (2.0, 3.0, 1)]
    assert Distribution().quantile(0.5) is None
    assert Distribution().histogram(3) == []
    assert Distribution.of(np.array([2, 2])).histogram(4) == [(2, 2, 2)]
