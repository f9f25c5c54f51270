"""Caching, the cost cap and the order of answers, against a real server process."""

from pathlib import Path

import pytest
from openai_server import KEY, KEY_NAME

from data.curation.endpoint.cache import AnswerCache
from data.curation.endpoint.chat import Answer, ChatRequest
from data.curation.endpoint.problems import EndpointFailedError
from data.curation.endpoint.service import AnswerService
from data.errors import AerieError
from data.settings.endpoint import EndpointSettings


def settings_for(url, cache, **given):
    quick = {"first_pause_seconds": 0.002, "longest_pause_seconds": 0.01, "timeout_seconds": 5.0, "max_tokens": 100}
    return EndpointSettings(
        **{"url": url, "model": "m", "api_key_env": KEY_NAME, "cache_uri": str(cache), **quick, **given}
    )


def request_for(number):
    return ChatRequest(system="Answer: last.", text=f"Question: What is {number} + 1?\nCorrect answer: {number + 1}")


def ask_all(settings, numbers):
    """(service, tickets), all settled."""
    with AnswerService(settings) as service:
        tickets = [service.ask(request_for(number)) for number in numbers]
        for ticket in tickets:
            service.wait(ticket)
    return service, tickets


def answers(tickets):
    return [ticket.answer.text.rsplit(" ", 1)[-1] if ticket.answer else ticket.skipped for ticket in tickets]


def test_answers_stand_in_the_order_of_the_questions(llm, tmp_path):
    llm.reset(match={"What is 0 +": "slow", "What is 7 +": "slow"}, seconds=0.3)
    service, tickets = ask_all(settings_for(llm.url, tmp_path), range(60))
    assert answers(tickets) == [str(number + 1) for number in range(60)]
    assert service.totals.answers == len(llm.requests()) == 60


def test_nothing_is_paid_twice(llm, tmp_path):
    settings = settings_for(llm.url, tmp_path, prompt_price=1.0, completion_price=2.0)
    first, tickets = ask_all(settings, range(20))
    llm.reset()
    again, repeated = ask_all(settings, range(20))
    assert llm.requests() == []
    assert answers(repeated) == answers(tickets)
    assert again.totals == first.totals
    assert again.traffic.document() == {"cache_hits": 20}
    ask_all(settings, range(15, 25))
    assert len(llm.requests()) == 5


def test_equal_questions_in_flight_are_asked_once(llm, tmp_path):
    llm.reset(match={"What": "slow"}, seconds=0.2)
    _, tickets = ask_all(settings_for(llm.url, tmp_path), [3] * 30 + [4])
    assert answers(tickets) == ["4"] * 30 + ["5"]
    assert len(llm.requests()) == 2


def test_a_damaged_or_foreign_entry_is_asked_again(llm, tmp_path):
    settings = settings_for(llm.url, tmp_path)
    _, (ticket,) = ask_all(settings, [1])
    path = tmp_path / ticket.key[:2] / f"{ticket.key}.json"
    whole = path.read_bytes()
    for number, damage in enumerate((whole[:40], b"", b"[]", b"\xff", whole.replace(b"stop", b""), b"null"), 1):
        path.write_bytes(damage.replace(b'"estimated": false', b'"estimated": 0'))
        llm.reset()
        ask_all(settings, [1])
        assert len(llm.requests()) == 1, number
        path.write_bytes(whole)


def test_an_entry_under_another_name_is_none(tmp_path):
    cache = AnswerCache(str(tmp_path))
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "estimated": False}
    cache.put("ab1", Answer(text="t", finish_reason="stop", host="h", model="m", **counts))
    assert cache.get("ab1").text == "t"
    Path(tmp_path, "ab", "ab1.json").rename(tmp_path / "ab" / "ab2.json")
    assert cache.get("ab2") is None
    assert cache.get("ab1") is None


def test_the_cost_cap_is_never_passed_and_always_cuts_at_the_same_place(llm, tmp_path):
    """Price 1 a token: a question costs about 30, at the most 100 and its prompt."""
    priced = {"prompt_price": 1e6, "completion_price": 1e6, "max_cost": 700.0}
    cuts = []
    for number, concurrency in enumerate((1, 3, 8, 8)):
        folder = tmp_path / str(min(number, 2))  # the last run finds the cache of the one before
        llm.reset()
        settings = settings_for(llm.url, folder, concurrency=concurrency, **priced)
        service, tickets = ask_all(settings, range(60))
        assert service.totals.cost <= 700
        assert service.stopped == "cost cap"
        cuts.append(answers(tickets))
        assert len(llm.requests()) == (0 if number == 3 else service.totals.answers)
    assert cuts[0] == cuts[1] == cuts[2] == cuts[3]
    asked = [answer for answer in cuts[0] if answer != "cost cap"]
    assert asked == cuts[0][: len(asked)]
    assert 10 < len(asked) < 50
    more, tickets = ask_all(settings_for(llm.url, tmp_path / "2", **{**priced, "max_cost": 1400.0}), range(60))
    assert len(llm.requests()) == more.totals.answers - len(asked) > 0


def test_a_cap_of_nothing_asks_nothing(llm, tmp_path):
    service, tickets = ask_all(settings_for(llm.url, tmp_path, prompt_price=1.0, max_cost=0.0), range(5))
    assert answers(tickets) == ["cost cap"] * 5
    assert llm.requests() == []
    assert service.traffic.document() == {}


def test_tries_that_may_have_been_paid_count(llm, tmp_path):
    llm.reset(["empty_choices"] * 4)
    priced = {"prompt_price": 1e6, "completion_price": 1e6, "max_cost": 700.0, "concurrency": 1}
    service, tickets = ask_all(settings_for(llm.url, tmp_path, **priced), range(60))
    lost = service.traffic.count("lost_prompt_tokens") + service.traffic.count("lost_completion_tokens")
    assert lost > 400
    assert service.totals.cost + lost <= 700
    assert tickets[0].answer


def test_a_failed_endpoint_stops_the_step_and_keeps_what_was_paid(llm, tmp_path):
    settings = settings_for(llm.url, tmp_path, tries=2, concurrency=1)
    llm.reset(["pass"] * 5 + ["error"] * 50)
    with pytest.raises(EndpointFailedError, match="status 500, 2 time"):
        ask_all(settings, range(20))
    llm.reset()
    ask_all(settings, range(20))
    assert len(llm.requests()) == 15


def test_a_failed_endpoint_is_left_alone_when_the_recipe_says_so(llm, tmp_path):
    settings = settings_for(llm.url, tmp_path, tries=2, concurrency=1, on_failure="skip")
    llm.reset(["pass"] * 2 + ["error"] * 2 + ["pass"] * 2 + ["error"] * 500)
    service, tickets = ask_all(settings, range(40))
    assert answers(tickets)[:5] == ["1", "2", "endpoint failed", "4", "5"]
    assert set(answers(tickets)[5:]) == {"endpoint failed"}
    assert "status 500" in service.failure
    assert len(llm.requests()) <= 2 + 2 + 2 + 2 * (3 + 4)  # three in a row, and what was in flight


def test_a_wrong_key_is_tried_once_or_so(llm, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_NAME, "wrong")
    settings = settings_for(llm.url, tmp_path, on_failure="skip", concurrency=2)
    _, tickets = ask_all(settings, range(100))
    assert set(answers(tickets)) == {"endpoint failed"}
    assert len(llm.requests()) <= 2 * 4 + 1
    with pytest.raises(EndpointFailedError, match="refuses the key"):
        ask_all(settings_for(llm.url, tmp_path), range(100))


def test_single_refusals_are_counted_but_an_endpoint_that_only_refuses_has_failed(llm, tmp_path):
    llm.reset(match={"What is 3 +": "refuse"})
    _, tickets = ask_all(settings_for(llm.url, tmp_path, on_failure="fail"), range(6))
    assert [bool(ticket.refused) for ticket in tickets] == [False, False, False, True, False, False]
    llm.reset(match={"What": "refuse"})
    with pytest.raises(EndpointFailedError, match="refused the first 10 requests; the last with status 400"):
        ask_all(settings_for(llm.url, tmp_path / "new"), range(100))


def test_a_cache_that_can_not_be_written_stops_the_step(llm, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((AerieError, OSError)):
        ask_all(settings_for(llm.url, tmp_path / "file"), range(3))


def test_the_cache_may_lie_in_a_bucket(llm, s3_uri):
    settings = settings_for(llm.url, s3_uri)
    _, tickets = ask_all(settings, range(5))
    llm.reset()
    assert answers(ask_all(settings, range(5))[1]) == answers(tickets)
    assert llm.requests() == []


def test_the_pace_holds_across_threads(llm, tmp_path):
    """600 a minute: ten requests take nine tenths of a second, however many threads there are."""
    ask_all(settings_for(llm.url, tmp_path, requests_per_minute=600, concurrency=8), range(10))
    at = sorted(request["at"] for request in llm.requests())
    assert at[-1] - at[0] >= 0.8


def test_no_file_of_the_cache_holds_the_key(llm, tmp_path):
    llm.reset(["echo_key"] * 3)
    ask_all(settings_for(llm.url, tmp_path), range(3))
    written = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(written) == 3
    assert not [text for text in written if KEY in text]
