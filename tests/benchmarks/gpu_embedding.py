"""Images and texts a second through the encoders' real geometry on one GPU: SSCD's ResNet-50 and MPNet-base.

Random weights: the time does not depend on them. Pictures are JPEGs of 640 x 480, decoded by processes on all
cores; texts are questions of about twenty tokens. The data wait is the share of wall time in which the device had no
work, by its own clock.
"""

import io
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

PICTURES, DISTINCT, TEXTS, BATCH, SIDE = 40_960, 256, 131_072, 256, 288
WARM_UP = 8  # batches: TorchScript looks at the first few before it compiles


def embedding_figures() -> dict[str, Any]:
    """Both encoders."""
    with tempfile.TemporaryDirectory() as folder:
        return {"images": _images(Path(folder)), "texts": _texts(Path(folder))}


def jpegs(count: int) -> list[bytes]:
    """Encoded pictures with the detail of photographs: noise at every scale."""
    dice = np.random.default_rng(0)
    files = []
    for _ in range(count):
        layers = [
            np.asarray(
                Image.fromarray(dice.integers(0, 256, (480 // step, 640 // step, 3), np.uint8)).resize((640, 480)),
                np.float32,
            )
            for step in (1, 4, 16, 80)
        ]
        picture = sum(weight * layer for weight, layer in zip((0.05, 0.15, 0.3, 0.5), layers, strict=True))
        sink = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(sink, "JPEG", quality=90)
        files.append(sink.getvalue())
    return files


def sscd_file(folder: Path) -> str:
    """TorchScript of SSCD's geometry: ResNet-50, generalised mean pooling, 512 numbers of length 1."""
    import torchvision

    class Descriptor(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torch.nn.Sequential(*list(torchvision.models.resnet50().children())[:-2])
            self.embeddings = torch.nn.Linear(2048, 512)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            features = self.backbone(pixels).clamp(min=1e-6).pow(3.0).mean((2, 3)).pow(1.0 / 3.0)
            return torch.nn.functional.normalize(self.embeddings(features), dim=1)

    path = folder / "sscd.torchscript.pt"
    torch.jit.trace(Descriptor().eval(), torch.zeros(1, 3, SIDE, SIDE)).save(str(path))
    return str(path)


class DeviceTime:
    """Notes a network's time on the device batch by batch; the first `WARM_UP` batches don't count."""

    def __init__(self, encoder: Any) -> None:
        self._features, self._events, self.begin = encoder.features, [], 0.0
        encoder.features = self.features

    def features(self, pixels: Any) -> torch.Tensor:
        """The network's own, between two marks on the device's clock."""
        if len(self._events) == WARM_UP:
            torch.cuda.synchronize()
            self.begin = time.perf_counter()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        found: torch.Tensor = self._features(pixels)
        last.record()
        self._events.append((first, last))
        return found

    def seconds(self) -> tuple[float, float]:
        """(wall, worked) since the warm-up."""
        torch.cuda.synchronize()
        wall = time.perf_counter() - self.begin
        return wall, sum(first.elapsed_time(last) for first, last in self._events[WARM_UP:]) / 1e3


def _images(folder: Path) -> dict[str, Any]:
    from data.curation.ahead import batches_ahead
    from data.curation.embedder import ready_pictures
    from data.curation.encoders import image_encoder
    from data.shardwise import worker_pool

    encoder: Any = image_encoder(f"sscd:{sscd_file(folder)}", SIDE, BATCH)
    work = partial(ready_pictures, encoder.prepare)  # decoded, resized, and all pixels hashed, as the step does
    distinct = jpegs(DISTINCT)
    files = (distinct * (PICTURES // DISTINCT))[:PICTURES]
    processes = len(os.sched_getaffinity(0))
    clock = DeviceTime(encoder)
    with worker_pool(processes) as pool:
        for batch in batches_ahead(work, files, batch_size=BATCH, pool=pool):
            encoder.encode(np.stack([pixels for pixels, _ in batch]))
        wall, worked = clock.seconds()
        begin = time.perf_counter()
        for _ in batches_ahead(work, files[: PICTURES // 4], batch_size=BATCH, pool=pool):
            pass
        decoding = PICTURES // 4 / (time.perf_counter() - begin)
    begin = time.perf_counter()
    encoder.encode(np.stack([pixels for pixels, _ in work(distinct)]))
    plain = DISTINCT / (time.perf_counter() - begin)
    rate = (PICTURES - WARM_UP * BATCH) / wall
    return {
        "pictures": PICTURES,
        "pixels": [640, 480],
        "processes": processes,
        "images_per_second": rate,
        "network_alone_images_per_second": (PICTURES - WARM_UP * BATCH) / worked,
        "decoding_alone_images_per_second": decoding,
        "data_wait_share": 1 - worked / wall,
        "one_after_the_other_images_per_second": plain,
        "against_one_after_the_other": rate / plain,
    }


def sentence_folder(folder: Path) -> str:
    """A sentence encoder of MPNet-base's geometry as a folder: tokenizer of 30,000 words, random weights."""
    import json

    from transformers import MPNetConfig, MPNetModel, MPNetTokenizerFast

    dice = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = sorted({"".join(dice.choice(letters, size)) for size in dice.integers(2, 9, 40_000)})[:30_000]
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    path = folder / "mpnet"
    MPNetModel(MPNetConfig()).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join([*special, *words, "?", "."]))
    MPNetTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(path)
    (path / "words.json").write_text(json.dumps(words))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(path)


def _texts(folder: Path) -> dict[str, Any]:
    import json

    from data.curation.encoders import text_encoder

    path = sentence_folder(folder)
    words = json.loads(Path(path, "words.json").read_text())
    dice = np.random.default_rng(1)
    drawn = dice.integers(0, len(words), (TEXTS, 30)).tolist()
    sizes = dice.integers(6, 31, TEXTS).tolist()
    texts = [" ".join(words[word] for word in row[:size]) + "?" for row, size in zip(drawn, sizes, strict=True)]
    encoder: Any = text_encoder(f"sentence:{path}", 64, BATCH)
    encoder.embed_texts(texts[: 8 * BATCH])
    begin = time.perf_counter()
    encoder.embed_texts(texts)
    rate = TEXTS / (time.perf_counter() - begin)
    return {"texts": TEXTS, "words": [6, 30], "texts_per_second": rate}
