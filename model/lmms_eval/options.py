"""A task's `generation_kwargs` as our options: how long an answer may be, where it stops, how it is drawn."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from model.generation import Sampling

LENGTHS = ("max_new_tokens", "max_gen_toks")  # the second is lm-eval's older name
KNOWN = {*LENGTHS, "until", "do_sample", "temperature", "top_p", "top_k", "num_beams"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One way of answering; `until` are texts that end an answer and don't belong to it, `sampling` None is greedy."""

    max_new_tokens: int
    until: tuple[str, ...] = ()
    sampling: Sampling | None = None

    def cut(self, text: str) -> str:
        """The text before the first of `until`."""
        return text[: min((place for stop in self.until if (place := text.find(stop)) >= 0), default=len(text))]


def read_options(given: Mapping[str, Any], *, max_new_tokens: int, seed: int) -> Options:
    """The options of one request; `max_new_tokens` counts where the task names none.

    Greedy unless the temperature is above 0 and `do_sample` isn't false, as in transformers; `do_sample` without a
    temperature draws at 1. What belongs to other models (image_aspect_ratio, ...) is left out with a warning.
    AerieError: beam search, which this model hasn't; a value that isn't one.
    """
    for name in sorted(given.keys() - KNOWN):
        warnings.warn(f"generation option {name!r} means nothing to this model and is left out", stacklevel=2)
    if _number(given, "num_beams", 1) > 1:
        raise AerieError("this model has no beam search; run with --gen_kwargs num_beams=1 and say so in the report")
    lengths = [_number(given, name, 0) for name in LENGTHS if given.get(name) is not None] or [max_new_tokens]
    if lengths[0] < 1:
        raise AerieError(f"max_new_tokens is {lengths[0]}: give at least 1")
    return Options(max_new_tokens=int(lengths[0]), until=_until(given.get("until")), sampling=_sampling(given, seed))


def _until(given: Any) -> tuple[str, ...]:
    """A text or a list of them; empty ones stop nothing."""
    listed = [given] if isinstance(given, str) else list(given or [])
    return tuple(str(text) for text in listed if text)


def _sampling(given: Mapping[str, Any], seed: int) -> Sampling | None:
    wanted = given.get("do_sample")
    temperature = _number(given, "temperature", 1 if wanted else 0)
    if temperature == 0 or wanted is False:
        return None
    top_p, top_k = _number(given, "top_p", 1), _number(given, "top_k", 0)
    return Sampling(temperature=temperature, top_p=top_p, top_k=int(top_k), seed=seed)


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    """A number that may be missing, None or written as text."""
    value = given.get(name)
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise AerieError(f"generation option {name} is {value!r}, not a number") from error
