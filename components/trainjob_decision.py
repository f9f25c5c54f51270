"""What a launcher does next, decided from what it saw: no I/O, no clock, so that every case fits a table.

nothing there ----------------- create          ours, complete ------- succeed
unfinished, equal ------------- adopt, wait     ours, failed --------- fail
failed before we came --------- delete, create  deleted under us ----- create once more, then fail
equal name, another job ------- fail            on its way out ------- wait until it is gone
"""

from dataclasses import dataclass, replace
from enum import Enum

from components.trainjob_state import JobState


class Action(Enum):
    """One step of a launcher; each is safe to repeat when its answer got lost."""

    CREATE = "create"
    ADOPT = "adopt"
    DELETE = "delete"
    WAIT = "wait"
    SUCCEED = "succeed"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The job to have: its specification's hash, and the KFP run that wants it ("" outside of KFP)."""

    spec_sha256: str
    kfp_run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a launcher remembers between two looks.

    `uid` and `kfp_run` are the watched job's. `asked`: a create was sent, so what appears is taken for ours.
    `replacing`: uid of the failed job we delete. `replaced`, `restored`: each happens once at most.
    """

    uid: str = ""
    kfp_run: str = ""
    asked: bool = False
    replacing: str = ""
    replaced: bool = False
    restored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The decision, what to remember, and for FAIL why."""

    action: Action
    memory: Memory
    why: str = ""


def decide(memory: Memory, seen: JobState | None, goal: Goal) -> Step:
    """The next step after a look at the job (None: there is none)."""
    if seen is None:
        return _absent(memory, goal)
    equal = seen.spec_sha256 == goal.spec_sha256
    if seen.deleting and not (equal and seen.phase == "complete"):
        return _leaving(memory, seen)
    if not equal:
        return Step(action=Action.FAIL, memory=memory, why=ANOTHER_SPEC)
    if seen.phase == "failed":
        return _failed(memory, seen)
    ours = replace(memory, uid=seen.uid, kfp_run=seen.kfp_run, asked=False)
    if memory.uid != seen.uid and seen.kfp_run != goal.kfp_run and not seen.deleting:
        return Step(action=Action.ADOPT, memory=memory)
    return Step(action=Action.SUCCEED if seen.phase == "complete" else Action.WAIT, memory=ours)


ANOTHER_SPEC = (
    "a job of this name with another specification is there (other image, sizes, inputs or recipe); wait for it, or "
    "delete it, then run this stage again"
)


def _absent(memory: Memory, goal: Goal) -> Step:
    if not memory.uid:
        return Step(action=Action.CREATE, memory=replace(memory, asked=True))
    if memory.uid == memory.replacing:
        fresh = replace(memory, uid="", replacing="", replaced=True, asked=True)
        return Step(action=Action.CREATE, memory=fresh)
    if memory.kfp_run != goal.kfp_run:
        why = f"KFP run {memory.kfp_run or '(none)'} took the job over, and now it is gone"
        return Step(action=Action.FAIL, memory=memory, why=why)
    if memory.restored:
        why = "the job was deleted twice before it ended; find out who does that, then run this stage again"
        return Step(action=Action.FAIL, memory=memory, why=why)
    return Step(action=Action.CREATE, memory=replace(memory, uid="", restored=True, asked=True))


def _leaving(memory: Memory, seen: JobState) -> Step:
    """On its way out. A failure of the job we watched stays a failure; otherwise wait for the name to be free."""
    if memory.asked:
        memory = replace(memory, uid=seen.uid, kfp_run=seen.kfp_run, asked=False)
    if seen.phase == "failed" and seen.uid == memory.uid != memory.replacing:
        return Step(action=Action.FAIL, memory=memory)
    return Step(action=Action.WAIT, memory=memory)


def _failed(memory: Memory, seen: JobState) -> Step:
    before_us = not memory.uid and not memory.asked
    if seen.uid == memory.replacing or (before_us and not memory.replaced):
        return Step(action=Action.DELETE, memory=replace(memory, uid=seen.uid, replacing=seen.uid))
    return Step(action=Action.FAIL, memory=replace(memory, uid=seen.uid))
