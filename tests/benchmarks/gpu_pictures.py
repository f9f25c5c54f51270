"""Pictures a second through SSCD's real geometry (ResNet-50) on one GPU, behind the step's own decoder.

JPEGs of 640 x 480, decoded by processes on all cores into memory that the GPU copies from; random weights: the time
does not depend on them. The data wait is the share of wall time in which the network did not run, by the device's own
clock; `shortfall` compares the rate with the network's when its pictures lie on the GPU already.
"""

import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

PICTURES, DISTINCT, BATCH, SIDE = 65_536, 64, 256, 288
SECONDS = 6  # with the network, at the rate of the decoder
WARM_UP = 8  # batches: TorchScript looks at the first few before it compiles


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


def noted(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, printed at once: what was measured stays when a later part fails."""
    print(f"{name}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def picture_figures(folder: Path) -> dict[str, Any]:
    """The encoder behind the step's own decoder, and each part by itself."""
    from data.cores import usable_cores
    from data.curation.decoding import EncodedPicture
    from data.curation.encoders import image_encoder
    from data.curation.process_decoder import ProcessDecoder

    encoder: Any = image_encoder(f"sscd:{sscd_file(folder)}", SIDE, BATCH)
    distinct = jpegs(DISTINCT)
    known = [EncodedPicture(distinct[number % DISTINCT], str(number)) for number in range(PICTURES)]
    unknown = [EncodedPicture(payload, None) for payload in distinct] * (PICTURES // DISTINCT // 4)
    given = {"pixels": [640, 480], "mean_bytes": sum(map(len, distinct)) // DISTINCT, "processes": usable_cores()}
    figures: dict[str, Any] = noted("pictures", given)
    figures["network_alone"] = noted("network alone", network_alone(encoder))
    decoder = ProcessDecoder(encoder.prepare, BATCH)
    cores_alone(decoder, known[: PICTURES // 8])  # starts the processes
    figures["cores_alone"] = noted("cores alone", cores_alone(decoder, known[: PICTURES // 4]))
    figures["without_network"] = noted("without network", drained(decoder.batches(known[: PICTURES // 4])))
    alone = figures["network_alone"]["images_per_second"]
    count = BATCH * int(SECONDS * figures["without_network"]["images_per_second"] / BATCH)
    figures["known"] = noted("with network", with_network(encoder, decoder, known[:count], alone))
    few = unknown[: max(2 * WARM_UP * BATCH, count // 4)]
    figures["unknown"] = noted("with network, unknown", with_network(encoder, decoder, few, alone))
    figures["resizing"] = noted("resizing", resizing(decoder, encoder.prepare, known[:BATCH]))
    figures["agreement"] = noted("agreement", agreement(encoder, decoder, known[:BATCH]))
    decoder.close()
    return figures


def network_alone(encoder: Any, batches: int = 60) -> dict[str, float]:
    """Pictures that lie on the GPU: what no decoder can exceed."""
    pixels = torch.randint(0, 256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8, device="cuda")
    for _ in range(WARM_UP):
        encoder.begin(pixels)()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(batches):
        encoder.features(pixels)
    launched = time.perf_counter() - begin
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    return {"images_per_second": batches * BATCH / seconds, "launch_ms_a_batch": 1e3 * launched / batches}


def drained(batches: Iterable[Any]) -> dict[str, float]:
    """Everything but the network; the first half doesn't count."""
    torch.cuda.synchronize()
    times, counts = [], []
    busy = time.process_time()
    for batch in batches:
        torch.cuda.synchronize()
        times.append(time.perf_counter())
        counts.append(len(batch))
    half = len(times) // 2
    seconds = times[-1] - times[half]
    return {
        "images_per_second": sum(counts[half + 1 :]) / seconds,
        "parent_ms_a_picture": 1e3 * (time.process_time() - busy) / sum(counts),
    }


def cores_alone(decoder: Any, pictures: list[Any]) -> dict[str, float]:
    """What the processes decode when nothing is copied to the GPU."""
    return drained(decoder._pool.batches(pictures))


def with_network(encoder: Any, decoder: Any, pictures: list[Any], alone: float) -> dict[str, float]:
    """As the embedding step does it."""
    from data.curation.ahead import started_ahead
    from data.curation.decoding import stacked

    clock, busy = DeviceTime(encoder), time.process_time()
    begun = (encoder.begin(stacked([one.network for one in batch])) for batch in decoder.batches(pictures))
    for _ in started_ahead(begun):
        pass
    wall, worked = clock.seconds()
    encoder.features = clock.plain
    rate = (len(pictures) - WARM_UP * BATCH) / wall
    return {
        "images_per_second": rate,
        "data_wait_share": 1 - worked / wall,
        "shortfall": 1 - rate / alone,
        "parent_ms_a_picture": 1e3 * (time.process_time() - busy) / len(pictures),
    }


def resizing(decoder: Any, prepare: Any, pictures: list[Any], repeats: int = 20) -> dict[str, float]:
    """The copy and the kernels by themselves, on an idle GPU."""
    from data.curation.resize_gpu import resized

    (placed,) = decoder._pool.batches(pictures)
    found = {}
    on_gpu = decoder._shared.cuda()
    for name, memory in (("copied_and_resized_us", decoder._shared), ("within_the_gpu_us", on_gpu)):
        resized(memory, placed, prepare)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(repeats):
            resized(memory, placed, prepare)
        last.record()
        torch.cuda.synchronize()
        found[name] = 1e3 * first.elapsed_time(last) / repeats / len(placed)
    return {**found, "pinned": float(decoder._shared.is_pinned())}


def agreement(encoder: Any, decoder: Any, pictures: list[Any]) -> dict[str, float]:
    """Against the processor's own pixels, and against doing one after the other."""
    from data.curation.decoding import ready_pictures, stacked

    cards = stacked([one.network for batch in decoder.batches(pictures) for one in batch])
    begin = time.perf_counter()
    cores = stacked([one.network for one in ready_pictures(encoder.prepare, pictures)])
    alone = encoder.begin(cores)()
    plain = len(pictures) / (time.perf_counter() - begin)
    return {
        "one_after_the_other_images_per_second": plain,
        "pixels_that_differ": float((cards.cpu().numpy() != cores).sum()),
        "least_cosine": float((encoder.begin(cards)() * alone).sum(1).min()),
    }
