"""Argo CD's objects and the release: what is synced, in which order, and what starts a run."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WAVE = "argocd.argoproj.io/sync-wave"
CLUSTER_WIDE = "clusterResourceWhitelist", "namespaceResourceWhitelist"


def wave(document):
    return int(document["metadata"].get("annotations", {}).get(WAVE, 0))


def kind_of(document):
    group, _, _ = document["apiVersion"].rpartition("/")
    return group, document["kind"]


@pytest.fixture
def project(argocd):
    return argocd.one("AppProject", "aerie")["spec"]


@pytest.fixture
def applications(argocd):
    found = {item["metadata"]["name"]: item["spec"] for item in argocd.of("Application")}
    assert found.keys() == {"aerie-infra", "aerie-release"}
    return found


def test_the_project_allows_what_is_built_and_nothing_else(cluster, project):
    allowed = {scope: {(item["group"], item["kind"]) for item in project[scope]} for scope in CLUSTER_WIDE}
    for document in cluster.documents:
        scope = CLUSTER_WIDE["namespace" in document["metadata"]]
        assert kind_of(document) in allowed[scope], document["metadata"]["name"]


def test_no_allowed_kind_is_idle(build_folder, release, project):
    overlays = [build_folder(path) for path in sorted((ROOT / "infra" / "overlays").iterdir())]
    used = {kind_of(document) for built in [*overlays, release] for document in built.documents}
    allowed = {(item["group"], item["kind"]) for scope in CLUSTER_WIDE for item in project[scope]}
    assert allowed == used


def test_trainjobs_and_workloads_are_out_of_argo_cds_reach(project):
    kinds = {item["kind"] for scope in CLUSTER_WIDE for item in project[scope]}
    assert not kinds & {"TrainJob", "JobSet", "Workload", "Workflow", "Pod", "Secret", "ClusterRole", "*"}


def test_the_project_allows_one_repository_and_one_namespace(project):
    (repository,) = project["sourceRepos"]
    (destination,) = project["destinations"]
    assert "*" not in repository + destination["namespace"] + destination["server"]


def test_applications_stay_within_the_project(project, applications):
    for application in applications.values():
        assert application["project"] == "aerie"
        assert application["source"]["repoURL"] in project["sourceRepos"]
        assert application["destination"] in project["destinations"]
        assert (ROOT / application["source"]["path"] / "kustomization.yaml").exists()


def test_syncs_are_server_side_and_repeated(applications):
    for application in applications.values():
        policy = application["syncPolicy"]
        assert "ServerSideApply=true" in policy["syncOptions"], "annotations hold 262,144 bytes at most"
        assert policy["automated"]["selfHeal"] is True
        assert policy["retry"]["limit"] > 0
        assert policy["retry"]["backoff"]["factor"] > 1


def test_a_queue_on_hold_stays_on_hold(applications):
    ignored = {item["kind"]: item.get("jsonPointers") for item in applications["aerie-infra"]["ignoreDifferences"]}
    assert ignored["ClusterQueue"] == ignored["LocalQueue"] == ["/spec/stopPolicy"]
    assert "RespectIgnoreDifferences=true" in applications["aerie-infra"]["syncPolicy"]["syncOptions"]


def test_the_queue_is_built_from_below(overlay):
    """Each names the one before: Topology, ResourceFlavor, ClusterQueue, LocalQueue; last the bucket's Job."""
    order = ["Topology", "ResourceFlavor", "ClusterQueue", "LocalQueue", "Job"]
    waves = [{wave(document) for document in overlay.of(kind)} for kind in order]
    assert all(max(first) < min(second) for first, second in pairwise(waves))


def test_infra_comes_before_the_release_and_a_pipeline_before_its_version(argocd, release):
    assert wave(argocd.one("Application", "aerie-infra")) < wave(argocd.one("Application", "aerie-release"))
    (pipeline,), (version,) = release.of("Pipeline"), release.of("PipelineVersion")
    assert wave(pipeline) < wave(version)
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]


def test_old_versions_and_runtimes_outlive_their_files(overlay, release):
    """Runs of the past show their version's graph; waiting TrainJobs name their runtime."""
    for document in [*release.of("Pipeline", "PipelineVersion"), *overlay.of("ClusterTrainingRuntime", "Namespace")]:
        assert document["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false"


def test_the_hook_submits_the_release_that_was_synced(release):
    job = release.one("Job", "aerie-retrain")
    annotations = job["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["aerie", "submit", "--release", "/release", "--if-changed"]
    (mount,) = [item for item in container["volumeMounts"] if item["mountPath"] == "/release"]
    (volume,) = [item for item in spec["volumes"] if item["name"] == mount["name"]]
    files = release.one("ConfigMap", volume["configMap"]["name"])["data"]
    assert files.keys() == {"recipe.yaml", "release.json"}
    (version,) = release.of("PipelineVersion")
    assert json.loads(files["release.json"])["version"] == version["metadata"]["name"]


def test_the_hook_may_last_as_long_as_a_submission(release):
    from pipelines.submission import GIVE_UP_SECONDS

    assert release.one("Job", "aerie-retrain")["spec"]["activeDeadlineSeconds"] > GIVE_UP_SECONDS


def test_the_bucket_is_prepared_anew_by_every_sync(overlay):
    annotations = overlay.one("Job", "aerie-buckets")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "Sync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"


def test_other_images_change_pods_and_never_the_compiled_pipeline(build_folder, release, tmp_path):
    """A version is named by its content, so nothing may change it on its way to the cluster."""
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "infra", infra)
    path = infra / "images" / "kustomization.yaml"
    component = yaml.safe_load(path.read_text())
    pinned = "sha256:" + "5" * 64
    component["images"] = [{"name": image["name"], "digest": pinned} for image in component["images"]]
    path.write_text(yaml.safe_dump(component))
    changed = build_folder(infra / "release")
    assert changed.of("Pipeline", "PipelineVersion") == release.of("Pipeline", "PipelineVersion")
    (pod,) = changed.pods()
    assert pod.containers[0]["image"] == f"localhost/aerie-python-eval@{pinned}"
    runtime = [pod for pod in build_folder(infra / "overlays" / "local").pods() if "Runtime" in pod.where]
    assert runtime[0].containers[0]["image"] == f"localhost/aerie-python-train@{pinned}"
