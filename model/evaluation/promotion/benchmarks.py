"""Stored answers to benchmarks as scored units, so that they are compared as held-out questions are.

One line a benchmark, HallusionBench's three parts one each. A unit is what the line's score is a mean of
(`model.evaluation.rules.units`): a question, MMBench's question with all its rotations, a figure.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from model.evaluation.predictions import Prediction
from model.evaluation.promotion.pairing import Scored, ties_of
from model.evaluation.rules import RULES_VERSION, UNIT_RULES, Unit, units, verdict

BENCHMARK_RULES = f"{UNIT_RULES} {RULES_VERSION}"


def line_name(benchmark: str, part: str) -> str:
    """How a report and a recipe call a part of a benchmark; the whole has the benchmark's name."""
    return f"{benchmark}/{part}" if part else benchmark


def benchmark_units(predictions: Iterable[Prediction]) -> list[Scored]:
    """The units of all benchmarks, `source` being their line; `AerieError` names a question that can't be scored."""
    answered: defaultdict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        if not prediction.blind:
            answered[prediction.source].append(prediction)
    return [unit for name, some in sorted(answered.items()) for unit in _units(name, some)]


def _units(benchmark: str, predictions: list[Prediction]) -> list[Scored]:
    predictions = sorted(predictions, key=lambda prediction: prediction.question_id)
    rows = [prediction.answered() for prediction in predictions]
    parts = units(rows, [verdict(row, UNIT_RULES) for row in rows])
    ties = _ties(predictions, parts)
    judges = sorted({row.facts["judge_model"] for row in rows if "judge_model" in row.facts})
    return [
        Scored(
            question_id=unit.name,
            source=line_name(benchmark, part),
            category=predictions[unit.places[0]].category,
            value=unit.value,
            ties=tuple(dict.fromkeys(tie for place in unit.places for tie in ties[place])),
            asked=_asked([predictions[place] for place in unit.places], judges),
        )
        for part, some in parts.items()
        for unit in some
    ]


def _ties(predictions: Sequence[Prediction], parts: dict[str, list[Unit]]) -> list[list[str]]:
    """What each answer shares with others: also every unit of which it is only a part, of whatever line."""
    ties = [list(ties_of(prediction)) for prediction in predictions]
    for part, some in parts.items():
        for unit in some:
            for place in unit.places if len(unit.places) > 1 else ():
                ties[place].append(f"unit {part} {unit.name}")
    return ties


def _asked(predictions: Sequence[Prediction], judges: list[str]) -> str:
    told = json.dumps([*([one.question_id, one.prompt, list(one.answers)] for one in predictions), *judges])
    return hashlib.sha256(told.encode()).hexdigest()
