"""Lines of a log read in overlapping pieces: none lost, none twice."""

import pytest

from components.trainjob_logs import Journal


def stamped(*lines):
    return "".join(f"2026-01-01T00:00:{line}\n" for line in lines)


def test_overlapping_pieces_give_every_line_once():
    journal = Journal()
    assert journal.since == ""
    assert journal.fresh(stamped("01.000000001Z a", "02.000000001Z b", "03.5Z c")) == ["a", "b", "c"]
    assert journal.since == "2026-01-01T00:00:01Z"
    assert journal.fresh(stamped("01.000000001Z a", "02.000000001Z b", "03.5Z c", "03.6Z d")) == ["d"]
    assert journal.fresh("") == []
    assert journal.fresh(stamped("03.5Z c", "03.6Z d", "09Z e")) == ["e"]
    assert journal.since == "2026-01-01T00:00:07Z"


def test_equal_lines_at_equal_times_are_both_lines():
    journal = Journal()
    assert journal.fresh(stamped("01Z same", "01Z same")) == ["same", "same"]
    assert journal.fresh(stamped("01Z same", "01Z same", "01Z same")) == ["same"]


def test_two_streams_a_little_out_of_order_lose_nothing():
    journal = Journal()
    assert journal.fresh(stamped("02.000000009Z out")) == ["out"]
    assert journal.fresh(stamped("02.000000009Z out", "01.999999999Z err")) == ["err"]
    assert journal.fresh(stamped("02.000000009Z out", "01.999999999Z err")) == []


def test_a_line_being_written_waits_for_its_end():
    journal = Journal()
    assert journal.fresh("2026-01-01T00:00:01Z half a li") == []
    assert journal.fresh("2026-01-01T00:00:01Z half a line\n2026-01-01T00:00:02Z cut") == ["half a line"]
    assert journal.fresh("2026-01-01T00:00:02Z cut short", ended=True) == ["cut short"]


@pytest.mark.parametrize("text", ["", "unable to retrieve container logs for containerd://1f\n", "\n\n", "Z\n"])
def test_what_the_kubelet_says_in_a_logs_place_is_no_line(text):
    assert Journal().fresh(text, ended=True) == []


def test_nodes_in_another_time_zone_and_lines_with_carriage_returns():
    journal = Journal()
    assert journal.fresh("2026-01-01T02:00:05.1+02:00 10 %\r20 %\n") == ["10 %\r20 %"]
    assert journal.since == "2026-01-01T00:00:03Z"
    assert journal.fresh("2026-01-01T02:00:05.1+02:00 10 %\r20 %\n2026-01-01T02:00:06+02:00 \n") == [""]
