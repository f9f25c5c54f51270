"""scikit-learn's handwritten digits, enlarged to one 64 px tile."""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydantic import Field

from data.images import encode_png, image_ref
from data.registry.cards import SourceCard
from data.registry.rows import (
    Accepted,
    RawRow,
    Split,
    one_in,
    options,
    package_identity,
    question_sample,
    seeded_keep,
    seeded_rank,
)
from data.settings.base import Strict
from data.settings.sources import SourceUse

QUESTIONS = ("What digit is written?", "Which digit do you see?", "Read the digit.")
SIDE = 64  # pixels; the source has 8 x 8 with 17 grey levels
identity = package_identity


class DigitOptions(Strict):
    """Which share is held out."""

    heldout_one_in: int = Field(default=6, ge=2)


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """One question per digit; the side of the split is a seeded hash of the digit's index."""
    package_identity(card)
    from sklearn.datasets import load_digits  # slow to import, needed here only

    bunch = load_digits()
    settings = options(DigitOptions, card)
    indices: dict[Split, list[int]] = {"train": [], "heldout": []}
    for index in range(len(bunch.target)):
        indices["heldout" if one_in(settings.heldout_one_in, seed, card.name, index) else "train"].append(index)
    for split, cap in (("train", use.max_samples), ("heldout", use.max_heldout)):
        for index in seeded_keep(indices[split], cap, seed, card.name):  # type: ignore[index]
            question = QUESTIONS[seeded_rank(seed, "question", index) % len(QUESTIONS)]
            image = image_ref(enlarge(bunch.images[index]), f"digits/{index}.png")
            pairs = [(question, str(int(bunch.target[index])), "digit")]
            sample = question_sample(card, image, pairs, {"key": f"digits/{index}"})
            yield Accepted(split=split, sample=sample)  # type: ignore[arg-type]


def enlarge(levels: np.ndarray) -> bytes:
    """PNG of an 8x8 array of grey levels 0..16: white ink on black, RGB."""
    grey = Image.fromarray((levels * (255 / 16)).round().astype(np.uint8))
    return encode_png(grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB"))
