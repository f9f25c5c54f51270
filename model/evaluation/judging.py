"""Answers that only a judge can score, put before one: a file names the endpoint and its pinned model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from data.curation.endpoint.service import AnswerService, Totals
from data.errors import AerieError
from data.files import read_bytes
from data.settings.endpoint import EndpointSettings
from model.evaluation.answered import Answered
from model.evaluation.benchmarks.judge import extracted, graded

GRADED, EXTRACTED = "mmvet", "mathvista"
JUDGED_RULES = (GRADED, EXTRACTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of putting answers before a judge.

    `rows` are the answers in their order, those of `JUDGED_RULES` with the judge's grade or reading among their facts
    (`model.evaluation.benchmarks.judge`). `totals` is what all of it cost, `traffic` what went over the wire now;
    `stopped` says why nothing more was asked, `failure` what the endpoint last failed with.
    """

    rows: tuple[Answered, ...]
    totals: Totals
    traffic: dict[str, int]
    stopped: str
    failure: str


def read_judge(uri: str) -> EndpointSettings:
    """The endpoint in a YAML file (url, model, cache_uri, ...); `AerieError` names the file and the key."""
    try:
        document: Any = yaml.safe_load(read_bytes(uri))
    except (OSError, yaml.YAMLError) as error:
        raise AerieError(f"the judge's file {uri} can't be read: {error}") from error
    try:
        return EndpointSettings.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise AerieError(f"the judge's file {uri}: {key}: {first['msg']}") from error


def judged(rows: Sequence[Answered], judge: EndpointSettings) -> Judgement:
    """Have graded what only a judge can score, and read what a judge reads better, within one cost cap.

    Verdicts are cached at the endpoint's `cache_uri`: the same answers cost nothing twice.
    """
    found = dict(enumerate(rows))
    with AnswerService(judge) as service:
        for rule in JUDGED_RULES:
            places = [place for place, row in found.items() if row.rule == rule]
            asked = [found[place] for place in places]
            answers = graded(asked, service).rows if rule == GRADED else extracted(asked, service)
            found.update(zip(places, answers, strict=True))
    return Judgement(
        rows=tuple(found.values()),
        totals=service.totals,
        traffic=service.traffic.document(),
        stopped=service.stopped,
        failure=service.failure,
    )
