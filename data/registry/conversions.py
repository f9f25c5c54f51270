"""Rules that make questions and answers out of what is no question: labels, captions, texts, boxes, landmarks.

Each rule takes a JSON object and gives (question, answer, task) triples; wordings are drawn by seed and row. Whatever
an answer is made of stands in the raw data: nothing is guessed. Coordinates are integers from 0 to 1000 over the
image's width and height, `<ref>name</ref><box>[[x1, y1, x2, y2]]</box>`; a point is a box of two numbers.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from data.registry import phrasings
from data.registry.phrasings import label_wordings, pick
from data.registry.raw.problems import BadRowError
from data.registry.rows import seeded_rank
from data.registry.turns import choice_pair

VERSION = 1  # stands in the provenance of every converted sample; raise it when a rule changes what it writes
GRID = 1000
MOST_BOXES = 20  # of one kind in one answer: a longer list is no question about an image any more
CHOICES = 4
BoxFormat = Literal["xyxy", "xywh", "fraction", "grid"]
Pair = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a rule knows besides the row: its seed parts, the image's size in pixels, the card's wishes."""

    seed: int
    source: str
    key: str
    width: int = 0
    height: int = 0
    kind: str | None = None
    vocabulary: tuple[str, ...] = ()
    box_format: BoxFormat = "xyxy"

    def words(self, wordings: tuple[str, ...], *what: object) -> str:
        """One of the wordings, for this row and this thing."""
        return pick(wordings, self.seed, self.source, self.key, *what)

    def rank(self, *what: object) -> int:
        """A seeded number for this row and this thing."""
        return seeded_rank(self.seed, self.source, self.key, *what)


def captions(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """One question for one caption; of several, one is drawn, for the same question can't have two answers."""
    found = _texts(document, "caption", "captions")
    if not found:
        return []
    caption = min(found, key=lambda text: asking.rank("caption", text))
    return [(asking.words(phrasings.CAPTION, caption), caption, "caption")]


def labels(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """What a label names; with a vocabulary also one of four, and yes or no: one label that fits, one that doesn't."""
    found = _texts(document, "label", "labels")
    if not found:
        return []
    if len(found) > 1:
        pairs = [(asking.words(phrasings.ALL_LABELS), ", ".join(found), "labels")]
    else:
        pairs = [(asking.words(label_wordings(asking.kind), found[0]), found[0], "label")]
    others = sorted(set(asking.vocabulary) - set(found), key=lambda label: asking.rank("other", label))
    if not others:
        return pairs
    for label, answer in ((found[0], "yes"), (others[0], "no")):
        question = asking.words(phrasings.HAS_LABEL, label).replace("{label}", label)
        pairs.append((question, answer, "yes_no"))
    if len(found) == 1 and len(others) >= CHOICES - 1:
        options = sorted([found[0], *others[: CHOICES - 1]], key=lambda label: asking.rank("option", label))
        question, letter = choice_pair(
            asking.words(label_wordings(asking.kind), "choice"), options, options.index(found[0])
        )
        pairs.append((question, letter, "multiple_choice"))
    return pairs


def texts(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """What is written in the image, to be copied mark by mark."""
    text = document.get("text")
    if text is None:
        return []
    if not isinstance(text, str) or not text.strip():
        raise BadRowError("invalid_row", "`text` must be the text that the image shows")
    return [(asking.words(phrasings.READ), text.strip(), "transcription")]


def boxes(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """For each kind of object where it is and how many there are; for a box that no other overlaps, what is in it."""
    if document.get("boxes") is None:
        return []
    placed: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
    crowds: set[str] = set()
    for entry in _list(document, "boxes"):
        name = _name(entry, "label")
        placed[name].append(_box(entry.get("box", entry.get("bbox")), asking))
        if entry.get("iscrowd"):
            crowds.add(name)  # one box around many: neither their places nor their number are known
    pairs: list[Pair] = []
    for name, found in placed.items():
        if name in crowds or len(found) > MOST_BOXES:
            continue
        answer = f"<ref>{name}</ref>{_written(sorted(found))}"
        pairs.append((asking.words(phrasings.GROUND, name).replace("{label}", name), answer, "grounding"))
        counted = asking.words(phrasings.COUNT, name).replace("{label}", name)
        pairs.append((counted, str(len(found)), "counting"))
    everywhere = [(name, box) for name, found in placed.items() for box in found]
    for name, box in everywhere:
        if name not in crowds and not any(_overlap(box, other) for _, other in everywhere if other != box):
            question = asking.words(phrasings.REGION, box).replace("{box}", _written([box]))
            pairs.append((question, name, "region"))
    return pairs


def landmarks(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """Where each named point is. Points that are given as null can't be seen and are not asked for."""
    found = document.get("landmarks")
    if found is None:
        return []
    if isinstance(found, list):
        found = {_name(entry, "name"): entry.get("point") for entry in _list(document, "landmarks")}
    if not isinstance(found, dict):
        raise BadRowError("invalid_row", "`landmarks` must be an object or a list")
    pairs = []
    for name, point in found.items():
        if point is None:
            continue
        place = _scaled(_numbers(point, 2), asking, (asking.width, asking.height))
        question = asking.words(phrasings.POINT, name).replace("{name}", _name({"name": name}, "name"))
        pairs.append((question, f"<ref>{name}</ref>{_written([place])}", "point"))
    return pairs


def _texts(document: dict[str, Any], one: str, many: str) -> list[str]:
    value = document.get(one, document.get(many))
    found = [value] if isinstance(value, str) else value if value is not None else []
    if not isinstance(found, list) or not all(isinstance(text, str) and text.strip() for text in found):
        raise BadRowError("invalid_row", f"`{one}` must be text, `{many}` a list of texts")
    return list(dict.fromkeys(text.strip() for text in found))


def _list(document: dict[str, Any], field: str) -> list[dict[str, Any]]:
    found = document[field]
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BadRowError("invalid_row", f"`{field}` must be a list of objects")
    return found


def _name(entry: dict[str, Any], field: str) -> str:
    name = entry.get(field)
    if not isinstance(name, str) or not name.strip() or "<" in name or "\n" in name:
        raise BadRowError("invalid_row", f"`{field}` must be a short text without markup, found {name!r}")
    return name.strip()


def _numbers(value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count or not all(type(number) in {int, float} for number in value):
        raise BadRowError("invalid_box", f"{count} numbers are needed, found {value!r}")
    return [float(number) if abs(number) < 1e9 else 1e9 for number in value]


def _box(value: Any, asking: Asking) -> tuple[int, ...]:
    x1, y1, x2, y2 = _numbers(value, 4)
    if asking.box_format == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        raise BadRowError("invalid_box", f"box {value!r} has no area")
    return _scaled([x1, y1, x2, y2], asking, (asking.width, asking.height, asking.width, asking.height))


def _scaled(numbers: list[float], asking: Asking, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Coordinates on the grid; outside the image by more than a pixel is an error, by less is rounding."""
    if not all(sizes):
        raise BadRowError("missing_file", "coordinates need an image")
    full = {"fraction": (1,) * len(sizes), "grid": (GRID,) * len(sizes)}.get(asking.box_format, sizes)
    scaled = []
    for number, whole, pixels in zip(numbers, full, sizes, strict=True):
        slack = whole / pixels
        if not -slack <= number <= whole + slack:
            raise BadRowError("invalid_box", f"{number:g} lies outside 0 to {whole}")
        scaled.append(round(min(max(number / whole, 0.0), 1.0) * GRID))
    return tuple(scaled)


def _written(found: list[tuple[int, ...]]) -> str:
    return f"<box>[{', '.join(str(list(box)) for box in found)}]</box>"


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
