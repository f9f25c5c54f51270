"""The client against a real server process that misbehaves in every way it knows."""

import base64
import datetime
import json
import threading
import traceback

import pytest
from openai_server import KEY, KEY_NAME
from PIL import Image

from data.curation.endpoint.chat import ChatRequest, data_url, read_answer
from data.curation.endpoint.client import EndpointClient
from data.curation.endpoint.pace import Pace
from data.curation.endpoint.problems import EndpointFailedError, RequestRefusedError
from data.curation.endpoint.responses import MAX_ANSWER_BYTES
from data.curation.endpoint.traffic import Traffic
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.settings.base import validated
from data.settings.endpoint import EndpointSettings

REQUEST = ChatRequest(system="Argue. Answer: last.", text="Question: What is 3 + 4?\nCorrect answer: 7", version="v")


def settings_for(url, **given):
    quick = {"first_pause_seconds": 0.002, "longest_pause_seconds": 0.01, "timeout_seconds": 5.0, "cache_uri": "cache"}
    return EndpointSettings(**{"url": url, "model": "m", "api_key_env": KEY_NAME, **quick, **given})


def client_for(url, stop=None, **given):
    settings = settings_for(url, **given)
    return EndpointClient(settings, Pace(), Traffic(), stop or threading.Event())


def faults(llm):
    return [request["fault"] for request in llm.requests()]


def test_an_answer_with_what_it_used(llm):
    answer = client_for(llm.url).complete(REQUEST)
    assert answer.text.endswith("\nAnswer: 7")
    assert (answer.finish_reason, answer.estimated, answer.model, answer.host) == ("stop", False, "m", llm.at)
    assert answer.prompt_tokens == len(REQUEST.text.split())
    assert answer.completion_tokens == len(answer.text.split())


TRANSIENT = ["busy", "error", "drop", "truncated", "no_json", "cut_json", "empty_choices", "odd_choices"]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_passes_is_tried_again(llm, fault):
    llm.reset([fault, fault])
    client = client_for(llm.url)
    assert client.complete(REQUEST).text.endswith("Answer: 7")
    assert faults(llm) == [fault, fault, "pass"]
    counts = client.traffic.document()
    assert (counts["requests"], counts["retries"]) == (3, 2)
    assert ("lost_prompt_tokens" in counts) == (fault not in {"busy", "error"})


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_does_not_pass_is_told_with_what_to_do(llm, fault):
    llm.reset([fault] * 9)
    with pytest.raises(EndpointFailedError, match=r"3 time\(s\) in a row.*paid answers are kept in cache") as raised:
        client_for(llm.url, tries=3).complete(REQUEST)
    assert llm.at in str(raised.value)
    assert not raised.value.hopeless
    assert faults(llm) == [fault] * 3


@pytest.mark.parametrize("fault", ["silent", "drip"])
def test_a_slow_answer_is_given_up(llm, fault):
    """`drip` sends a few bytes now and then, which no timeout of a socket notices."""
    llm.reset([fault] * 2, seconds=0.6 if fault == "silent" else 0.1)
    with pytest.raises(EndpointFailedError, match="timed out"):
        client_for(llm.url, tries=2, timeout_seconds=0.3).complete(REQUEST)
    assert faults(llm) == [fault] * 2


def test_nobody_there():
    with pytest.raises(EndpointFailedError, match="can't be reached"):
        client_for("http://127.0.0.1:1/v1", tries=2, api_key_env=None).complete(REQUEST)


def test_retry_after_holds_everybody(llm):
    llm.reset(["busy"], retry_after="0.4")
    held = client_for(llm.url)
    started = threading.Event()
    seen = {}

    def late():
        started.wait(10)
        seen["late"] = held.complete(REQUEST)

    thread = threading.Thread(target=late)
    thread.start()
    hold, held.pace.hold = held.pace.hold, lambda seconds: (hold(seconds), started.set())
    held.complete(REQUEST)
    thread.join()
    busy, *after = llm.requests()
    assert len(after) == 2
    assert min(request["at"] for request in after) >= busy["at"] + 0.35


def test_an_endpoint_that_asks_for_hours_has_failed(llm):
    llm.reset(["busy"] * 3, retry_after="7200")
    with pytest.raises(EndpointFailedError, match=r"status 429, 1 time.*come back in 7200 s"):
        client_for(llm.url).complete(REQUEST)
    assert faults(llm) == ["busy"]


@pytest.mark.parametrize("value", ["soon", "", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_of_other_forms(llm, value):
    llm.reset(["busy"], retry_after=value)
    assert client_for(llm.url).complete(REQUEST).text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("bad_key", f"refuses the key in {KEY_NAME} .status 401.; correct it"),
        ("no_model", "answers status 404 at .*/v1/chat/completions; correct `url` and `model`"),
        ("redirect", "answers status 307"),
        ("no_credit", "wants to be paid first"),
    ],
)
def test_what_no_patience_mends(llm, fault, words):
    llm.reset([fault])
    with pytest.raises(EndpointFailedError, match=words) as raised:
        client_for(llm.url).complete(REQUEST)
    assert raised.value.hopeless
    assert faults(llm) == [fault]


def test_a_wrong_or_missing_key(llm, monkeypatch):
    monkeypatch.setenv(KEY_NAME, "another")
    with pytest.raises(EndpointFailedError, match=f"refuses the key in {KEY_NAME}"):
        client_for(llm.url).complete(REQUEST)
    with pytest.raises(EndpointFailedError, match="refuses requests without a key"):
        client_for(llm.url, api_key_env=None).complete(REQUEST)
    monkeypatch.delenv(KEY_NAME)
    with pytest.raises(AerieError, match=f"set the environment variable {KEY_NAME}"):
        client_for(llm.url)
    monkeypatch.setenv(KEY_NAME, f"{KEY}\nX-Evil: 1")
    with pytest.raises(AerieError, match="no HTTP header may have") as raised:
        client_for(llm.url)
    assert KEY not in str(raised.value)


def test_a_request_that_is_refused_concerns_itself_alone(llm):
    llm.reset(["refuse"])
    client = client_for(llm.url)
    with pytest.raises(RequestRefusedError, match=r"status 400: .*your key is Bearer \*\*\*"):
        client.complete(REQUEST)
    assert client.complete(REQUEST).text


@pytest.mark.parametrize("fault", [*TRANSIENT, "bad_key", "no_model", "redirect", "refuse", "silent"])
def test_the_key_is_in_no_exception(llm, fault):
    llm.reset([fault] * 2, seconds=0.4)
    with pytest.raises((EndpointFailedError, RequestRefusedError)) as raised:
        client_for(llm.url, tries=2, timeout_seconds=0.2).complete(REQUEST)
    error, shown = raised.value, "".join(traceback.format_exception(raised.value))
    while error is not None:
        shown += f"{error!s} {error!r} {error.args!r}"
        error = error.__cause__ or error.__context__
    assert KEY not in shown


def test_an_address_that_speaks_no_tls(llm):
    with pytest.raises(EndpointFailedError, match="no TLS, 2 time"):
        client_for(llm.url.replace("http:", "https:"), tries=2).complete(REQUEST)


def test_the_way_leads_through_the_proxy_of_the_environment(llm, monkeypatch):
    url = "http://model.invalid/v1"
    for name in ("http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{llm.at}")
    client_for(url).complete(REQUEST)
    seen = llm.requests()[0]
    assert seen["path"] == "http://model.invalid/v1/chat/completions"
    assert base64.b64decode(seen["login"].removeprefix("Basic ")) == b"me:p@ss"
    monkeypatch.setenv("NO_PROXY", "model.invalid")
    with pytest.raises(EndpointFailedError, match="can't be reached"):
        client_for(url, tries=1).complete(REQUEST)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "socks5://me:p%40ss@host:1")
    with pytest.raises(AerieError, match="HTTP_PROXY must look like") as raised:
        client_for(url)
    assert "p%40ss" not in str(raised.value)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(EndpointFailedError, match="proxy of the environment"):
        client_for(url, tries=1).complete(REQUEST)


def test_text_that_utf_8_can_not_say_is_marked(llm):
    llm.reset(["surrogate"])
    assert "\N{REPLACEMENT CHARACTER}" in client_for(llm.url).complete(REQUEST).text


def test_a_repeated_key_is_blanked(llm):
    llm.reset(["echo_key"])
    assert client_for(llm.url).complete(REQUEST).text.startswith("Your header was Bearer ***.")


def test_answers_of_unusual_form(llm):
    llm.reset(["no_usage", "think", "refusal_field", "length", "empty", "flood"])
    client = client_for(llm.url)
    no_usage, think, refusal, length, empty, flood = (client.complete(REQUEST) for _ in range(6))
    assert no_usage.estimated
    assert no_usage.completion_tokens > 5
    assert think.text.startswith("First I look")
    assert (refusal.text, refusal.finish_reason) == ("No.", "refusal")
    assert length.finish_reason == "length"
    assert (empty.text, empty.finish_reason) == ("", "stop")
    assert (flood.text, flood.finish_reason, flood.completion_tokens) == ("", "too_large", 1024)
    assert MAX_ANSWER_BYTES < 5 << 20


def test_images_go_as_data_urls(llm):
    image = image_ref(encode_png(Image.new("RGB", (8, 8), "red")), "misleading.jpg")
    assert data_url(image).startswith("data:image/png;base64,")
    request = ChatRequest(system="", text="Question: What is it?\nCorrect answer: red", images=(image, image))
    client_for(llm.url).complete(request)
    assert llm.requests()[0]["images"] == 2
    settings = settings_for(llm.url)
    document = json.loads(request.body(settings))
    assert [part["type"] for part in document["messages"][0]["content"]] == ["image_url", "image_url", "text"]


def test_the_body_is_the_recipes(llm):
    settings = settings_for(
        llm.url, temperature=0.7, max_tokens=9, max_tokens_field="max_completion_tokens", extra={"top_p": 0.9}
    )
    document = json.loads(REQUEST.body(settings))
    assert (document["model"], document["temperature"], document["top_p"]) == ("m", 0.7, 0.9)
    assert document["max_completion_tokens"] == 9
    assert "max_tokens" not in document


def test_a_key_of_the_cache_is_all_that_decides_the_answer():
    base = settings_for("http://a/v1")
    same = settings_for("http://b:1/v1", timeout_seconds=9, concurrency=3, cache_uri="other", max_cost=None)
    assert REQUEST.key(base) == REQUEST.key(same)
    image = image_ref(encode_png(Image.new("RGB", (8, 8))), "x.png")
    other = [
        REQUEST.key(settings_for("http://a/v1", **change))
        for change in ({"model": "n"}, {"temperature": 0.1}, {"max_tokens": 3}, {"extra": {"seed": 1}})
    ]
    parts = {"system": REQUEST.system, "text": REQUEST.text, "version": "v"}
    for change in ({"version": "w"}, {"text": "t"}, {"system": "s"}, {"images": (image,)}):
        other.append(ChatRequest(**{**parts, **change}).key(base))
    assert len({REQUEST.key(base), *other}) == 1 + len(other)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"choices": {}}, {"choices": [{}]}, {"choices": [None]}])
def test_no_answer_in_strange_json(document):
    assert read_answer(document, 1, settings_for("http://a/v1")) is None


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "9"}, 5])
def test_usage_that_makes_no_sense_is_guessed(usage):
    document = {"choices": [{"message": {"content": "some text"}}], "usage": usage}
    answer = read_answer(document, 50, settings_for("http://a/v1"))
    assert (answer.estimated, answer.prompt_tokens, answer.completion_tokens) == (True, 50, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "ftp://host/v1"),
        ("url", "https://user:secret@host/v1"),
        ("url", "https://host/v1?key=secret"),
        ("url", "host/v1"),
        ("api_key_env", "sk-secret"),
        ("max_cost", 5.0),
        ("concurrency", 0),
        ("extra", {"stream": True}),
        ("extra", {"day": datetime.date(2025, 1, 1)}),
    ],
)
def test_settings_that_can_not_work(key, value):
    document = {"url": "https://host/v1", "model": "m", "cache_uri": "c", key: value}
    with pytest.raises(AerieError, match=key) as raised:
        validated(EndpointSettings, document, "recipe.yaml")
    assert "secret" not in str(raised.value)
