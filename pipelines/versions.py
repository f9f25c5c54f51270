"""KFP's experiments, pipelines and pipeline versions: find them by name, make the ones that aren't there."""

from dataclasses import dataclass

from data.errors import AerieError
from pipelines.kfp_client import KfpApi, KfpError
from pipelines.runs import pages

BASE = "/apis/v2beta1"
EXISTS = 409
EXPERIMENT = "aerie"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionIds:
    """KFP's ids of a pipeline and of one version of it."""

    pipeline_id: str
    version_id: str


def experiment_id(api: KfpApi, name: str = EXPERIMENT) -> str:
    """The experiment's id; the experiment is made when there is none."""
    if found := _find_experiment(api, name):
        return found
    body = {"display_name": name, "namespace": api.endpoint.namespace, "description": "Runs of the Aerie pipelines."}
    _create(api, f"{BASE}/experiments", body=body)
    return _existing(_find_experiment(api, name), f"experiment {name!r}")


def find_version(api: KfpApi, pipeline: str, version: str) -> VersionIds | None:
    """The ids of a version by names, None while KFP doesn't show it."""
    pipeline_id = _find_pipeline(api, pipeline)
    if not pipeline_id:
        return None
    path = f"{BASE}/pipelines/{pipeline_id}/versions"
    for item in pages(api, path, "pipeline_versions", sort_by="created_at desc"):
        if version in {item.get("name"), item.get("display_name")}:
            return VersionIds(pipeline_id=pipeline_id, version_id=item["pipeline_version_id"])
    return None


def wait_for_version(api: KfpApi, pipeline: str, version: str) -> VersionIds:
    """The ids of a version that Argo CD has just applied: KFP may show it a little later."""
    until = api.pace.clock() + api.pace.waiting.give_up_after
    while (found := find_version(api, pipeline, version)) is None:
        if api.pace.clock() > until:
            raise AerieError(
                f"KFP shows no version {version!r} of pipeline {pipeline!r} in namespace {api.endpoint.namespace}; "
                "is infra/release synced, does KFP store pipelines in Kubernetes? From a laptop, submit with --recipe"
            )
        api.pace.sleep(api.pace.waiting.poll)
    return found


def upload_version(api: KfpApi, pipeline: str, display_name: str, version: str, package: bytes) -> VersionIds:
    """The ids of a version, uploaded when it isn't there. Its name says its content, so one that exists is equal."""
    if found := find_version(api, pipeline, version):
        return found
    if not _find_pipeline(api, pipeline):
        body = {"name": pipeline, "display_name": display_name, "namespace": api.endpoint.namespace}
        _create(api, f"{BASE}/pipelines", body=body)
    query = {"name": version, "display_name": version}
    query["pipelineid"] = _existing(_find_pipeline(api, pipeline), f"pipeline {pipeline!r}")
    _create(api, f"{BASE}/pipelines/upload_version", query=query, file=(f"{version}.yaml", package))
    return wait_for_version(api, pipeline, version)


def _find_experiment(api: KfpApi, name: str) -> str:
    items = pages(api, f"{BASE}/experiments", "experiments", namespace=api.endpoint.namespace)
    return next((item["experiment_id"] for item in items if item.get("display_name") == name), "")


def _find_pipeline(api: KfpApi, name: str) -> str:
    answer = api.get(f"{BASE}/pipelines/names/{name}", namespace=api.endpoint.namespace)
    return answer["pipeline_id"] if answer else ""


def _create(api: KfpApi, path: str, **request: object) -> None:
    """Create what may exist by now: by somebody else, or by our own request whose answer was lost."""
    try:
        api.insist("POST", path, **request)
    except KfpError as error:
        if error.status != EXISTS:
            raise


def _existing(found: str, what: str) -> str:
    if not found:
        raise AerieError(
            f"KFP says that {what} exists, but doesn't show it to us; check --namespace and our permissions"
        )
    return found
