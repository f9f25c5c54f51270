"""Planted secrets, and every way by which they could come out."""

import traceback

import pytest
from trainjob_cases import TOKEN, manifest_for

from components.trainjob_render import render_yaml
from components.trainjob_secrets import masked, secrets_of
from data.errors import AerieError

PLANTED = {"AWS_SECRET_ACCESS_KEY": "planted/secret+key==", "WANDB_API_KEY": "planted-wandb-0123456789"}


@pytest.fixture
def _planted(monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)


def free_of_secrets(text):
    return text and not any(secret in text for secret in (TOKEN, *PLANTED.values()))


@pytest.mark.usefixtures("_planted")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_an_answer_that_repeats_our_token_is_masked(api_server, launch, status):
    message = f"rejected Authorization: Bearer {TOKEN} and {PLANTED['AWS_SECRET_ACCESS_KEY']}"
    headers = {"X-Echo": f"Bearer {TOKEN}", "Set-Cookie": TOKEN}
    rule = {"method": "POST", "path": "trainjobs", "status": status, "message": message, "headers": headers}
    api_server.reset(refuse=[rule])
    with pytest.raises(AerieError) as failure:
        launch()
    shown = "".join(traceback.format_exception(failure.value))
    assert free_of_secrets(shown)
    assert "Bearer [hidden] and [hidden]" in shown
    assert "X-Echo" not in shown


@pytest.mark.usefixtures("_planted")
@pytest.mark.parametrize("end", ["complete", ["fail", 1, 0]])
def test_a_training_process_that_prints_them_is_masked(api_server, launch, capsys, end):
    said = [["say", 0, f"key={value}"] for value in (*PLANTED.values(), TOKEN)]
    api_server.reset(lives=[["admit", "run", *said, end]])
    try:
        launch()
        text = ""
    except AerieError as error:
        text = "".join(traceback.format_exception(error))
    out = capsys.readouterr().out
    assert free_of_secrets(out + text)
    assert out.count("key=[hidden]") == 3
    assert text.count("key=[hidden]") == (3 if text else 0)


@pytest.mark.usefixtures("_planted")
def test_an_unreachable_server_is_told_without_them(api_server, launch):
    api_server.reset(rates={"dropped_before": 1.0})
    with pytest.raises(AerieError, match="no usable answer") as failure:
        launch(give_up_after=5.0)
    assert free_of_secrets("".join(traceback.format_exception(failure.value)))


@pytest.mark.usefixtures("_planted")
def test_a_manifest_refers_to_secrets_and_holds_none():
    assert free_of_secrets(render_yaml(manifest_for()))


def test_masking_takes_whole_values_and_headers_and_leaves_words():
    secrets = secrets_of(
        {"API_KEY": "abcdefgh12", "TOKEN": "abcdefgh1234", "SECRET": "short", "HOME": "/home/somebody"}
    )
    assert secrets == {"abcdefgh12", "abcdefgh1234"}
    assert masked("a abcdefgh1234 b abcdefgh12 short", secrets) == "a [hidden] b [hidden] short"
    assert masked("authorization: bearer ey.J-x/9=", set()) == "authorization: bearer [hidden]"
