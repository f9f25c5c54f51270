"""How likely a network finds a given continuation of a prompt: sums of log-probabilities, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.generation import CACHED_ATTENTION, embed_prompts, left_padded
from model.inputs.batch import EncodedSample
from model.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """`log_probability` is the sum over the continuation's tokens (natural logarithm, 0.0 for an empty one).

    `greedy` says whether each of its tokens is the most likely one where it stands.
    """

    log_probability: float
    greedy: bool


@torch.inference_mode()
def continuation_likelihoods(
    model: VisionLanguageModel, prompts: Sequence[EncodedSample], continuations: Sequence[Sequence[int]]
) -> list[Likelihood]:
    """The likelihood of each prompt's continuation (token ids), in order; all rows are one batch.

    `model` is in eval mode. `AerieError` when a prompt's image tokens aren't those of its tiles.
    """
    if not prompts:
        return []
    rows = [_continued(prompt, ids) for prompt, ids in zip(prompts, continuations, strict=True)]
    embeddings, mask = left_padded(embed_prompts(model, rows))
    model.language.set_attn_implementation(CACHED_ATTENTION)
    longest = max(map(len, continuations))
    logits = model.language(
        inputs_embeds=embeddings,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        logits_to_keep=longest + 1,
        use_cache=False,
    ).logits[:, :-1]  # [B, longest, V]: every row's continuation ends in the last column
    return [
        _likelihood(row[longest - len(ids) :].float(), list(ids))
        for row, ids in zip(logits, continuations, strict=True)
    ]


def _continued(prompt: EncodedSample, ids: Sequence[int]) -> EncodedSample:
    """The prompt with its continuation, whose tokens are the labels."""
    more = np.asarray(ids, dtype=np.int64)
    joined = np.concatenate([prompt.input_ids, more]), np.concatenate([prompt.labels, more])
    return replace(prompt, input_ids=joined[0], labels=joined[1])


def _likelihood(logits: torch.Tensor, ids: list[int]) -> Likelihood:
    """Of one row: float32 logits [N, V] where its N tokens are predicted."""
    wanted = torch.tensor(ids, dtype=torch.long, device=logits.device)
    chosen = logits.log_softmax(-1).gather(-1, wanted[:, None])
    return Likelihood(log_probability=float(chosen.double().sum()), greedy=bool((logits.argmax(-1) == wanted).all()))
