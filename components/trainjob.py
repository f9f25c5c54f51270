"""Launches a stage's training: torchrun inside this task, or a TrainJob on the cluster.

The only file that talks to Kubernetes. What is asked, when, and what follows from the answers stands in trainjob_*.py.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.trainjob_ended import noted_end
from components.trainjob_manifest import (
    API_GROUP,
    API_VERSION,
    KFP_RUN_LABEL,
    NODE,
    PLURAL,
    read_placement,
    render,
)
from components.trainjob_patience import NO_ANSWER, ClusterError, Patience
from components.trainjob_secrets import masked, secrets_of
from components.trainjob_state import (
    INDEX,
    ORPHAN_ANNOTATION,
    JobState,
    PodState,
    job_state,
    pod_state,
)

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_SECONDS = 30.0
JOBSET, REPLICATED_JOB = "jobset.sigs.k8s.io/jobset-name", "jobset.sigs.k8s.io/replicatedjob-name"
LONGEST_MESSAGE = 1000


def launcher_for(training_runtime: str, placement: str, run_id: str, kfp_run_id: str) -> Callable[..., Any] | None:
    """None trains in this machine's processes; otherwise a function that runs the job as a TrainJob.

    `training_runtime` names a ClusterTrainingRuntime; `placement` is JSON text (see `JobPlacement`).
    """
    if not training_runtime:
        return None
    settings = read_placement(placement)

    def launch(job: Any, recipe: Any) -> None:
        manifest = render(job, recipe, settings, training_runtime, run_id, kfp_run_id)
        run_folder = job.out_uri.rpartition("/")[0]
        run_trainjob(manifest, job.stage, connect(), lambda: noted_end(run_folder, kfp_run_id))

    return launch


def run_trainjob(
    manifest: Mapping[str, Any],
    stage: str,
    cluster: "Cluster",
    run_end: Callable[[], str],
    patience: Patience | None = None,
) -> None:
    """Have the job run to its end; `AerieError` says why it didn't complete. Secrets are hidden in all that is said.

    `run_end` gives the note that the run's exit handler left, see trainjob_ended.py.
    """
    from components.trainjob_sigterm import leaving_the_job
    from components.trainjob_watch import Watch
    from data.errors import AerieError

    where = f"{stage}: TrainJob {cluster.namespace}/{manifest['metadata']['name']}"
    watch = Watch(cluster, manifest, run_end, patience or Patience.real(where), say_masked(cluster), stage)
    try:
        with leaving_the_job(watch.say):
            watch.run()
    except AerieError as error:
        raise AerieError(masked(str(error), cluster.secrets())) from None


def say_masked(cluster: "Cluster") -> Callable[[str], None]:
    """Prints lines without the secrets that this process knows."""
    return lambda line: print(masked(line, cluster.secrets()), flush=True)


def connect(timeout_seconds: float = TIMEOUT_SECONDS) -> "Cluster":
    """The cluster this pod runs in, or the one of the current kubeconfig context; `AerieError` when there is none."""
    from kubernetes import client, config

    from data.errors import AerieError

    configuration = client.Configuration()
    try:
        if NAMESPACE_FILE.exists():
            config.load_incluster_config(client_configuration=configuration)
            namespace = NAMESPACE_FILE.read_text().strip()
        else:
            path = os.environ.get("KUBECONFIG")  # the library reads it once, at import
            config.load_kube_config(config_file=path, client_configuration=configuration)
            namespace = config.list_kube_config_contexts(path)[1]["context"].get("namespace", "default")
    except config.ConfigException:
        raise AerieError(
            "no Kubernetes cluster: this is no pod with a service account, and no kubeconfig works"
        ) from None
    configuration.retries = False  # else urllib3 repeats and waits by itself
    return Cluster(client.ApiClient(configuration), namespace, timeout_seconds)


class Cluster:
    """TrainJobs, pods and logs of one namespace. Every method raises ClusterError when it gets no good answer."""

    def __init__(self, api: Any, namespace: str, timeout_seconds: float) -> None:
        from kubernetes import client

        self.namespace, self._api, self._environment = namespace, api, secrets_of()
        # To connect and to read. The client library takes a pair or a whole number; a float it ignores.
        self._timeouts = (timeout_seconds, timeout_seconds)
        self._objects = client.CustomObjectsApi(api)
        self._kind = {"group": API_GROUP, "version": API_VERSION, "namespace": namespace, "plural": PLURAL}

    def secrets(self) -> set[str]:
        """What must never be shown: our token, and this process's secret variables."""
        keys = self._api.configuration.api_key.values()
        return self._environment | {word for key in keys for word in key.split() if word not in {"Bearer", "Basic"}}

    def get(self, name: str) -> JobState | None:
        """The job, or None when there is none."""
        try:
            return job_state(self._ask(self._objects.get_namespaced_custom_object, **self._kind, name=name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a job. Strict, since the server would drop an unknown field without a word."""
        self._ask(self._objects.create_namespaced_custom_object, **self._kind, body=manifest, field_validation="Strict")

    def relabel(self, job: JobState, kfp_run: str) -> None:
        """Make a job this KFP run's."""
        self._patch(job, {"labels": {KFP_RUN_LABEL: kfp_run or None}})

    def mark_orphan(self, job: JobState, since: str) -> None:
        """Remember since when a job is an orphan (RFC 3339); "" takes it back."""
        self._patch(job, {"annotations": {ORPHAN_ANNOTATION: since or None}})

    def delete(self, job: JobState) -> None:
        """Begin to delete a job, its pods first."""
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": job.uid}}
        self._ask(self._objects.delete_namespaced_custom_object, **self._kind, name=job.name, body=options)

    def jobs(self, selector: str) -> list[JobState]:
        """The jobs with these labels."""
        found = self._ask(self._objects.list_namespaced_custom_object, **self._kind, label_selector=selector)
        return [job_state(job) for job in found["items"]]

    def pods(self, name: str, node: int | None = None) -> list[PodState]:
        """The pods of a job's nodes, or of one node."""
        selector = f"{JOBSET}={name},{REPLICATED_JOB}={NODE}" + ("" if node is None else f",{INDEX}={node}")
        found = self._get_core("pods", {"labelSelector": selector}, "object")
        return [pod_state(pod) for pod in found["items"]]

    def log(self, pod: str, since: str = "", previous: bool = False, tail: int = 0) -> str:
        """A pod's log, each line after its time; `since` is RFC 3339, `tail` a number of lines (0: all)."""
        query = {"container": NODE, "timestamps": "true"}
        query |= {"sinceTime": since} if since else {}  # the client library knows only sinceSeconds, by another clock
        query |= {"previous": "true"} if previous else {}
        query |= {"tailLines": str(tail)} if tail else {}
        return self._get_core(f"pods/{pod}/log", query, "str")

    def _patch(self, job: JobState, metadata: dict[str, Any]) -> None:
        body = {"metadata": {"uid": job.uid, **metadata}}  # 409 when the name is another job's by now
        self._ask(self._objects.patch_namespaced_custom_object, **self._kind, name=job.name, body=body)

    def _get_core(self, path: str, query: Mapping[str, str], kind: str) -> Any:
        return self._ask(
            self._api.call_api,
            f"/api/v1/namespaces/{self.namespace}/{path}",
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*"},
            response_type=kind,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            expected=dict if kind == "object" else str,
        )

    def _ask(self, call: Callable[..., Any], *arguments: Any, expected: type = dict, **keywords: Any) -> Any:
        """One request; whatever goes wrong becomes a ClusterError without headers, bodies or secrets."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = call(*arguments, **keywords, _request_timeout=self._timeouts)
        except ApiException as error:
            raise self._refusal(error) from None
        except (HTTPError, OSError, ValueError) as error:
            raise ClusterError(NO_ANSWER, masked(f"{type(error).__name__}: {error}", self.secrets())) from None
        if not isinstance(answer, expected):
            raise ClusterError(NO_ANSWER, "something between us and the API server answered in its place")
        return answer

    def _refusal(self, error: Any) -> ClusterError:
        try:
            text = str(json.loads(error.body)["message"])
        except (ValueError, TypeError, KeyError):
            text = str(error.reason)
        wait = (error.headers or {}).get("Retry-After", "")
        return ClusterError(
            error.status or NO_ANSWER,
            masked(text, self.secrets())[:LONGEST_MESSAGE],
            float(wait) if wait.isdigit() else 0.0,
        )
