"""A TrainJob as its controllers would move it: a list of events, one at every look at it.

wait · queue (also in the middle: its pods go) · admit · run · [print, lines] · [say, node, text] · restart
evict, replace (node 0 fails, then the gang starts anew) · vanish (deleted by somebody)
complete · [finish, lines] (lines and completion in one look) · [fail, exit code, node]
"""

from typing import Any

INDEX = "batch.kubernetes.io/job-completion-index"


class Job:
    """A TrainJob with its pods and the life before it."""

    def __init__(self, cluster: Any, body: dict[str, Any], life: list[Any], uid: str) -> None:
        self.cluster, self.body, self.life, self.uid = cluster, body, list(life), uid
        self.pods: list[dict[str, Any]] = []
        self.generation, self.gone_in = 0, 0
        self.name = body["metadata"]["name"]
        body["metadata"] |= {"uid": uid, "creationTimestamp": cluster.stamp(), "generation": 1}
        body["status"] = {}

    def look(self) -> None:
        """One event happens, or the deletion comes nearer."""
        if "deletionTimestamp" in self.body["metadata"]:
            self.gone_in -= 1
            self.pods = self.pods if self.gone_in > 1 else []
        elif self.life:
            name, *values = event if isinstance(event := self.life.pop(0), list) else [event]
            getattr(self, f"_{name}")(*values)

    def begin_deletion(self, looks: int) -> None:
        """Foreground: the object stays until its pods are gone."""
        self.body["metadata"] |= {"deletionTimestamp": self.cluster.stamp(), "finalizers": ["foregroundDeletion"]}
        self.gone_in = looks
        self.cluster.history.append(["deleting", self.uid])

    def _condition(self, kind: str, value: str, reason: str, message: str = "") -> None:
        others = [item for item in self.body["status"].get("conditions", []) if item["type"] != kind]
        condition = {"type": kind, "status": value, "reason": reason, "message": message}
        self.body["status"]["conditions"] = [*others, {**condition, "lastTransitionTime": self.cluster.stamp()}]

    def _count(self, ready: int = 0, succeeded: int = 0, failed: int = 0) -> None:
        counts = {"ready": ready, "active": ready, "succeeded": succeeded, "failed": failed, "suspended": 0}
        self.body["status"]["jobsStatus"] = [{"name": "node", **counts}]

    def _wait(self) -> None:
        pass

    def _queue(self) -> None:
        self._condition("Suspended", "True", "Suspended", "TrainJob is suspended")
        self.pods = []
        self._count()

    def _admit(self) -> None:
        self._condition("Suspended", "False", "Resumed", "TrainJob is resumed")
        self._replace()

    def _replace(self) -> None:
        self.generation += 1
        number = self.body["spec"]["trainer"]["numNodes"]
        self.pods = [self._pod(node) for node in range(number)]
        self._count()

    def _pod(self, node: int) -> dict[str, Any]:
        name = f"{self.name}-node-0-{node}-{self.uid[-2:]}{self.generation:03d}"
        labels = {"jobset.sigs.k8s.io/jobset-name": self.name, "jobset.sigs.k8s.io/replicatedjob-name": "node"}
        metadata = {"name": name, "labels": {**labels, INDEX: str(node)}, "creationTimestamp": self.cluster.stamp()}
        waiting = {"name": "node", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
        self.cluster.logs[name], self.cluster.previous[name] = [], []
        return {"metadata": metadata, "status": {"phase": "Pending", "containerStatuses": [waiting]}}

    def _set(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        pod["status"]["phase"] = phase
        pod["status"]["containerStatuses"][0]["state"] = state

    def _run(self) -> None:
        for pod in self.pods:
            self._set(pod, "Running", {"running": {"startedAt": self.cluster.stamp()}})
        self._count(ready=1)

    def _print(self, lines: int) -> None:
        for _ in range(lines):
            self._say(0, f"stage  line {len(self.cluster.printed)}")

    def _say(self, node: int, text: str) -> None:
        line = f"{self.cluster.stamp(fine=True)} {text}"
        self.cluster.logs[self.pods[node]["metadata"]["name"]].append(line)
        self.cluster.printed.extend([text] if node == 0 else [])

    def _restart(self) -> None:
        name = self.pods[0]["metadata"]["name"]
        self.pods[0]["status"]["containerStatuses"][0]["restartCount"] += 1
        self.cluster.previous[name], self.cluster.logs[name] = self.cluster.logs[name], []

    def _evict(self) -> None:
        self._set(self.pods[0], "Failed", {"terminated": {"exitCode": 137, "reason": "Error"}})
        self.pods[0]["status"]["reason"] = "Evicted"

    def _vanish(self) -> None:
        self.begin_deletion(self.cluster.delete_looks)

    def _complete(self) -> None:
        for pod in self.pods:
            self._set(pod, "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}})
        self._count(succeeded=1)
        self._condition("Complete", "True", "JobsCompleted", "jobset completed successfully")
        self.cluster.history.append(["complete", self.uid])

    def _finish(self, lines: int) -> None:
        self._print(lines)
        self._complete()

    def _fail(self, code: int = 1, node: int = 0) -> None:
        for number, pod in enumerate(self.pods):
            ended = {"exitCode": code if number == node else 143, "reason": "OOMKilled" if code == 137 else "Error"}
            finished = self.cluster.stamp() if number == node else (self.cluster.stamp(later=9))
            self._set(pod, "Failed", {"terminated": {**ended, "finishedAt": finished}})
        self._count(failed=1)
        self._condition("Failed", "True", "FailedJobs", "jobset failed due to one or more job failures")
        self.cluster.history.append(["failed", self.uid])
