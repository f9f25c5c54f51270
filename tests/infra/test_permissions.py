"""Who may do what: no more than the programs ask for, and all that they do ask for."""

import pytest

TRAINJOBS = "trainer.kubeflow.org/trainjobs"


def rights(cluster, account):
    """{(group/resource, verb)} that a service account has, by the Roles bound to it."""
    found = set()
    for binding in cluster.of("RoleBinding"):
        if account not in {subject["name"] for subject in binding["subjects"]}:
            continue
        for rule in cluster.one("Role", binding["roleRef"]["name"])["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    found |= {(f"{group}/{resource}", verb) for verb in rule["verbs"]}
    return found


def allowed(resource, *verbs):
    return {(resource, verb) for verb in verbs}


def test_no_right_is_a_wildcard_or_reaches_beyond_the_namespace(cluster):
    assert cluster.of("ClusterRole", "ClusterRoleBinding") == []
    for role in cluster.of("Role"):
        for rule in role["rules"]:
            for part in ("apiGroups", "resources", "verbs"):
                assert rule[part], role["metadata"]
                assert not any("*" in value for value in rule[part]), role["metadata"]


def test_bindings_name_roles_and_accounts_that_exist(cluster):
    accounts = {account["metadata"]["name"] for account in cluster.of("ServiceAccount")}
    roles = {role["metadata"]["name"] for role in cluster.of("Role")}
    for binding in cluster.of("RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        assert binding["roleRef"]["name"] in roles
        assert {subject["name"] for subject in binding["subjects"]} <= accounts
        assert {subject["kind"] for subject in binding["subjects"]} == {"ServiceAccount"}


def test_the_runner_manages_trainjobs_and_reads_their_pods(cluster):
    assert rights(cluster, "aerie-runner") == (
        allowed(TRAINJOBS, "create", "get", "list", "watch", "patch", "delete")
        | allowed("/pods", "get", "list")
        | allowed("/pods/log", "get")
        | allowed("/events", "list")
        | allowed("/configmaps", "get")
        | allowed("/secrets", "get")
        | allowed("argoproj.io/workflowtaskresults", "create", "patch")
    )


def test_the_runner_reads_the_secret_and_the_settings_of_the_store_only(cluster):
    named = {
        resource: rule.get("resourceNames")
        for rule in cluster.one("Role", "aerie-runner")["rules"]
        for resource in rule["resources"]
        if resource in {"secrets", "configmaps"}
    }
    assert named == {"secrets": ["aerie-storage"], "configmaps": ["kfp-launcher"]}


def test_the_reaper_marks_and_deletes_trainjobs_and_looks_up_runs(cluster):
    assert rights(cluster, "aerie-reaper") == (
        allowed(TRAINJOBS, "get", "list", "patch", "delete") | allowed("pipelines.kubeflow.org/runs", "get")
    )


def test_the_submitter_has_nothing_but_kfp(cluster):
    """KFP's server asks for these in multi-user mode: it finds the version, has an experiment, starts the run."""
    kfp = "pipelines.kubeflow.org"
    assert rights(cluster, "aerie-submitter") == (
        allowed(f"{kfp}/pipelines", "get", "list")
        | allowed(f"{kfp}/pipelines/versions", "get", "list")
        | allowed(f"{kfp}/experiments", "create", "get", "list")
        | allowed(f"{kfp}/runs", "create", "get", "list")
    )


@pytest.mark.parametrize("account", ["aerie-trainer", "aerie-storage"])
def test_who_needs_no_api_has_none(cluster, account):
    assert rights(cluster, account) == set()
    assert cluster.one("ServiceAccount", account)["automountServiceAccountToken"] is False


def test_a_token_is_mounted_by_default_for_tasks_only(cluster):
    mounting = {
        account["metadata"]["name"]
        for account in cluster.of("ServiceAccount")
        if account["automountServiceAccountToken"]
    }
    assert mounting == {"aerie-runner"}
