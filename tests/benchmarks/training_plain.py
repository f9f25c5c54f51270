"""The plain way to train the same network: transformers' modules, padded rows, SDPA with a mask, all logits."""

import time
from typing import Any

import torch
from torch.nn import functional as F
from training_case import Case, Timing, made_pack, network, timed_steps

from model.fusion import fuse
from model.inputs.batch import IGNORE_INDEX
from model.presets import preset
from model.training.freezing import freeze

ROWS = 4  # of a batch that is computed at once


class PlainBench:
    """float32 weights under autocast to bf16, torch's fused AdamW, every layer checkpointed by transformers."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self.case, self.device, self.world = case, device, 1
        self.model_settings = preset(case.preset)
        self.model = network(self.model_settings, device).float()
        freeze(self.model, case.trainable)
        for part in (self.model.vision.siglip.vision_model, self.model.language):
            part.gradient_checkpointing_enable({"use_reentrant": False})
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        self.batches = [self._batch(start) for start in range(0, len(case.mix), ROWS)]

    def _batch(self, start: int) -> dict[str, torch.Tensor]:
        """Rows [B, longest] of ids, labels and mask, and all their tiles."""
        packs = [made_pack(self.model_settings, (sample,), seed) for seed, sample in self._rows(start)]
        longest = max(len(pack.input_ids) for pack in packs)

        def rows(name: str, fill: int) -> torch.Tensor:
            parts = [torch.from_numpy(getattr(pack, name)) for pack in packs]
            return torch.stack([F.pad(part, (0, longest - len(part)), value=fill) for part in parts]).to(self.device)

        ids, labels = rows("input_ids", 0), rows("labels", IGNORE_INDEX)
        lengths = torch.tensor([len(pack.input_ids) for pack in packs], device=self.device)
        mask = torch.arange(longest, device=self.device) < lengths[:, None]
        tiles = torch.cat([torch.from_numpy(pack.tiles) for pack in packs]).to(self.device)
        return {"ids": ids, "labels": labels, "mask": mask, "tiles": tiles}

    def _rows(self, start: int) -> list[tuple[int, tuple[int, int, int]]]:
        return list(enumerate(self.case.mix))[start : start + ROWS]

    def step(self) -> torch.Tensor:
        """One optimizer step over all rows."""
        losses = [self._backward(**batch) for batch in self.batches]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack(losses).mean()

    def _backward(self, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, tiles: torch.Tensor) -> Any:
        language = self.model.language
        with torch.autocast("cuda", torch.bfloat16):
            features, table = self.model.encode_tiles(tiles).flatten(0, 1), language.get_input_embeddings()
            embedded = fuse(table(ids).flatten(0, 1), ids.flatten(), features, self.model.image_context_id)
            inputs = embedded.unflatten(0, ids.shape)
            logits = language(inputs_embeds=inputs, attention_mask=mask, use_cache=False).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        (loss / len(self.batches)).backward()
        return loss.detach()

    def run(self) -> Timing:
        """Warm up, then time."""
        begin = time.perf_counter()
        timing = timed_steps(self.step, self.case, torch.cuda.synchronize)
        print(f"{self.case.name}: {time.perf_counter() - begin:.0f} s", flush=True)
        return timing

    def close(self) -> None:
        """Give the memory back to the next case."""
        del self.model, self.optimizer, self.batches
        torch.cuda.empty_cache()
