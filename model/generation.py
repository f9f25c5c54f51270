"""Generation: prompts in, the tokens that follow out. Batches of unequal prompts, a KV cache, greedy or sampled.

Why not transformers' own `generate`: it takes embedded prompts too, but it draws the whole batch from one generator
(a row's text would depend on its neighbours), fills what a call leaves open from the checkpoint's generation_config
(a repetition penalty there changes greedy answers), and streams only through a second thread. Its filters are used
(`generation_choice`), and the tests hold greedy answers against its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from data.errors import AerieError
from model.fusion import fuse
from model.generation_choice import Choice, Draw, Sampling, greedy
from model.generation_rows import Rows
from model.inputs.batch import EncodedSample
from model.vlm import VisionLanguageModel

CACHED_ATTENTION = "sdpa"  # training packs samples, decoding pads them and masks the padding
TILES_AT_ONCE = 64  # bounds the vision towers' memory


def generate(
    model: VisionLanguageModel,
    prompts: Sequence[EncodedSample],
    *,
    end_ids: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """The continuation of each prompt up to (without) the first of `end_ids`, at most `max_new_tokens` tokens.

    All prompts are one batch; `model` is in eval mode, the answers come in the prompts' order. Without `sampling` the
    most likely token is taken at each step. `AerieError` when a prompt's image tokens aren't those of its tiles.
    """
    choose = Draw(sampling, prompts) if sampling is not None else greedy
    embedded = embed_prompts(model, prompts)
    return continue_prompts(model.language, embedded, end_ids=end_ids, max_new_tokens=max_new_tokens, choose=choose)


def generate_stream(
    model: VisionLanguageModel,
    prompt: EncodedSample,
    *,
    end_ids: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> Iterator[int]:
    """What `generate` gives for one prompt, token by token as they come."""
    choose = Draw(sampling, [prompt]) if sampling is not None else greedy
    for tokens in _steps(model.language, embed_prompts(model, [prompt]), max_new_tokens, choose):
        token = int(tokens[0])
        if token in end_ids:
            return
        yield token


@torch.inference_mode()
def embed_prompts(model: VisionLanguageModel, prompts: Sequence[EncodedSample]) -> list[torch.Tensor]:
    """The language model's input [T_b, D] of each prompt, images in place, on the model's device.

    `AerieError` when a prompt's image tokens aren't those of its tiles.
    """
    for number, prompt in enumerate(prompts):
        found = int((prompt.input_ids == model.image_context_id).sum())
        expected = len(prompt.tiles) * model.settings.tokens_per_tile
        if found != expected:  # on the host: on a GPU the same finding would end the process
            raise AerieError(
                f"prompt {number} has {found} image tokens in its text and {expected} image features of its "
                f"{len(prompt.tiles)} tiles; encode it with model.inputs.encode and this checkpoint's settings"
            )
    words = model.language.get_input_embeddings()
    features = image_features(model, [prompt.tiles for prompt in prompts], TILES_AT_ONCE)
    embedded = []
    for prompt, feature in zip(prompts, features, strict=True):
        ids = torch.from_numpy(prompt.input_ids).to(model.language.device)
        embedded.append(fuse(words(ids), ids, feature, model.image_context_id))
    return embedded


@torch.inference_mode()
def image_features(model: VisionLanguageModel, stacks: Iterable[np.ndarray], at_once: int) -> list[torch.Tensor]:
    """Image embeddings [P_i * tokens per tile, D] of each stack of tiles (uint8 [P_i, S, S, 3], P_i may be 0).

    The towers see the tiles of all stacks together, `at_once` at a time and as soon as there are so many.
    """
    device, width = model.language.device, model.settings.language.hidden_size
    counts: list[int] = []
    waiting: list[np.ndarray] = []
    parts: list[torch.Tensor] = []

    def encode(tiles: list[np.ndarray]) -> None:
        parts.append(model.encode_tiles(_on_device(np.stack(tiles), device)))

    for stack in stacks:
        counts.append(len(stack))
        waiting.extend(stack)
        while len(waiting) >= at_once:
            encode(waiting[:at_once])
            del waiting[:at_once]
    if waiting:
        encode(waiting)
    encoded = torch.cat(parts) if parts else torch.zeros(0, model.settings.tokens_per_tile, width, device=device)
    return [part.flatten(0, 1) for part in encoded.split(counts)]


def _on_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """From page-locked memory, where there is a GPU: the next tiles are fetched while it computes."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def continue_prompts(
    language: Any,
    prompts: Sequence[torch.Tensor],
    *,
    end_ids: Sequence[int],
    max_new_tokens: int | Sequence[int],
    choose: Choice = greedy,
) -> list[list[int]]:
    """As `generate`, from the language model (in eval mode) and its embedded prompts [T_b, D].

    `max_new_tokens` may be one number for each row. Decoding stops as soon as every row has ended.
    """
    rows = Rows(len(prompts), end_ids, max_new_tokens)
    if not rows.going:
        return rows.tokens
    for tokens in _steps(language, prompts, max(rows.limits), choose):
        rows.take(enumerate(tokens.tolist()))
        if not rows.going:
            break
    return rows.tokens


@torch.inference_mode()
def _steps(
    language: Any, prompts: Sequence[torch.Tensor], max_new_tokens: int, choose: Choice
) -> Iterator[torch.Tensor]:
    """The chosen tokens [B] of each step; the network runs only when the next step is asked for.

    A row does not depend on its neighbours: positions count from its own first token, and padding is masked.
    """
    language.set_attn_implementation(CACHED_ATTENTION)
    embeddings, mask = left_padded(prompts)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    given: dict[str, Any] = {"inputs_embeds": embeddings, "position_ids": positions, "logits_to_keep": 1}
    for step in range(max_new_tokens):
        result = language(**given, attention_mask=mask, use_cache=True)
        tokens = choose(result.logits[:, -1].float())
        yield tokens
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        given = {
            "input_ids": tokens[:, None],
            "position_ids": positions[:, -1:] + 1 + step,
            "past_key_values": result.past_key_values,
        }


def left_padded(prompts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(embeddings [B, T, D], mask int64 [B, T]) of prompts [T_b, D], padded with zeros on the left.

    On the left, so that the last prompt token of every row stands in the last column.
    """
    length, width = max(len(prompt) for prompt in prompts), prompts[0].shape[1]
    embeddings = prompts[0].new_zeros(len(prompts), length, width)
    mask = torch.zeros(len(prompts), length, dtype=torch.long, device=embeddings.device)
    for row, prompt in enumerate(prompts):
        embeddings[row, length - len(prompt) :] = prompt
        mask[row, length - len(prompt) :] = 1
    return embeddings, mask
