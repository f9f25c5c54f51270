"""Images and texts a second through the encoders' real geometry on one GPU: SSCD's ResNet-50 and MPNet-base.

Random weights: the time does not depend on them. Pictures are JPEGs of 640 x 480, decoded by the GPU's own decoder
(beside it, by processes on all cores); texts are questions of about twenty tokens. The data wait is the share of wall
time in which the device had no work, by its own clock.
"""

import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

PICTURES, DISTINCT, TEXTS, BATCH, SIDE = 81_920, 256, 131_072, 256, 288
STEP_SAMPLES = 32_768
WARM_UP = 8  # batches: TorchScript looks at the first few before it compiles


def embedding_figures() -> dict[str, Any]:
    """Both encoders, and the step that uses them."""
    with tempfile.TemporaryDirectory() as folder:
        return {"images": _images(Path(folder)), "texts": _texts(Path(folder)), "step": step_figures()}


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

    descriptor = Descriptor().train()
    with torch.no_grad():  # normalisation that knows its inputs, as in a trained network: else half precision overflows
        for _ in range(8):
            descriptor(torch.randn(8, 3, 96, 96))
    path = folder / "sscd.torchscript.pt"
    torch.jit.trace(descriptor.eval(), torch.zeros(1, 3, SIDE, SIDE)).save(str(path))
    return str(path)


class DeviceTime:
    """Notes a network's time on the device batch by batch; the first `WARM_UP` batches don't count."""

    def __init__(self, encoder: Any) -> None:
        self.plain, self._events, self.begin = encoder.features, [], 0.0
        encoder.features = self.features

    def features(self, pixels: Any) -> torch.Tensor:
        """The network's own, between two marks on the device's clock."""
        if len(self._events) == WARM_UP:
            torch.cuda.synchronize()
            self.begin = time.perf_counter()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        found: torch.Tensor = self.plain(pixels)
        last.record()
        self._events.append((first, last))
        return found

    def seconds(self) -> tuple[float, float]:
        """(wall, worked) since the warm-up."""
        torch.cuda.synchronize()
        wall = time.perf_counter() - self.begin
        return wall, sum(first.elapsed_time(last) for first, last in self._events[WARM_UP:]) / 1e3


def numbered(payload: bytes, number: int) -> bytes:
    """Another file of the same picture: what follows a JPEG's end is read by nobody."""
    return payload + number.to_bytes(4, "big")


def _images(folder: Path) -> dict[str, Any]:
    """The encoder behind the step's own decoder, and the same with decoding by processes alone."""
    from data.curation.ahead import started_ahead
    from data.curation.decoding import EncodedPicture, GpuDecoder, ready_pictures, stacked
    from data.curation.encoders import image_encoder

    encoder: Any = image_encoder(f"sscd:{sscd_file(folder)}", SIDE, BATCH)
    distinct = jpegs(DISTINCT)
    known = [EncodedPicture(distinct[number % DISTINCT], str(number)) for number in range(PICTURES)]
    unknown = [EncodedPicture(payload, None) for payload in distinct] * (PICTURES // DISTINCT // 4)
    decoder = GpuDecoder(encoder.prepare)

    def run(pictures: list[Any]) -> dict[str, float]:
        clock = DeviceTime(encoder)
        batches = decoder.batches(pictures, BATCH)
        begun = (encoder.begin(stacked([one.network for one in batch])) for batch in batches)
        for _ in started_ahead(begun):
            pass
        wall, worked = clock.seconds()
        encoder.features = clock.plain
        count = len(pictures) - WARM_UP * BATCH
        begin = time.perf_counter()
        for _ in decoder.batches(pictures[: len(pictures) // 2], BATCH):
            pass
        return {
            "images_per_second": count / wall,
            "network_alone_images_per_second": count / worked,
            "decoding_alone_images_per_second": len(pictures) // 2 / (time.perf_counter() - begin),
            "data_wait_share": 1 - worked / wall,
        }

    by_gpu, by_processes = run(known), run(unknown)
    cards = stacked([one.network for batch in decoder.batches(known[:BATCH], BATCH) for one in batch])
    cores = stacked([one.network for one in ready_pictures(encoder.prepare, known[:BATCH])])
    decoder.close()
    begin = time.perf_counter()
    alone = encoder.begin(stacked([one.network for one in ready_pictures(encoder.prepare, known[:BATCH])]))()
    plain = BATCH / (time.perf_counter() - begin)
    cosines = (encoder.begin(cards)() * alone).sum(1)
    return {
        "pictures": PICTURES,
        "pixels": [640, 480],
        "mean_bytes": sum(map(len, distinct)) // DISTINCT,
        "processes": len(os.sched_getaffinity(0)),
        **by_gpu,
        "decoded_by_processes": by_processes,
        "one_after_the_other_images_per_second": plain,
        "against_one_after_the_other": by_gpu["images_per_second"] / plain,
        "pixels_mean_difference_to_pillow": float(np.abs(cards.cpu().numpy().astype(int) - cores.astype(int)).mean()),
        "least_cosine_to_vectors_of_pillows_pixels": float(cosines.min()),
    }


def step_figures() -> dict[str, Any]:
    """The whole embedding step on samples of a picture and a question each: read, decoded, encoded, written."""
    import yaml

    from data.curation.embedding import embed_samples
    from data.schema import ImageRef, Turn, make_sample
    from data.storage import Manifest, commit, write_samples

    with tempfile.TemporaryDirectory() as place:
        folder, distinct = Path(place), jpegs(DISTINCT)
        images = [
            ImageRef(
                bytes=numbered(distinct[number % DISTINCT], number),
                path=None,
                width=640,
                height=480,
                pixels=str(number),
            )
            for number in range(STEP_SAMPLES)
        ]
        samples = [
            make_sample(
                source="made",
                category="general_vqa",
                images=(image,),
                conversations=(
                    Turn(role="user", content=f"<image>\nWhat do you see in the picture of number {number}?"),
                    Turn(role="assistant", content="Noise."),
                ),
                meta={},
            )
            for number, image in enumerate(images)
        ]
        shards = write_samples(str(folder / "validation"), samples, STEP_SAMPLES // 8)
        made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": len(samples)}
        commit(str(folder / "validation"), Manifest(**made, shards=shards))
        encoders = {"image_encoder": f"sscd:{sscd_file(folder)}", "text_encoder": f"sentence:{sentence_folder(folder)}"}
        settings = {**encoders, "batch_size": BATCH, "max_text_tokens": 64, "vector_dtype": "float16"}
        data = {"sources": [{"name": "made"}], "embedding": settings, "gate": {"decontaminate": "none"}}
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
        begin = time.perf_counter()
        embed_samples(str(folder / "recipe.yaml"), "", str(folder / "validation"), str(folder / "out"))
        seconds = time.perf_counter() - begin
    return {"samples": STEP_SAMPLES, "seconds": seconds, "samples_per_second": STEP_SAMPLES / seconds}


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
