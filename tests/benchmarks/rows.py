"""Realistic rows for the benchmarks: nine categories, one to six pairs, a few defects, small real pictures again."""

import io
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from data.schema import CATEGORIES, SAMPLE_SCHEMA, ImageRef, Sample, Turn, make_sample
from data.shardwise import shard_bytes, write_shard
from data.storage import Shard

NOUNS = """
dog cat bus street kitchen table bar chart line axis window bottle sign river bridge tower market horse
bicycle laptop teacher player umbrella mountain garden train plate orange candle mirror shelf field engine
harbour curve triangle circle segment angle cell nucleus leaf planet mineral circuit magnet lens invoice
receipt form label column row total share price income export energy water coal wind rainfall population
hospital student
""".split()  # noqa: SIM905
VERBS = """
shows has holds carries follows reaches covers crosses joins measures lists contains faces supports
""".split()  # noqa: SIM905
ADJECTIVES = """
red blue green yellow small large old narrow bright wooden empty crowded parallel equal steep average early
northern annual printed upper lower third second visible
""".split()  # noqa: SIM905
PLACES = [
    "on the left",
    "on the right",
    "in the middle",
    "near the top",
    "at the bottom",
    "behind it",
    "in the background",
]
DEFECTS = (
    ("What does it show?", "I'm sorry, but I can't see the image."),
    ("What does it show?", "<image>"),
    ("Is there a dog?", "triangle"),
    ("How many bars are there?", "the left one"),
    ("Describe it.", "a dog on a mat, " * 12),
    ("What is the price for 1999?", "12.507312"),
    ("What is the result?", r"\begin{align*} x = 3"),
    ("What is it?", ""),
    ("Which one?\nA. red\nB. blue", "E"),
    ("What is it called?", "The answer is {answer}."),
)
SOURCES = 24


def pictures(count: int = 200) -> list[ImageRef]:
    """Small PNG files of drawn shapes."""
    made = []
    for number in range(count):
        rng = random.Random(number)
        image = Image.new("RGB", (128, 48), tuple(rng.randrange(256) for _ in range(3)))
        draw = ImageDraw.Draw(image)
        for _ in range(4):
            x, y = rng.randrange(120), rng.randrange(40)
            draw.rectangle((x, y, x + rng.randrange(4, 20), y + 6), fill=tuple(rng.randrange(256) for _ in range(3)))
        sink = io.BytesIO()
        image.save(sink, "PNG")
        made.append(ImageRef(bytes=sink.getvalue(), path=f"{number:06d}.png", width=128, height=48))
    return made


class Writer:
    """Writes sentences, questions and answers by chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pictures = pictures()

    def sentence(self) -> str:
        """Eight to fourteen words."""
        pick = self.rng.choice
        return (
            f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(PLACES)} {pick(VERBS)} a {pick(ADJECTIVES)} {pick(NOUNS)} "
            f"and {self.rng.randrange(2, 90)} {pick(NOUNS)}s."
        )

    def pair(self, category: str) -> tuple[str, str, str]:
        """(question, answer, task) as that category asks."""
        pick, number = self.rng.choice, self.rng.randrange
        kind = number(10)
        if self.rng.random() < 0.004:
            return (*pick(DEFECTS), "open")
        if category == "captioning_knowledge" or kind == 0:
            return "Describe the image in detail.", " ".join(self.sentence() for _ in range(number(2, 9))), "caption"
        if category == "mathematics" and kind < 6:
            a, b = number(2, 90), number(2, 90)
            return (
                f"A rectangle has the sides {a} cm and {b} cm. What is its area?",
                f"The area is the product of the sides: ${a} \\times {b} = {a * b}$. So the answer is {a * b} cm².",
                "math",
            )
        if category in ("science", "mathematics"):
            options = self.rng.sample(NOUNS, 4)
            listed = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
            return f"Which {pick(NOUNS)} {pick(VERBS)} the {pick(NOUNS)}?\n{listed}", pick("ABCD"), "choice"
        if category == "chart_table":
            return (
                f"What is the {pick(NOUNS)} {pick(NOUNS)} in {number(1960, 2024)}?",
                f"{number(1, 999) / 10}",
                "value",
            )
        if category in ("naive_ocr", "ocr_qa"):
            return "Read the text in the image.", " ".join(pick(NOUNS) for _ in range(number(3, 40))), "ocr"
        if kind < 4:
            return (
                f"Is there a {pick(ADJECTIVES)} {pick(NOUNS)} in the image?",
                pick(["yes", "no", "Yes.", "No"]),
                "yes_no",
            )
        if kind < 6:
            return f"How many {pick(NOUNS)}s are there?", str(number(12)), "count"
        return f"What {pick(VERBS)} the {pick(ADJECTIVES)} {pick(NOUNS)} {pick(PLACES)}?", self.sentence(), "open"

    def sample(self) -> Sample:
        """One row."""
        category = self.rng.choice(CATEGORIES)
        image = None if category == "text_only" else self.rng.choice(self.pictures)
        asked = [self.pair(category) for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 4, 6)))]
        pairs = list({question: (question, answer, task) for question, answer, task in asked}.values())
        turns: list[Turn] = []
        for index, (question, answer, _) in enumerate(pairs):
            if category == "text_only":
                question = question.replace(" in the image", "").replace("the image", "your day")
            place = "<image>\n" if image is not None and index == 0 else ""
            turns += [Turn(role="user", content=place + question), Turn(role="assistant", content=answer)]
        made = make_sample(
            source=f"source-{self.rng.randrange(SOURCES):02d}",
            category=category,
            images=(image,) if image is not None else (),
            conversations=tuple(turns),
            meta={"tasks": [task for *_, task in pairs], "row": self.rng.getrandbits(40)},
        )
        # Short rows come twice by chance; past the gate there are no repeats.
        return replace(made, sample_id=f"{self.rng.getrandbits(128):032x}")


def rows(count: int, seed: int) -> Iterator[Sample]:
    """So many rows; the same seed gives the same rows."""
    writer = Writer(seed)
    for _ in range(count):
        yield writer.sample()


def write_rows(folder: str, path: str, count: int, seed: int) -> Shard:
    """One shard of rows."""
    table = pa.Table.from_pylist([sample.to_row() for sample in rows(count, seed)], schema=SAMPLE_SCHEMA)
    return write_shard(folder, path, shard_bytes(table), count)


def characters(table: pa.Table) -> float:
    """Mean characters of a row's conversation."""
    return float(np.mean([sum(len(t["content"]) for t in row) for row in table["conversations"].to_pylist()]))
