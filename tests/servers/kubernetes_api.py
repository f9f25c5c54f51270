"""An API server with TrainJobs, pods and logs, for the launcher. Its jobs live scripted lives (trainjob_life.py).

Settings of a reset: `lives` (the n-th created job lives the n-th, later ones the last), `existing` (manifests with a
life, of which the first `looks` events have happened), `delete_looks` (looks that a deletion takes), `token` (the
only one accepted), `refuse` (list of {method, path, status, message, times}: answers instead of handling).
"""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from faulty_http import Request, Response, serve
from trainjob_admission import refusal_of, without_unknown
from trainjob_life import Job

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/"
PODS = "/api/v1/namespaces/"
START = datetime(2026, 1, 1, tzinfo=UTC)


def status(code: int, reason: str, message: str) -> Response:
    """The API's form of an error."""
    return Response(code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})


class KubernetesApi:
    """The application behind the HTTP server."""

    def reset(self, settings: dict[str, Any], random: Random) -> None:
        """An empty cluster."""
        self.settings, self.looks, self.serial, self.lines = settings, 0, 0, 0
        self.delete_looks = settings.get("delete_looks", 2)
        self.jobs: dict[str, Job] = {}
        self.logs: dict[str, list[str]] = {}
        self.previous: dict[str, list[str]] = {}
        self.history: list[list[str]] = []
        self.printed: list[str] = []
        self.lives = [list(life) for life in settings.get("lives", [[]])]
        for item in settings.get("existing", []):
            job = self._add(copy.deepcopy(item["manifest"]), item["life"])
            for _ in range(item.get("looks", 0)):
                job.look()
        self.created_here = len(self.history)

    def stamp(self, fine: bool = False, later: int = 0) -> str:
        """The cluster's time: half a second a look; `fine` never gives the same time twice."""
        self.lines += fine
        now = START + timedelta(seconds=self.looks / 2 + later)
        return f"{now:%Y-%m-%dT%H:%M:%S}" + (f".{now.microsecond * 1000 + self.lines:09d}Z" if fine else "Z")

    def state(self) -> dict[str, Any]:
        """Jobs alive by name, what happened, and every line of node 0."""
        alive = {name: job.body for name, job in self.jobs.items() if "deletionTimestamp" not in job.body["metadata"]}
        return {"alive": alive, "jobs": list(self.jobs), "history": self.history, "printed": self.printed}

    def handle(self, request: Request) -> Response:
        """Authenticate, refuse what the case refuses, then find the resource."""
        token = self.settings.get("token")
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return status(401, "Unauthorized", "Unauthorized")
        for rule in self.settings.get("refuse", []):
            if rule["method"] == request.method and rule["path"] in request.path and rule.get("times", 1):
                rule["times"] = rule.get("times", 1) - 1
                answer = status(rule["status"], "Refused", rule["message"])
                return Response(answer.status, answer.body, rule.get("headers", {}))
        if request.path.startswith(JOBS):
            return self._jobs(request, request.path.removeprefix(JOBS).split("/")[2:])
        if request.path.startswith(PODS):
            return self._pods(request, request.path.removeprefix(PODS).split("/")[2:])
        return status(404, "NotFound", "the server could not find the requested resource")

    def _jobs(self, request: Request, rest: list[str]) -> Response:
        if request.method == "POST":
            return self._create(request)
        if not rest:
            self._look()
            return Response(body={"kind": "TrainJobList", "items": list(self._matching(request))})
        if request.method == "GET":
            self._look()
        if (job := self.jobs.get(rest[0])) is None:
            return status(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{rest[0]}" not found')
        return {"GET": self._get, "PATCH": self._patch, "DELETE": self._delete}[request.method](request, job)

    def _look(self) -> None:
        self.looks += 1
        for name, job in list(self.jobs.items()):
            job.look()
            if "deletionTimestamp" in job.body["metadata"] and job.gone_in <= 0:
                del self.jobs[name]
                self.history.append(["gone", job.uid])

    def _matching(self, request: Request) -> Iterator[dict[str, Any]]:
        wanted = dict(pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair)
        for job in self.jobs.values():
            if wanted.items() <= job.body["metadata"].get("labels", {}).items():
                yield job.body

    def _create(self, request: Request) -> Response:
        refused = refusal_of(request.body, request.query.get("fieldValidation", "Warn"))
        if refused:
            return status(*refused)
        body = without_unknown(request.body)
        name = body["metadata"]["name"]
        if name in self.jobs:
            return status(409, "AlreadyExists", f'trainjobs.trainer.kubeflow.org "{name}" already exists')
        number = len([what for what, _ in self.history[self.created_here :] if what == "created"])
        return Response(201, self._add(body, self.lives[min(number, len(self.lives) - 1)]).body)

    def _add(self, body: dict[str, Any], life: list[Any]) -> Job:
        self.serial += 1
        job = Job(self, body, life, f"uid-{self.serial:02d}")
        self.jobs[job.name] = job
        self.history.append(["created", job.uid])
        return job

    def _get(self, request: Request, job: Job) -> Response:
        return Response(body=job.body)

    def _patch(self, request: Request, job: Job) -> Response:
        if request.headers.get("content-type") != "application/merge-patch+json":
            return status(415, "UnsupportedMediaType", "custom resources take merge patches")
        metadata = request.body["metadata"]
        if metadata.get("uid", job.uid) != job.uid:
            return status(409, "Conflict", "Precondition failed: UID")
        for part in ("labels", "annotations"):
            merged = {**job.body["metadata"].get(part, {}), **metadata.get(part, {})}
            job.body["metadata"][part] = {key: value for key, value in merged.items() if value is not None}
        return Response(body=job.body)

    def _delete(self, request: Request, job: Job) -> Response:
        if (request.body or {}).get("preconditions", {}).get("uid", job.uid) != job.uid:
            return status(409, "Conflict", "Precondition failed: UID")
        if "deletionTimestamp" not in job.body["metadata"]:
            job.begin_deletion(self.delete_looks)
        return Response(body=job.body)

    def _pods(self, request: Request, rest: list[str]) -> Response:
        pods = [pod for job in self.jobs.values() for pod in job.pods]
        if not rest:
            wanted = dict(pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair)
            return Response(body={"items": [p for p in pods if wanted.items() <= p["metadata"]["labels"].items()]})
        found = next((pod for pod in pods if pod["metadata"]["name"] == rest[0]), None)
        if found is None:
            return status(404, "NotFound", f'pods "{rest[0]}" not found')
        if "waiting" in found["status"]["containerStatuses"][0]["state"]:
            return status(400, "BadRequest", 'container "node" is waiting to start: ContainerCreating')
        lines = (self.previous if request.query.get("previous") else self.logs)[rest[0]]
        lines = [line for line in lines if line >= request.query.get("sinceTime", "").rstrip("Z")]
        lines = lines[-int(request.query.get("tailLines", 0)) :]
        return Response(body="".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    serve(KubernetesApi())
