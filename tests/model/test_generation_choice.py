"""Draws against the exact probabilities, and the filters' borders."""

from dataclasses import replace

import pytest
import torch

from data.errors import AerieError
from model.generation_choice import Draw, Sampling, greedy

LOGITS = torch.tensor([2.0, -1.0, 0.5, 1.0, -torch.inf, 0.0])


@pytest.fixture
def prompt(encoded):
    return encoded(6, 1, 1)


def frequencies(draw, number, **_):
    """Shares of each token in `number` draws from the same logits."""
    return torch.bincount(torch.stack([draw(LOGITS[None])[0] for _ in range(number)]), minlength=len(LOGITS)) / number


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), [0, 1, 2, 3, 5]),
        (Sampling(temperature=0.5), [0, 1, 2, 3, 5]),
        (Sampling(temperature=3.0), [0, 1, 2, 3, 5]),
        (Sampling(top_k=2), [0, 3]),
        (Sampling(top_p=0.75), [0, 3]),  # shares .56 .21 .13 .08 .03: .56 is too little, .77 enough
        (Sampling(temperature=0.5, top_p=0.75), [0]),  # .83 is enough alone: the temperature comes first
        (Sampling(top_k=3, top_p=0.95), [0, 2, 3]),
        (Sampling(top_k=1), [0]),
    ],
)
def test_draws_follow_the_probabilities(sampling, kept, prompt):
    exact = torch.zeros(len(LOGITS))
    exact[kept] = (LOGITS[kept] / sampling.temperature).softmax(-1)
    number = 4000
    found = frequencies(Draw(sampling, [prompt]), number)
    assert set(found.nonzero().squeeze(1).tolist()) <= set(kept)
    expected = exact[kept] * number
    chi_square = ((found[kept] * number - expected) ** 2 / expected).sum().item()
    assert chi_square < 18.5  # 4 degrees of freedom: one correct sampler in a thousand, and the seed is fixed


def test_a_number_picks_the_token_whose_share_of_the_interval_holds_it(prompt, monkeypatch):
    """Exact: the cumulated probabilities are the borders, and a token of probability zero is never drawn."""
    borders = LOGITS.double().softmax(-1).cumsum(-1)
    draw = Draw(Sampling(), [prompt])
    below = torch.cat([torch.zeros(1), borders[:-1]])
    for number, expected in [
        *[(float(low), token) for token, low in enumerate(below) if LOGITS[token] > -torch.inf],
        *[(float(high) - 1e-12, token) for token, high in enumerate(borders) if LOGITS[token] > -torch.inf],
        (1 - 2**-53, 5),
    ]:
        monkeypatch.setattr(torch, "rand", lambda *_, number=number, **__: torch.tensor([number], dtype=torch.float64))
        assert draw(LOGITS[None]).tolist() == [expected], number


def test_rows_have_generators_of_their_own(prompt, encoded):
    other = encoded(6, 1, 2)
    logits = torch.zeros(1, 1000)
    sampling = Sampling(seed=3)

    def numbers(prompts, row):
        draw = Draw(sampling, prompts)
        return [int(draw(logits.expand(len(prompts), -1))[row]) for _ in range(20)]

    assert numbers([prompt, other], 0) == numbers([prompt], 0) == numbers([other, other, prompt], 2)
    assert numbers([other], 0) != numbers([prompt], 0)
    tiles = replace(prompt, tiles=255 - prompt.tiles)
    assert numbers([tiles], 0) != numbers([prompt], 0), "another picture is another prompt"


def test_greedy_takes_the_likeliest():
    assert greedy(torch.stack([LOGITS, -LOGITS.nan_to_num(neginf=0)])).tolist() == [0, 1]


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}]
)
def test_settings_that_mean_nothing_are_refused_by_name(options):
    with pytest.raises(AerieError, match=next(iter(options))):
        Sampling(**options)
