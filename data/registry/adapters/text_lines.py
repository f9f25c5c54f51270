"""Short lines of real text (licence files of installed packages), drawn in fonts that matplotlib ships."""

import hashlib
import importlib.metadata
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.registry.cards import SourceCard
from data.registry.rows import (
    Accepted,
    RawRow,
    Split,
    options,
    package_folder,
    package_version,
    question_sample,
    seeded_keep,
    seeded_rank,
)
from data.settings.base import Strict
from data.settings.sources import SourceUse

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf", "STIXGeneral.ttf")
WIDTH, HEIGHT, MARGIN = 128, 64, 4  # two 64 px tiles side by side
FONT_SIZES = (22, 20, 18, 16, 14, 12, 10)  # the largest that fits is taken
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*[A-Za-z]|[aA]")
MAX_CHARS = 18


class Document(Strict):
    """One licence file of an installed package; `file` is the end of its path in the package's metadata folder."""

    package: str
    file: str


class LineOptions(Strict):
    """Which documents, which use (`read` the line or answer `questions` about it), how many lines at most."""

    use: Literal["read", "questions"]
    documents: tuple[Document, ...] = Field(min_length=1)
    heldout_documents: tuple[Document, ...] = Field(min_length=1)
    max_lines: int = Field(default=1200, ge=1)
    max_heldout_lines: int = Field(default=200, ge=1)


def identity(card: SourceCard) -> str:
    """Hash of the documents, and the versions of what draws them."""
    settings = options(LineOptions, card)
    texts = [document_text(card, document) for document in (*settings.documents, *settings.heldout_documents)]
    versions = [f"{name}=={package_version(card, name)}" for name in ("matplotlib", "pillow")]
    return " ".join([*versions, hashlib.sha256("\0".join(texts).encode()).hexdigest()])


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """One sample per distinct line. A line that also stands in a held-out document never enters training."""
    settings = options(LineOptions, card)
    fonts = package_folder(card, "matplotlib") / "mpl-data" / "fonts" / "ttf"
    heldout = document_lines(card, settings, settings.heldout_documents, seed)
    train = document_lines(card, settings, settings.documents, seed)
    train = {line: document for line, document in train.items() if line not in heldout}
    plan: tuple[tuple[Split, dict[str, str], int], ...] = (
        ("train", train, min(settings.max_lines, use.max_samples or settings.max_lines)),
        ("heldout", heldout, min(settings.max_heldout_lines, use.max_heldout or settings.max_heldout_lines)),
    )
    vocabulary = sorted({word for line in train for word in line.split()})
    for split, lines, cap in plan:
        for line in seeded_keep(list(lines), cap, seed, card.name):
            rng = random.Random(seeded_rank(seed, card.name, line))
            path = f"{lines[line]}/{hashlib.sha256(line.encode()).hexdigest()[:12]}.png"
            image = image_ref(draw_line(line, fonts, rng), path)
            pairs = line_questions(line, vocabulary, rng) if settings.use == "questions" else read_question(line)
            meta = {"key": path, "document": lines[line], "text": line}
            yield Accepted(split=split, sample=question_sample(card, image, pairs, meta))


def document_text(card: SourceCard, document: Document) -> str:
    """The text of a licence file; `AerieError` says what to install when it is not there."""
    package_version(card, document.package)
    for path in importlib.metadata.distribution(document.package).files or []:
        if path.name == document.file and ".dist-info" in path.parts[0]:
            return Path(str(path.locate())).read_text(encoding="utf-8", errors="replace")
    raise AerieError(
        f"card {card.name!r}: package {document.package} ships no licence file {document.file!r}; "
        "install the locked versions or correct `options.documents` in the card"
    )


def document_lines(
    card: SourceCard, settings: LineOptions, documents: tuple[Document, ...], seed: int
) -> dict[str, str]:
    """Distinct lines of the documents with the document of each, in reading order.

    A seeded hash of the line's words gives each line to exactly one of the two uses.
    """
    shortest, longest = (1, 3) if settings.use == "read" else (2, 4)
    lines: dict[str, str] = {}
    for document in documents:
        words = WORD.findall(document_text(card, document))
        rng = random.Random(seeded_rank(seed, "cut", document.package, document.file))
        position = 0
        while position < len(words):
            count = rng.randint(shortest, longest)
            line = " ".join(words[position : position + count])
            position += count
            mine = (seeded_rank(seed, "use", line.lower()) % 2 == 0) == (settings.use == "read")
            if mine and len(line.split()) >= shortest and len(line) <= MAX_CHARS:
                lines.setdefault(line, document.package)
    return lines


@lru_cache(maxsize=64)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout engine is in every Pillow build, Raqm is not: pixels must not depend on it.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def draw_line(line: str, fonts: Path, rng: random.Random) -> bytes:
    """PNG (128 x 64 px, RGB) of a line in a seeded font, at a seeded place, as large as fits."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    name = rng.choice(FONTS)
    for size in FONT_SIZES:
        font = _font(fonts / name, size)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(line))
        free_x, free_y = WIDTH - 2 * MARGIN - (right - left), HEIGHT - 2 * MARGIN - (bottom - top)
        if free_x >= 0 and free_y >= 0:
            break
    x = MARGIN + rng.randint(0, max(free_x, 0)) - left
    y = MARGIN + rng.randint(0, max(free_y, 0)) - top
    pen.text((x, y), line, fill="black", font=font)
    return encode_png(image)


def read_question(line: str) -> list[tuple[str, str, str]]:
    """The one question of plain reading."""
    return [("Read the text.", line, "line")]


def line_questions(line: str, vocabulary: list[str], rng: random.Random) -> list[tuple[str, str, str]]:
    """Four questions with answers computed from the words; the word asked for is absent half of the time."""
    words = line.split()
    present = rng.random() < 0.5
    absent = [word for word in rng.sample(vocabulary, min(20, len(vocabulary))) if word not in words]
    asked = rng.choice(words) if present or not absent else absent[0]
    return [
        ("How many words are there?", str(len(words)), "count_words"),
        ("What is the first word?", words[0], "first_word"),
        ("What is the last word?", words[-1], "last_word"),
        (f'Does the word "{asked}" appear?', "yes" if asked in words else "no", "word_appears"),
    ]
