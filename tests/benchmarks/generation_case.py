"""What the generation benchmark asks: a network at true geometry with random weights, and questions about images."""
# ruff: noqa: E402 (the path is set first)

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import numpy as np
import torch
from training_mixes import real_mix
from transformers import GenerationConfig

from model.config import ModelSettings
from model.evaluation.batches import Prompt
from model.fusion import fuse
from model.vlm import VisionLanguageModel

IMAGE_ID, VOCABULARY = 151_665, 151_676
SYSTEM = 24  # tokens before the image


def network(settings: ModelSettings, device: torch.device, dtype: torch.dtype) -> VisionLanguageModel:
    """Random weights made on the device, whose text is no echo: another token each step, another answer each prompt.

    The decoder's matrices have their fan in's deviation, embeddings that of one, and the head is a matrix of its own:
    with the published rule (0.02 everywhere, a tied head in the small ones) a network repeats one token for ever.
    """
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = VisionLanguageModel(settings, settings.language.rows(VOCABULARY), IMAGE_ID)
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        for name, parameter in model.language.named_parameters():
            if parameter.ndim == 2 and "layers." in name:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
        embeddings = model.language.get_input_embeddings().weight
        embeddings.normal_()
        head = torch.nn.Parameter(torch.randn_like(embeddings) * embeddings.shape[1] ** -0.5)
        head[IMAGE_ID] = 0  # never the likeliest
        model.language.get_output_embeddings().weight = head
    return model.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Prompts, and the tiles uint8 [P, S, S, 3] of their views in order."""

    prompts: list[Prompt]
    tiles: dict[str, np.ndarray]


def questions(settings: ModelSettings, count: int, per_image: int, seed: int = 0) -> Questions:
    """`count` questions, `per_image` about each image, in tiles and text like chart and document questions.

    Images of 1 to 13 tiles; a question's tokens are those of one real sample less the answer. An answer's length is
    drawn (median 8, a tenth above 25, at most 128) and stands for the end token, which random weights don't write.
    """
    dice = np.random.default_rng(seed)
    images = shapes(-(-count // per_image), seed)
    prompts: list[Prompt] = []
    tiles: dict[str, np.ndarray] = {}
    size = settings.tiling.tile_size
    for number in range(count):
        view = number // per_image
        shown, text = images[view]
        if str(view) not in tiles:
            tiles[str(view)] = dice.integers(0, 256, (shown, size, size, 3), dtype=np.uint8)
        words = dice.integers(0, 150_000, max(text + int(dice.integers(-12, 13)), SYSTEM + 4))
        words[:SYSTEM] = np.arange(SYSTEM)
        ids = np.concatenate([words[:SYSTEM], np.full(shown * settings.tokens_per_tile, IMAGE_ID), words[SYSTEM:]])
        limit = int(np.clip(np.exp(dice.normal(np.log(8), 0.9)), 2, 128))
        ids = torch.from_numpy(ids.astype(np.int64))
        prompts.append(Prompt(places=(number,), source="made", view=str(view), input_ids=ids, limit=limit))
    return Questions(prompts=prompts, tiles=tiles)


def shapes(count: int, seed: int) -> list[tuple[int, int]]:
    """(tiles, text tokens of the question) of so many images."""
    found: list[tuple[int, int]] = []
    for turn in range(1000):
        found += [(tiles, text - answer) for tiles, text, answer in real_mix(seed * 1000 + turn)]
        if len(found) >= count:
            break
    return found[:count]


def one_by_one(model: VisionLanguageModel, asked: Questions, chosen: Sequence[Prompt]) -> Iterator[list[int]]:
    """Each question alone through transformers' generate: its image through the towers again, batch 1, KV cache."""
    model.language.set_attn_implementation("sdpa")
    for prompt in chosen:
        with torch.inference_mode():
            embeds = embedded(model, prompt, asked.tiles[prompt.view])[None]
            mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
            config = GenerationConfig(
                do_sample=False, max_new_tokens=prompt.limit, pad_token_id=0, eos_token_id=None, use_cache=True
            )
            output: Any = model.language.generate(inputs_embeds=embeds, attention_mask=mask, generation_config=config)
        yield output[0].tolist()


def embedded(model: VisionLanguageModel, prompt: Prompt, tiles: np.ndarray) -> torch.Tensor:
    """The decoder's input [T, D] of one prompt."""
    device = model.language.device
    ids = prompt.input_ids.to(device)
    features = model.encode_tiles(torch.from_numpy(tiles).to(device)).flatten(0, 1)
    return fuse(model.language.get_input_embeddings()(ids), ids, features, IMAGE_ID)


@torch.inference_mode()
def logits_along(model: VisionLanguageModel, prompt: Prompt, tiles: np.ndarray, answer: Sequence[int]) -> torch.Tensor:
    """Logits float32 [len(answer), V] that the network has before each token of an answer, in one pass, no cache."""
    model.language.set_attn_implementation("sdpa")
    start = embedded(model, prompt, tiles)
    said = torch.tensor(list(answer[:-1]), dtype=torch.long, device=start.device)
    whole = torch.cat([start, model.language.get_input_embeddings()(said)])
    return model.language(inputs_embeds=whole[None], use_cache=False, logits_to_keep=len(answer)).logits[0].float()
