"""Answers that only a judge can score, put before one: a file names the endpoint and its pinned model."""

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from data.errors import AerieError
from data.files import read_bytes
from data.settings.endpoint import EndpointSettings
from model.evaluation.answered import Answered
from model.evaluation.benchmarks.judge import extracted, graded

GRADED, EXTRACTED = "mmvet", "mathvista"  # rules


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


def judged(rows: Sequence[Answered], judge: EndpointSettings) -> list[Answered]:
    """The same rows in their order, those of judged rules with the judge's grade or reading among their facts.

    Verdicts are cached at the endpoint's `cache_uri`: the same answers cost nothing twice.
    """
    found = dict(enumerate(rows))
    for rule in (GRADED, EXTRACTED):
        places = [place for place, row in found.items() if row.rule == rule]
        asked = [found[place] for place in places]
        answers = (graded(asked, judge).rows if rule == GRADED else extracted(asked, judge)) if asked else ()
        found.update(zip(places, answers, strict=True))
    return list(found.values())
