"""What must hold for attention over packs, whatever the device: exact, isolated, no waiting, compilable.

`bench_attention.py` runs these on a GPU.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2Model

from model.attention import NO_MASK, PACKED_ATTENTION, packed_attention, takes_flash

ROOT = Path(__file__).resolve().parents[2]
GEOMETRY = {"0.5b": (14, 2, 64), "1.5b": (12, 2, 128), "7b": (28, 4, 128), "32b": (40, 8, 128)}  # heads, kv heads, d
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Parts = list[torch.Tensor]  # query, key, value [1, heads, T, d]


def lengths_file() -> Path | None:
    """The real lengths, in or beside the project's folder."""
    places = [folder / "shared" / "data" / "packing_lengths.npz" for folder in (ROOT, ROOT.parent)]
    return next((path for path in places if path.exists()), None)


def pack_lengths(kind: str, tokens: int, seed: int) -> list[int]:
    """Lengths that fill one pack; the last sample is cut to fit."""
    dice = np.random.default_rng(seed)
    found = lengths_file()
    if kind == "real" and found is not None:
        drawn = dice.permutation(np.concatenate([table[:, 1] for table in np.load(found).values()]))[:tokens]
    else:
        drawn = np.exp(dice.uniform(0, np.log(tokens / 2), tokens)).astype(int)
    lengths, left = [1], tokens - 1  # every pack has a sample of one token
    for length in drawn.tolist():
        lengths.append(min(length, left))
        left -= lengths[-1]
        if left == 0:
            break
    return lengths


def borders_of(lengths: list[int]) -> dict[str, Any]:
    """What a pack tells its layers, made on the host."""
    made = {
        "cu_seqlens": torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32),
        "sequence": torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        "positions": torch.cat([torch.arange(length) for length in lengths]),
    }
    return {"max_seqlen": max(lengths), **{name: border.to(DEVICE) for name, border in made.items()}}


def drawn(geometry: tuple[int, int, int], tokens: int, dtype: torch.dtype, seed: int = 0) -> Parts:
    """Random query, key and value in the layout of transformers' projections: [1, T, heads, d], transposed."""
    heads, kv_heads, width = geometry
    dice = torch.Generator(DEVICE).manual_seed(seed)
    shapes = [(1, tokens, count, width) for count in (heads, kv_heads, kv_heads)]
    made = [torch.randn(shape, device=DEVICE, generator=dice).to(dtype) for shape in shapes]
    return [part.transpose(1, 2).requires_grad_() for part in made]


def packed(parts: Parts, borders: dict[str, Any]) -> torch.Tensor:
    """The project's attention: [1, T, heads, d]."""
    return packed_attention(nn.Identity(), *parts, None, **borders)[0]


def exact_head(parts: Parts, lengths: list[int], gradient: torch.Tensor, head: int) -> list[torch.Tensor]:
    """float64 output [T, d] of one query head and its gradients with respect to query, key and value."""
    groups = parts[0].shape[1] // parts[1].shape[1]
    chosen = (head, head // groups, head // groups)
    doubles = [part[0, at].detach().double().requires_grad_() for part, at in zip(parts, chosen, strict=True)]
    outputs, start = [], 0
    for length in lengths:
        query, key, value = (part[start : start + length] for part in doubles)
        seen = torch.ones(length, length, dtype=torch.bool, device=DEVICE).tril()
        scores = (query @ key.T * query.shape[-1] ** -0.5).masked_fill(~seen, -torch.inf)
        outputs.append(scores.softmax(-1) @ value)
        start += length
    output = torch.cat(outputs)
    return [output.detach(), *torch.autograd.grad(output, doubles, gradient[0, :, head].double())]


def relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Root mean square of the error over that of the exact values."""
    return ((found.double() - exact).norm() / exact.norm()).item()


def errors(run: Callable[[Parts], torch.Tensor], parts: Parts, lengths: list[int]) -> dict[str, float]:
    """Relative errors of the output and the three gradients against float64, of the first and the last key head."""
    output = run(parts)
    gradient = torch.randn_like(output)
    gradients = torch.autograd.grad(output, parts, gradient)
    heads, kv_heads = parts[0].shape[1], parts[1].shape[1]
    groups, worst = heads // kv_heads, dict.fromkeys(("output", "query", "key", "value"), 0.0)
    for kv_head in {0, kv_heads - 1}:
        own = range(kv_head * groups, (kv_head + 1) * groups)
        exact = [exact_head(parts, lengths, gradient, head) for head in own]
        pairs = {
            "output": (output[0, :, own.start : own.stop], torch.stack([each[0] for each in exact], dim=1)),
            "query": (gradients[0][0, own.start : own.stop], torch.stack([each[1] for each in exact])),
            "key": (gradients[1][0, kv_head], sum(each[2] for each in exact)),
            "value": (gradients[2][0, kv_head], sum(each[3] for each in exact)),
        }
        worst = {name: max(worst[name], relative(*pair)) for name, pair in pairs.items()}
    return worst


def isolation(geometry: tuple[int, int, int], lengths: list[int], dtype: torch.dtype, value: float) -> dict[str, bool]:
    """One sample becomes `value`: the others' outputs and gradients are the same bit by bit.

    Flash attention's backward adds in any order unless torch is told to be deterministic; then it must be exact.
    """
    borders, parts = borders_of(lengths), drawn(geometry, sum(lengths), dtype)
    disturbed = borders["sequence"] == len(lengths) // 2
    changed = [torch.where(disturbed[:, None], value, part).detach().requires_grad_() for part in parts]
    torch.use_deterministic_algorithms(True)
    outputs = [packed(each, borders) for each in (parts, changed)]
    gradient = torch.randn_like(outputs[0])
    gradients = [
        torch.autograd.grad(output, each, gradient) for output, each in zip(outputs, (parts, changed), strict=True)
    ]
    torch.use_deterministic_algorithms(False)
    return {
        "outputs_equal": torch.equal(outputs[0][0, ~disturbed], outputs[1][0, ~disturbed]),
        "gradients_equal": all(
            torch.equal(one[:, :, ~disturbed], other[:, :, ~disturbed]) for one, other in zip(*gradients, strict=True)
        ),
        "the_disturbed_one_moved": not torch.equal(outputs[0][0, disturbed], outputs[1][0, disturbed]),
    }


def decoder(geometry: tuple[int, int, int], dtype: torch.dtype) -> Qwen2Model:
    """Two layers of Qwen2 with the heads of a published one."""
    heads, kv_heads, width = geometry
    config = Qwen2Config(
        vocab_size=64, hidden_size=heads * width, intermediate_size=2 * heads * width, num_hidden_layers=2,
        num_attention_heads=heads, num_key_value_heads=kv_heads,
    )  # fmt: skip
    torch.manual_seed(0)
    made = Qwen2Model(config).to(DEVICE, dtype).train()
    made.set_attn_implementation(PACKED_ATTENTION)
    return made


def run_decoder(layers: Qwen2Model, embedded: torch.Tensor, borders: dict[str, Any]) -> torch.Tensor:
    """Last hidden states [T, D] of a pack, called as `VisionLanguageModel.hidden_states` does."""
    given = {"inputs_embeds": embedded[None], "position_ids": borders["positions"][None], "attention_mask": NO_MASK}
    return layers(**given, use_cache=False, **borders).last_hidden_state[0]


def decoder_isolation(geometry: tuple[int, int, int], lengths: list[int], dtype: torch.dtype) -> dict[str, bool]:
    """A whole decoder with activation checkpointing: another sample in the pack, the same states and gradients."""
    layers, borders = decoder(geometry, dtype), borders_of(lengths)
    layers.gradient_checkpointing_enable({"use_reentrant": False})
    own = borders["sequence"] == len(lengths) // 2
    first = torch.randn(len(own), layers.config.hidden_size, device=DEVICE).to(dtype)
    results = []
    torch.use_deterministic_algorithms(True)
    for other in (first, torch.randn_like(first)):
        embedded = torch.where(own[:, None], first, other).requires_grad_()
        states = run_decoder(layers, embedded, borders)
        results.append((states, torch.autograd.grad(states[own].float().square().sum(), embedded)[0]))
    torch.use_deterministic_algorithms(False)
    (states, gradient), (moved, moved_gradient) = results
    return {
        "states_equal": torch.equal(states[own], moved[own]) and not torch.equal(states[~own], moved[~own]),
        "gradients_equal": torch.equal(gradient[own], moved_gradient[own]),
        "others_gradients_zero": not gradient[~own].any().item(),
    }


def waits(geometry: tuple[int, int, int], lengths: list[int], dtype: torch.dtype) -> dict[str, bool]:
    """Forward and backward of the decoder while torch forbids the host to wait for the device."""
    layers, borders = decoder(geometry, dtype), borders_of(lengths)
    embedded = torch.randn(sum(lengths), layers.config.hidden_size, device=DEVICE).to(dtype).requires_grad_()
    run_decoder(layers, embedded, borders).sum().backward()  # what is initialised once may wait
    found = {}
    for name, work in {
        "decoder_never_waits": lambda: run_decoder(layers, embedded, borders).sum().backward(),
        "the_check_would_notice": lambda: int(borders["sequence"][-1]),
    }.items():
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            work()
            waited = None
        except RuntimeError as error:
            waited = str(error)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found[name] = (waited is None) if name == "decoder_never_waits" else (waited is not None)
        if name == "decoder_never_waits" and waited:
            print(f"waited: {waited[:400]}", file=sys.stderr)
    return found


def checks(geometry: tuple[int, int, int], tokens: int) -> dict[str, Any]:
    """Everything that must hold for one geometry."""
    found: dict[str, Any] = {}
    types = {"bf16": (torch.bfloat16, 0.01), "fp16": (torch.float16, 0.002), "fp32": (torch.float32, 1e-5)}
    for kind in ("real", "mixed"):
        for name, (dtype, limit) in types.items():
            # fp32 takes the rows, whose scores the GPU holds in memory: a smaller pack
            lengths = pack_lengths(kind, min(tokens, 2048) if name == "fp32" else tokens, seed=1)
            borders, parts = borders_of(lengths), drawn(geometry, sum(lengths), dtype)
            measured = errors(lambda parts, borders=borders: packed(parts, borders), parts, lengths)
            result: dict[str, Any] = {"flash": takes_flash(parts[0]), "relative_error": measured}
            result["within_limit"] = max(measured.values()) < limit
            result["isolation"] = isolation(geometry, lengths, dtype, 3.0)
            result["isolation from NaN"] = isolation(geometry, lengths, dtype, torch.nan)
            found[f"{kind} {name}"] = result
    lengths = pack_lengths("mixed", tokens, seed=2)
    found["decoder"] = decoder_isolation(geometry, lengths, torch.bfloat16)
    if DEVICE == "cuda":
        found["flash_is_used"] = all(
            found[f"{kind} {name}"]["flash"] for kind in ("real", "mixed") for name in ("bf16", "fp16")
        )
        found["host"] = waits(geometry, lengths, torch.bfloat16)
    return found


def compiled(geometry: tuple[int, int, int], tokens: int) -> dict[str, Any]:
    """Layers under torch.compile without a graph break, on two packs of other shape: as without it."""
    layers, found = decoder(geometry, torch.bfloat16), {}
    packs = [pack_lengths("mixed", tokens - cut, seed) for seed, cut in ((2, 0), (3, 8))]
    given = [torch.randn(sum(lengths), layers.config.hidden_size, device=DEVICE).bfloat16() for lengths in packs]
    expected = [run_decoder(layers, *each).detach() for each in zip(given, map(borders_of, packs), strict=True)]
    for layer in layers.layers:
        layer.compile(fullgraph=True)
    for number, (embedded, lengths, eager) in enumerate(zip(given, packs, expected, strict=True)):
        embedded.requires_grad_()
        states = run_decoder(layers, embedded, borders_of(lengths))
        states.float().square().sum().backward()
        found[f"pack {number}"] = {
            "relative_difference": relative(states.detach(), eager.double()),
            "same": relative(states.detach(), eager.double()) < 0.02 and bool(embedded.grad.isfinite().all()),
        }
    return found
