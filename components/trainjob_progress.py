"""A look at a TrainJob in words, for the task's log."""

from components.trainjob_decision import Action
from components.trainjob_state import JobState


def progress(action: Action, seen: JobState | None) -> str:
    """What there is to say after a look and the decision that followed; empty when that is nothing."""
    if action is Action.CREATE or seen is None:
        return "is created" if action is Action.CREATE else ""
    if action is Action.DELETE:
        return f"failed before this launch ({seen.reason}: {seen.message}); it is deleted and created anew"
    if seen.deleting and not seen.over:
        return "is being deleted"
    if seen.phase == "queued":
        return f"is suspended, queued by Kueue since {seen.since}"
    if seen.phase == "starting" and not seen.seen_by_controller:
        return f"waits for the Trainer's controller since {seen.since}"
    return "" if seen.over else {"starting": "is admitted, its pods start", "running": "runs"}[seen.phase]
