"""Has a TrainJob run to its end: creates or adopts it, follows its log, and tells success from failure."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from components.trainjob_decision import Action, Goal, Memory, Step, decide
from components.trainjob_failure import explain
from components.trainjob_logs import Follower, Logs
from components.trainjob_manifest import KFP_RUN_LABEL, SPEC_ANNOTATION
from components.trainjob_patience import ClusterError, Patience
from components.trainjob_progress import progress
from components.trainjob_state import JobState, PodState

CONFLICT, NOT_FOUND = 409, 404
LAST_TRIES = 4  # to read pods and logs of a job that is over


class Jobs(Logs, Protocol):
    """The cluster, as far as a launcher uses it; every method may raise ClusterError."""

    def get(self, name: str) -> JobState | None:
        """The job, or None when there is none."""

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create it; 409 when the name is taken."""

    def relabel(self, job: JobState, kfp_run: str) -> None:
        """Make it this KFP run's; 409 when it is another job by now."""

    def delete(self, job: JobState) -> None:
        """Begin a foreground deletion; 409 when it is another job by now."""


class Watch:
    """One launcher's way with one job; `run` returns when the job is complete and raises `AerieError` otherwise."""

    def __init__(
        self,
        cluster: Jobs,
        manifest: Mapping[str, Any],
        run_end: Callable[[], str],
        patience: Patience,
        show: Callable[[str], None],
        stage: str,
    ) -> None:
        """`run_end` gives the exit handler's note (or ClusterError); `show` gets every line to print."""
        from model.training.launch import Output

        metadata = manifest["metadata"]
        self.name, self.stage = metadata["name"], stage
        self.goal = Goal(
            spec_sha256=metadata["annotations"][SPEC_ANNOTATION], kfp_run=metadata["labels"].get(KFP_RUN_LABEL, "")
        )
        self.cluster, self.manifest, self.patience, self.show = cluster, manifest, patience, show
        self.run_end, self._end_at_start = run_end, None
        self.follower = Follower(cluster, self.name, lambda pod, line: self._output(pod).take(line), self.say)
        self._output_type, self._outputs, self._said = Output, {}, ""

    def run(self) -> None:
        """Look, decide, act, until the job is over."""
        memory = Memory()
        while True:
            try:
                if self._end_at_start is None:
                    self._end_at_start = self.run_end()
                seen = self.cluster.get(self.name)
                step = decide(memory, seen, self.goal)
                memory = step.memory
                self._tell(step, seen)
                if step.action is Action.SUCCEED:
                    return self._stubbornly(lambda: self.follower.read(over=True), None)
                if step.action is Action.FAIL:
                    self._fail(step, seen)
                self._act(step.action, seen)
            except ClusterError as error:
                self.patience.failed(error)
                continue
            self.patience.answered()
            self.patience.rest(at_least=self._follow())

    def say(self, text: str) -> None:
        """A line of our own."""
        self.show(f"{self.stage}: TrainJob {self.name}: {text}")

    def _act(self, action: Action, seen: JobState | None) -> None:
        try:
            if action in {Action.CREATE, Action.ADOPT}:
                self._refuse_after_the_end()
            if action is Action.CREATE:
                self.cluster.create(self.manifest)
            elif action is Action.ADOPT and seen:
                self.cluster.relabel(seen, self.goal.kfp_run)
            elif action is Action.DELETE and seen:
                self.cluster.delete(seen)
        except ClusterError as error:
            if error.status == NOT_FOUND and action is Action.CREATE:
                self._refuse(error)
            if error.status not in {CONFLICT, NOT_FOUND}:
                raise  # otherwise somebody was faster: look again

    def _refuse_after_the_end(self) -> None:
        from data.errors import AerieError

        if self.run_end() != self._end_at_start:
            raise AerieError(f"{self.patience.where}: the run has ended, and its exit handler has cleaned up")

    def _refuse(self, error: ClusterError) -> None:
        from data.errors import AerieError

        advice = "its namespace is missing, or Kubeflow Trainer (the TrainJob kind) isn't installed"
        raise AerieError(f"{self.patience.where}: {advice}\n  HTTP {error.status}: {error}")

    def _follow(self) -> float:
        """Pass the log on; seconds that the server asked us to stay away. A missed piece comes with the next."""
        try:
            self.follower.read()
        except ClusterError as error:
            return error.retry_after
        return 0.0

    def _fail(self, step: Step, seen: JobState | None) -> None:
        from data.errors import AerieError

        if step.why or seen is None:
            raise AerieError(f"{self.patience.where}: {step.why}")
        self._stubbornly(lambda: self.follower.read(over=True), None)
        pods: list[PodState] = self._stubbornly(lambda: self.cluster.pods(self.name), [])
        followed = list(self._outputs.values())[-1:] or [self._output_type(self.stage)]
        raise AerieError(explain(self.patience.where, seen, pods, self._last_words, followed[0]))

    def _last_words(self, pod: PodState) -> Any:
        """What a failed pod said, read but not printed."""
        output = self._output_type(self.stage, lambda _: None)
        text = self._stubbornly(lambda: self.cluster.log(pod.name, tail=400), "")
        output.read(line.partition(" ")[2] for line in text.split("\n"))
        return output

    def _output(self, pod: str) -> Any:
        return self._outputs.setdefault(pod, self._output_type(self.stage, self.show))

    def _stubbornly(self, ask: Callable[[], Any], otherwise: Any) -> Any:
        """An answer worth a few tries, but not worth a failure."""
        for number in range(1, LAST_TRIES + 1):
            try:
                return ask()
            except ClusterError as error:
                if error.status == NOT_FOUND or number == LAST_TRIES:
                    break
                self.patience.back_off(number, error)
        return otherwise

    def _tell(self, step: Step, seen: JobState | None) -> None:
        """Say what changed."""
        if (text := progress(step.action, seen)) and text != self._said:
            self.say(text)
            self._said = text
