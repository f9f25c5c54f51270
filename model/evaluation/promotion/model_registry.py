"""Tells a Kubeflow Model Registry of an accepted checkpoint, by its REST API v1alpha3.

    RegisteredModel  NAME              found by name, else made
    ModelVersion     number of entry   custom properties: hashes, scores
    ModelArtifact    checkpoint        where it lies

Whatever is there is left as it is, so a repetition adds nothing. The paths and fields are those of the project's own
OpenAPI file, api/openapi/model-registry.yaml of kubeflow/model-registry.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from data.errors import AerieError
from model.evaluation.promotion.registry import Entry
from model.evaluation.promotion.settings import ADDRESS

BASE = "api/model_registry/v1alpha3"
TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
FIRST_PAUSE = 0.2  # seconds; doubles with each repetition
TOKEN = "MODEL_REGISTRY_TOKEN"
CONFLICT, MISSING = 409, 404
FORMAT = "aerie"
TEXTS = (
    *("checkpoint", "recipe_sha256", "data_version", "predecessor", "git_sha", "run_id", "rules", "benchmark_rules"),
    *("judge", "date"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The ids that the registry gave."""

    model_id: str
    version_id: str
    artifact_id: str


def publish(entry: Entry, checkpoint_uri: str, url: str) -> Published:
    """Have the registry at `url` hold the entry; `AerieError` when it doesn't answer or refuses.

    The entry itself is written before: a registry that is down costs a repetition of this step, no checkpoint.
    """
    ask = _Registry(url)
    model = ask.ensure(
        "registered_model", {"name": entry.model}, "registered_models", {"name": entry.model, "description": "Aerie"}
    )
    name = str(entry.number)
    version = ask.ensure(
        "model_version",
        {"name": name, "parentResourceId": model},
        f"registered_models/{model}/versions",
        {
            "name": name,
            "registeredModelId": model,
            "description": f"run {entry.run_id}, recipe {entry.recipe}",
            "customProperties": properties(entry),
        },
    )
    artifact = ask.ensure(
        "model_artifact",
        {"name": f"{entry.model}-{name}", "parentResourceId": version},
        f"model_versions/{version}/artifacts",
        {
            "artifactType": "model-artifact",
            "name": f"{entry.model}-{name}",
            "uri": checkpoint_uri,
            "modelFormatName": FORMAT,
            "customProperties": {"manifest_sha256": _text(entry.checkpoint)},
        },
    )
    return Published(model_id=model, version_id=version, artifact_id=artifact)


def properties(entry: Entry) -> dict[str, dict[str, Any]]:
    """An entry as the registry's typed custom properties."""
    texts = {name: getattr(entry, name) for name in TEXTS}
    scores = {f"score.{source}": value for source, value in entry.scores.items()}
    scores |= {f"benchmark.{line}": value for line, value in entry.benchmark_scores.items()}
    doubles = {name: {"metadataType": "MetadataDoubleValue", "double_value": value} for name, value in scores.items()}
    return {name: _text(text) for name, text in texts.items() if text} | doubles


def _text(value: str) -> dict[str, Any]:
    return {"metadataType": "MetadataStringValue", "string_value": value}


class _Registry:
    """The REST API at one address."""

    def __init__(self, url: str) -> None:
        if not re.match(ADDRESS, url):
            raise AerieError("MODEL_REGISTRY_URL must look like http://HOST:PORT, without a user")  # nor show a secret
        self.url = url.rstrip("/")
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=_patience())

    def ensure(self, kind: str, search: dict[str, str], collection: str, body: dict[str, Any]) -> str:
        """The id of what the search finds, made from `body` when there is none; two writers at once get the same."""
        found = self._find(kind, search)
        if found is None:
            status, answer = self._ask("POST", collection, body)
            # The same was made meanwhile: by another writer, or by a request whose answer was lost.
            found = self._find(kind, search) if status == CONFLICT else answer
        if not found or not found.get("id"):
            raise AerieError(f"Model Registry at {self.url}: the answer to {collection} names no id")
        return str(found["id"])

    def _find(self, kind: str, search: dict[str, str]) -> dict[str, Any] | None:
        status, answer = self._ask("GET", f"{kind}?{urlencode(search)}")
        return None if status == MISSING else answer

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        if token := os.environ.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        payload = json.dumps(body).encode() if body else None
        try:
            answer = self._pool.request(method, f"{self.url}/{BASE}/{path}", body=payload, headers=headers)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise AerieError(
                f"Model Registry at {self.url} can't be reached ({type(error).__name__}); the checkpoint is in Aerie's "
                "own registry: run the pipeline again when the Model Registry answers, or drop its address"
            ) from None
        if (answer.status == MISSING and method == "GET") or answer.status == CONFLICT:
            return answer.status, {}
        return answer.status, self._document(method, path, answer)

    def _document(self, method: str, path: str, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        where = f"Model Registry at {self.url}: {method} {path.partition('?')[0]}"
        try:
            document = json.loads(answer.data)
        except ValueError:
            document = None
        if answer.status >= 300:
            said = document.get("message", "") if isinstance(document, dict) else ""
            raise AerieError(f"{where} is refused ({answer.status} {str(said)[:200]}); check its address and {TOKEN}")
        if not isinstance(document, dict):
            raise AerieError(f"{where} is not answered in JSON; is this the address of a Model Registry?")
        return document


def _patience() -> urllib3.Retry:
    """A busy registry is asked again; what is made twice comes back as a conflict."""
    return urllib3.Retry(
        4,
        allowed_methods=None,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,
        backoff_factor=FIRST_PAUSE,
        redirect=False,
        respect_retry_after_header=False,  # a server may ask for hours
    )
