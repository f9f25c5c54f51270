"""Conversations that are longer than a pack: whole turns go from the end, then the end of the last answer."""

from collections.abc import Sequence

from data.schema import Sample
from model.config import ModelSettings
from model.inputs.encode import token_count
from model.inputs.tokens import ChatTokenizer


def turns_that_fit(
    sample: Sample, tokenizer: ChatTokenizer, settings: ModelSettings, turns: Sequence[int], max_tokens: int
) -> tuple[int, ...]:
    """As many of the first `turns` as `max_tokens` hold; a single one when only a part of its answer fits.

    Images, questions and complete answers are never cut: encoding with `max_tokens` cuts the one answer that is left.
    A cut answer has no `<|im_end|>`, so that nothing teaches to stop in the middle of a sentence. (The reference cuts
    wherever the limit falls and then drops the samples whose image it hit.) `SampleProblemError` `too_long`: not one
    token of the first answer fits.
    """
    for count in range(len(turns), 0, -1):
        if token_count(sample, tokenizer, settings, turns[:count]) <= max_tokens:
            return tuple(turns[:count])
    token_count(sample, tokenizer, settings, turns[:1], max_tokens=max_tokens)
    return tuple(turns[:1])
