"""Every pod template of infra/: Pod Security `restricted`, sizes, images, secrets, lifetimes."""

import re

import pytest

OUR_IMAGES = re.compile(r"localhost/aerie-python-(data|eval|train):\d+\.\d+\.\d+")
PINNED = re.compile(r"[\w.\-/:]+@sha256:[0-9a-f]{64}")
SECRETS = {"aerie-storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, "aerie-wandb": {"WANDB_API_KEY"}}
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|KEY|ROOT_USER")
VOLUMES = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "downwardAPI", "csi", "ephemeral"}


@pytest.fixture
def pods(cluster):
    found = cluster.pods()
    assert {pod.where for pod in found} >= {
        "ClusterTrainingRuntime/aerie-torch-v1",
        "CronJob/aerie-reaper",
        "Job/aerie-buckets",
        "Job/aerie-retrain",
    }
    return found


def test_pods_are_restricted(pods):
    """The pod-level and container-level controls of the Pod Security Standards."""
    for pod in pods:
        spec, security = pod.spec, pod.spec["securityContext"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys(), pod.where
        assert security["runAsNonRoot"] is True, pod.where
        assert security["runAsUser"] > 0, pod.where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.where
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= VOLUMES, (pod.where, volume)
        for container in pod.containers:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, pod.where
            assert security["capabilities"] == {"drop": ["ALL"]}, pod.where
            assert security.get("privileged", False) is False, pod.where
            assert security.get("runAsNonRoot", True) is True, pod.where
            assert security["readOnlyRootFilesystem"] is True, pod.where
            assert not any("hostPort" in port for port in container.get("ports", [])), pod.where


def test_the_namespace_enforces_it(overlay):
    (namespace,) = overlay.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_containers_name_their_sizes(pods):
    for pod in pods:
        for container in pod.containers:
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][kind].keys(), (pod.where, kind)


def test_what_a_container_writes_has_a_place(pods):
    """With a read-only root, temporary files need a volume, and a volume a limit."""
    for pod in pods:
        for volume in pod.spec.get("volumes", []):
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], (pod.where, volume)


def test_images_are_ours_or_pinned(pods):
    for pod in pods:
        for container in pod.containers:
            image = container["image"]
            assert OUR_IMAGES.fullmatch(image) or PINNED.fullmatch(image), (pod.where, image)


def test_our_images_are_those_of_the_components(pods):
    from components.images import DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE

    ours = {container["image"] for pod in pods for container in pod.containers if "aerie" in container["image"]}
    assert ours == {DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE}


def test_accounts_exist_and_are_never_the_default(cluster, pods):
    accounts = {account["metadata"]["name"] for account in cluster.of("ServiceAccount")}
    for pod in pods:
        if pod.where == "StatefulSet/aerie-minio":
            assert pod.spec["automountServiceAccountToken"] is False
        else:
            assert pod.spec["serviceAccountName"] in accounts, pod.where


def test_only_the_reaper_has_a_token_for_the_kubernetes_api(pods):
    mounted = {pod.where for pod in pods if pod.spec["automountServiceAccountToken"]}
    assert mounted == {"CronJob/aerie-reaper"}


def test_tokens_for_kfp_are_projected_where_the_program_looks_for_them(pods):
    from pipelines.kfp_endpoint import TOKEN_FILE

    for pod in pods:
        tokens = {
            volume["name"]: source["serviceAccountToken"]
            for volume in pod.spec.get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
        }
        if not tokens:
            assert pod.where not in {"Job/aerie-retrain", "CronJob/aerie-reaper"}
            continue
        ((name, token),) = tokens.items()
        (mount,) = [item for item in pod.containers[0]["volumeMounts"] if item["name"] == name]
        assert token["audience"] == "pipelines.kubeflow.org"
        assert f"{mount['mountPath']}/{token['path']}" == TOKEN_FILE


def test_secrets_come_by_reference_from_the_documented_ones(pods):
    for pod in pods:
        assert not any("secret" in volume for volume in pod.spec.get("volumes", [])), pod.where
        for container in pod.containers:
            assert not any("secretRef" in source for source in container.get("envFrom", [])), pod.where
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    assert reference["key"] in SECRETS[reference["name"]], (pod.where, variable)
                elif SECRET_NAME.search(variable["name"]):
                    raise AssertionError(f"{pod.where}: {variable['name']} is no reference to a secret")


def test_jobs_end_and_go_away(cluster):
    jobs = [job["spec"] for job in cluster.of("Job")]
    jobs += [job["spec"]["jobTemplate"]["spec"] for job in cluster.of("CronJob")]
    assert len(jobs) == 3
    for job in jobs:
        assert job["activeDeadlineSeconds"] > 0
        assert job["ttlSecondsAfterFinished"] > 0
        assert job["backoffLimit"] <= 6
        assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_the_reaper_never_runs_twice_at_a_time(overlay):
    spec = overlay.one("CronJob", "aerie-reaper")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 200, "the controller forgets a CronJob that misses 100 starts"
    assert spec["successfulJobsHistoryLimit"] + spec["failedJobsHistoryLimit"] <= 5
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 20 * 60, "it would skip its next start"
