"""JPEGs decoded by torchvision: on the processor with Pillow's very pixels, on the GPU (nvJPEG) with nearly the same.

nvJPEG enlarges the colour planes in another way: pixels differ by 2 of 255 on average, by half of that once made
smaller. On the processor torchvision keeps no Python lock while it decodes, so threads are enough.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.curation.jpeg_header import jpeg_header

LARGEST = 4_000_000  # pixels of one picture; a larger one is for the processor: a batch must fit into memory
TOGETHER = 64_000_000  # pixels that are resized at once, in float32


def is_plain_jpeg(payload: bytes) -> bool:
    """Whether any decoder gives the same picture: a JPEG of usual colours, coding and size, upright for sure."""
    header = jpeg_header(payload)
    if header is None or not header.baseline or header.exif:
        return False
    usual = header.components == 1 or (header.components == 3 and header.transform in (None, 1))
    return usual and 0 < header.width * header.height <= LARGEST


def decoded_on_cores(payload: bytes) -> Any:
    """uint8 [3, height, width] of a plain JPEG, stored pixel by pixel; RuntimeError when it is damaged."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(torch.frombuffer(bytearray(payload), dtype=torch.uint8), ImageReadMode.RGB)


def decoded_on_gpu(payloads: Sequence[bytes], size: int, mode: str) -> list[Any]:
    """uint8 [size, size, 3] of each JPEG, tensors on the GPU that any stream may use; `mode` is torch's."""
    if not payloads:
        return []
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    with torch.inference_mode(), torch.cuda.stream(torch.cuda.Stream()):
        files = [torch.frombuffer(bytearray(payload), dtype=torch.uint8) for payload in payloads]
        decoded = decode_jpeg(files, ImageReadMode.RGB, device="cuda")
        found = _resized(decoded, size, mode)
        torch.cuda.current_stream().synchronize()
    return found


def placed_on_gpu(pictures: Sequence[np.ndarray]) -> list[Any]:
    """Pictures of one size as tensors on the GPU, by one copy that the network's stream doesn't wait for."""
    if not pictures:
        return []
    import torch

    with torch.cuda.stream(torch.cuda.Stream()):
        found = torch.from_numpy(np.stack(pictures)).to("cuda")
        torch.cuda.current_stream().synchronize()
    return list(found)


def _resized(pictures: "Sequence[Any]", size: int, mode: str) -> list[Any]:
    """uint8 [size, size, 3] of pictures uint8 [3, H, W] on any device; those of one size together."""
    import torch
    from torch.nn.functional import interpolate

    by_size: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, picture in enumerate(pictures):
        by_size[tuple(picture.shape[1:])].append(number)
    found: list[Any] = [None] * len(pictures)
    for (height, width), numbers in by_size.items():
        at_once = max(1, TOGETHER // (height * width))
        for part in (numbers[at : at + at_once] for at in range(0, len(numbers), at_once)):
            pixels = torch.stack([pictures[number] for number in part]).float()
            resized = interpolate(pixels, size=(size, size), mode=mode, antialias=True).round().clamp(0, 255)
            for number, one in zip(part, resized.to(torch.uint8).permute(0, 2, 3, 1), strict=True):
                found[number] = one
    return found
