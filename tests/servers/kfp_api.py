"""An API server of Kubeflow Pipelines 2.17 in multi-user mode, as far as `aerie submit|status|logs|cancel|reap` see it.

Like the real one it keeps a run id that the client sends, starts the workflow *before* it writes the run's row,
answers 500 when the id is taken (with the second workflow at work), and deletes a workflow that has no row after a
grace period.

Settings of a reset:
    token         the only one accepted
    synced        [{pipeline, version, parameters, at}]: what Argo CD applied; `at`: second from which KFP shows it
    keeps_ids     false: choose run ids itself
    row_seconds   longest time between a workflow and its row; row_lost: probability that the row is never written
    life          [[seconds, state], ...] after creation, the end is the last one; `cancel_seconds` of a cancellation
    tasks, error  what finished runs report: task_details and the run's error
    runs          runs that exist from the beginning
    logs          pod -> text; a pod that isn't there is gone
Time: the X-Test-Now header in seconds, else every request takes one.
"""

import base64
import json
import uuid
from email import message_from_bytes
from random import Random
from typing import Any

import yaml
from faulty_http import Request, Response, serve
from kfp_runs import GRACE_SECONDS, Row, Runs

API, LOGS = "/apis/v2beta1/", "/apis/v1alpha1/runs/"
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 504: 4}
LATE_SECONDS = 60.0  # a request that old has lost its client: nothing handles it any more


def refusal(status: int, message: str) -> Response:
    """An error as grpc-gateway writes it."""
    return Response(status, {"error": message, "code": CODES.get(status, 2), "message": message, "details": []})


class KfpApi:
    """The application behind the HTTP server."""

    def reset(self, settings: dict[str, Any], random: Random) -> None:
        """An empty KFP."""
        self.settings, self.random, self.now = settings, random, 0.0
        self.experiments: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.runs = Runs(settings, random)
        for item in settings.get("synced", []):
            pipeline = self._add_pipeline(item["pipeline"], item.get("at", 0))
            self._add_version(pipeline, item["version"], item["parameters"], item.get("at", 0))
        for item in settings.get("runs", []):
            self.runs.add(Row(item, created=0.0, visible=0.0))

    def state(self) -> dict[str, Any]:
        """[run id, created] of the workflows that stay, rows, and the names that were made."""
        self.runs.collect_garbage(self.now + GRACE_SECONDS)
        return {
            "workflows": self.runs.workflows,
            "runs": [row.body for row in self.runs.rows.values()],
            "experiments": [item["display_name"] for item in self.experiments.values()],
            "versions": [item["name"] for item in self.versions.values()],
            "pipelines": [item["name"] for item in self.pipelines.values()],
            "now": self.now,
        }

    def handle(self, request: Request) -> Response:
        """Authenticate, move the time, find the resource."""
        token = self.settings.get("token")
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return refusal(401, "Unauthenticated: request header error: there is no valid token")
        at = float(request.headers.get("x-test-now", self.now + 1))
        if at < self.now - LATE_SECONDS:
            return refusal(504, "context deadline exceeded")
        self.now = max(self.now, at)
        self.runs.collect_garbage(self.now)
        for rule in self.settings.get("refuse", []):
            if rule["method"] == request.method and rule["path"] in request.path:
                return refusal(rule["status"], rule["message"])
        if request.path.startswith(LOGS):
            return self._log(*request.path.removeprefix(LOGS).split("/")[:3:2])
        name, _, rest = request.path.removeprefix(API).partition("/")
        handler = getattr(self, f"_{request.method.lower()}_{name.partition(':')[0]}", None)
        return handler(request, rest) if handler else refusal(404, "Not Found")

    def _get_healthz(self, request: Request, rest: str) -> Response:
        return Response(body={"tag_name": "2.17.0", "multi_user": True, "pipeline_store": "kubernetes"})

    def _get_experiments(self, request: Request, rest: str) -> Response:
        return self._page(request, "experiments", list(self.experiments.values()))

    def _post_experiments(self, request: Request, rest: str) -> Response:
        if not request.body.get("namespace"):
            return refusal(400, "Invalid input error: An experiment cannot have an empty namespace in multi-user mode")
        if any(item["display_name"] == request.body["display_name"] for item in self.experiments.values()):
            return refusal(409, f"Already exist error: The name {request.body['display_name']} already exists")
        item = {**request.body, "experiment_id": self._uuid(), "created_at": self.runs.stamp(self.now)}
        self.experiments[item["experiment_id"]] = item
        return Response(body=item)

    def _get_pipelines(self, request: Request, rest: str) -> Response:
        kind, _, name = rest.partition("/")
        shown = [item for item in self.pipelines.values() if item["at"] <= self.now]
        if kind == "names":
            found = next((item for item in shown if item["name"] == name), None)
            return Response(body=found) if found else refusal(404, f"Pipeline {name} not found")
        versions = [v for v in self.versions.values() if v["pipeline_id"] == kind and v["at"] <= self.now]
        return self._page(request, "pipeline_versions", versions[::-1])

    def _post_pipelines(self, request: Request, rest: str) -> Response:
        if rest == "upload_version":
            return self._upload(request)
        if any(item["name"] == request.body["name"] for item in self.pipelines.values()):
            return refusal(409, "Already exist error: Failed to create a new pipeline. The name already exists")
        return Response(body=self._add_pipeline(request.body["name"], self.now))

    def _upload(self, request: Request) -> Response:
        """A form with one file; its parameters are read so that runs can be checked against them."""
        pipeline, name = self.pipelines.get(request.query["pipelineid"]), request.query["name"]
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        part = message_from_bytes(head + request.body).get_payload(0)
        if pipeline is None or part.get_param("name", header="Content-Disposition") != "uploadfile":
            return refusal(400, "Failed to create a pipeline version")
        if any(item["name"] == name for item in self.versions.values()):
            return refusal(409, "Failed to create a pipeline version")
        spec = next(yaml.load_all(part.get_payload(decode=True), yaml.CSafeLoader))
        inputs = spec["root"]["inputDefinitions"]["parameters"]
        parameters = {key: entry["parameterType"] for key, entry in inputs.items()}
        return Response(body=self._add_version(pipeline, name, parameters, self.now))

    def _post_runs(self, request: Request, rest: str) -> Response:
        if rest:
            return self._terminate(rest.removesuffix(":terminate"))
        body = request.body
        if not body.get("display_name") or body.get("experiment_id") not in self.experiments:
            return refusal(400, "Invalid input error: The run name is empty, or the experiment doesn't exist")
        version = self.versions.get(body["pipeline_version_reference"]["pipeline_version_id"])
        if version is None or version["at"] > self.now:
            return refusal(500, "Internal error: Failed to create a run due to error fetching manifest")
        given = {
            key: "LIST" if isinstance(v, list) else "STRING" for key, v in body["runtime_config"]["parameters"].items()
        }
        if given != version["parameters"]:
            return refusal(400, f"Invalid input error: invalid pipeline job inputs: {given}")
        kept = self.settings.get("keeps_ids", True) and body.get("run_id")
        row = self.runs.create({**body, "run_id": kept or self._uuid()}, self.now)
        if row is None:
            return refusal(500, f"Internal error: Failed to store run {body['display_name']} to table")
        return Response(body=row.body)

    def _get_runs(self, request: Request, rest: str) -> Response:
        if not rest:
            return self._list_runs(request)
        row = self.runs.look(rest, self.now)
        return Response(body=row.body) if row else refusal(404, f"Failed to get a run: Run {rest} not found.")

    def _list_runs(self, request: Request) -> Response:
        rows = [self.runs.look(run_id, self.now) for run_id in reversed(self.runs.rows)]
        items = [row.body for row in rows if row]
        if wanted := request.query.get("experiment_id"):
            items = [item for item in items if item.get("experiment_id") == wanted]
        for predicate in json.loads(request.query.get("filter", '{"predicates": []}'))["predicates"]:
            assert predicate["operation"] == "EQUALS", predicate
            items = [item for item in items if item.get(predicate["key"]) == predicate["string_value"]]
        return self._page(request, "runs", items)

    def _terminate(self, run_id: str) -> Response:
        if self.runs.look(run_id, self.now) is None:
            return refusal(404, f"Failed to terminate run {run_id} due to error fetching the run: not found")
        if not self.runs.cancel(run_id, self.now):
            return refusal(400, f"Invalid input error: Failed to terminate a run {run_id}. Row not found")
        return Response(body={})

    def _log(self, run_id: str, pod: str) -> Response:
        text = self.settings.get("logs", {}).get(pod)
        if text is not None and self.runs.look(run_id, self.now):
            return Response(body=text)
        message = f"BadRequest error: Failed to read logs for run {run_id}: pods {pod!r} not found"
        return Response(500, {"error_message": message, "error_details": message})

    def _page(self, request: Request, key: str, items: list[dict[str, Any]]) -> Response:
        """One page; empty fields are left out, as protobuf's JSON does."""
        size = min(int(request.query.get("page_size", 20)), self.settings.get("page_size", 200))
        start = int(base64.b64decode(request.query["page_token"])) if request.query.get("page_token") else 0
        body: dict[str, Any] = {"total_size": len(items)} if items else {}
        body |= {key: items[start : start + size]} if items[start:] else {}
        if items[start + size :]:
            body["next_page_token"] = base64.b64encode(str(start + size).encode()).decode()
        return Response(body=body)

    def _add_pipeline(self, name: str, at: float) -> dict[str, Any]:
        known = next((item for item in self.pipelines.values() if item["name"] == name), None)
        item = known or {"pipeline_id": self._uuid(), "name": name, "display_name": name, "at": at}
        self.pipelines[item["pipeline_id"]] = item
        return item

    def _add_version(self, pipeline: dict[str, Any], name: str, parameters: Any, at: float) -> dict[str, Any]:
        item = {"pipeline_id": pipeline["pipeline_id"], "pipeline_version_id": self._uuid(), "name": name}
        item |= {"display_name": name, "parameters": parameters, "at": at}
        self.versions[item["pipeline_version_id"]] = item
        return item

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


if __name__ == "__main__":
    serve(KfpApi())
