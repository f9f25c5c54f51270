"""Scores that fell between two checkpoints, and the newly added, similar sources that fell in with them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from model.evaluation.predictions import Prediction
from model.evaluation.scorers import score
from model.evaluation.signatures.finding import Signature
from model.evaluation.signatures.tracing import SourcePattern

ALPHA = 0.05
LEAST_FALL = 0.005  # half a point
OCR_CATEGORIES = frozenset({"naive_ocr", "ocr_qa"})
REJECTED = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One benchmark or source whose mean score fell, in [0, 1], over the questions that both checkpoints answered.

    `worse` and `better` count the questions whose score moved; `pvalue` is that of the exact one-sided sign test.
    """

    source: str
    category: str
    questions: int
    before: float
    after: float
    worse: int
    better: int
    pvalue: float

    @property
    def reads_text(self) -> bool:
        """Whether this is about reading: OCRBench, or a set of an OCR category."""
        return self.category in OCR_CATEGORIES or "ocr" in self.source.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A source that came new, is much like what was there, and coincides with a drop.

    `score` is the gate's S_k, `threshold` what it lies above; `drops` are the regressed sets that it may explain,
    `patterns` the signatures whose pattern its answers show, with the number of samples.
    """

    source: str
    category: str
    score: float
    threshold: float
    drops: tuple[str, ...]
    patterns: dict[str, int]


def local_score(prediction: Prediction) -> float | None:
    """The score of the graph's own evaluation step."""
    return score(prediction.task, prediction.output, prediction.answer)


def regressions(
    before: Iterable[Prediction],
    after: Iterable[Prediction],
    scored: Callable[[Prediction], float | None] = local_score,
) -> list[Regression]:
    """Sets whose score fell by more than chance and `LEAST_FALL`; the worst first.

    Only questions that both answered with open eyes count; `scored` gives None where nobody can judge.
    """
    earlier = {prediction.question_id: prediction for prediction in before if not prediction.blind}
    moved: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for prediction in after:
        other = earlier.get(prediction.question_id)
        if other is None or prediction.blind:
            continue
        was, now = scored(other), scored(prediction)
        if was is not None and now is not None:
            moved[prediction.source, prediction.category].append((was, now))
    found = [_regression(key, pairs) for key, pairs in moved.items()]
    fell = [one for one in found if one.before - one.after >= LEAST_FALL and one.pvalue < ALPHA]
    return worst_first(fell)


def worst_first(fallen: Iterable[Regression]) -> list[Regression]:
    """The largest fall first."""
    return sorted(fallen, key=lambda one: (one.after - one.before, one.source))


def _regression(key: tuple[str, str], pairs: Sequence[tuple[float, float]]) -> Regression:
    worse = sum(now < was for was, now in pairs)
    better = sum(now > was for was, now in pairs)
    moved = worse + better
    return Regression(
        source=key[0],
        category=key[1],
        questions=len(pairs),
        before=sum(was for was, _ in pairs) / len(pairs),
        after=sum(now for _, now in pairs) / len(pairs),
        worse=worse,
        better=better,
        pvalue=float(binomtest(worse, moved, 0.5, alternative="greater").pvalue) if moved else 1.0,
    )


def suspects(
    gate: Iterable[Mapping[str, Any]],
    known: Collection[str],
    drops: Iterable[Regression],
    traces: Mapping[str, Mapping[str, SourcePattern]] | None = None,
    found: Iterable[Signature] = (),
) -> list[Suspect]:
    """New sources with a high similarity score beside a drop that they may explain, the most similar first.

    `gate` holds the entries of the gate's report (`source`, `category`, `score`, `flag_above`, `decision`); `known` are
    the sources that were there before. A source may explain a drop of its own category (the score is taken within it),
    one in reading if it is about reading, and one of a set whose outputs show a signature (`found`) that its answers
    show as well (`traces`). What the gate rejected trains nothing.
    """
    fallen, shown = list(drops), {one.name: one.sources for one in found}
    named = []
    for entry in gate:
        s, above = entry.get("score"), entry["flag_above"]
        if s is None or s <= above or entry["source"] in known or entry.get("decision") == REJECTED:
            continue
        patterns = _patterns(entry["source"], traces or {})
        reading = entry["category"] in OCR_CATEGORIES
        explained = [
            one.source
            for one in fallen
            if one.category == entry["category"]
            or (reading and one.reads_text)
            or any(one.source in shown.get(name, ()) for name in patterns)
        ]
        if explained:
            named.append(
                Suspect(
                    source=entry["source"],
                    category=entry["category"],
                    score=s,
                    threshold=above,
                    drops=tuple(explained),
                    patterns=patterns,
                )
            )
    return sorted(named, key=lambda one: (-one.score, one.source))


def _patterns(source: str, traces: Mapping[str, Mapping[str, SourcePattern]]) -> dict[str, int]:
    return {name: sources[source].count for name, sources in traces.items() if source in sources}
