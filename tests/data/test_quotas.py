import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.curation.quotas import lawful_quota, source_quotas
from data.errors import AerieError
from data.settings.selection import SelectionSettings

rows = st.integers(0, 10_000_000)
powers = st.floats(0, 1)


@given(rows, rows, st.integers(1, 100_000), powers)
def test_a_larger_source_gives_more_rows_and_a_smaller_share(one, other, target, power):
    small, large = sorted([one, other])
    few, many = lawful_quota(small, target, power), lawful_quota(large, target, power)
    assert few <= many <= large
    if small:
        assert many / large <= few / small + 1 / small  # up to rounding


@given(rows, st.integers(1, 100_000), powers, powers)
def test_a_smaller_power_never_gives_more(count, target, one, other):
    low, high = sorted([one, other])
    assert lawful_quota(count, target, low) <= lawful_quota(count, target, high)


def test_explicit_quotas_win_and_machine_labels_earn_less():
    settings = SelectionSettings(source_target=100, source_quotas={"named": 5000, "tiny": 50})
    counts = {"named": 10_000, "hand": 10_000, "machine": 10_000, "tiny": 20, "small": 60}
    found = source_quotas(counts, {"machine"}, settings)
    assert {name: quota.quota for name, quota in found.items()} == {
        "hand": 1000, "machine": 316, "named": 5000, "small": 60, "tiny": 20,
    }  # fmt: skip
    assert [quota.rule for quota in found.values()] == ["law", "law", "explicit", "law", "explicit"]


def test_without_settings_every_source_gives_all():
    found = source_quotas({"a": 10, "b": 0}, {"a"}, SelectionSettings())
    assert [(quota.quota, quota.rule) for quota in found.values()] == [(10, "all"), (0, "all")]


def test_a_name_without_rows_is_refused():
    with pytest.raises(AerieError, match="'b'"):
        source_quotas({"a": 1}, (), SelectionSettings(source_quotas={"b": 3}))


def test_machine_labels_never_earn_more_by_mistake():
    with pytest.raises(ValueError, match="auto_labelled_power"):
        SelectionSettings(source_power=0.2)
