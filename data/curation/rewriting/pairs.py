"""The question-answer pairs that an endpoint may rewrite, and how a rewritten one goes into its sample."""

from collections.abc import Iterator
from dataclasses import replace

from data.curation.added_turns import meta_with, tasks_of
from data.curation.answer_families import family_of
from data.curation.endpoint.chat import Answer
from data.curation.instructions import without_instruction
from data.curation.rewriting.prompts import PROMPT_VERSION, Kind, Pair, bare_question
from data.registry.rows import seeded_rank
from data.schema import Sample, Turn
from data.settings.augmentation import AugmentationSettings, RewriteSettings

KINDS: tuple[Kind, ...] = ("cot", "long_answer")
FAMILIES: dict[Kind, frozenset[str]] = {
    "cot": frozenset({"yes_no", "number", "quantity", "letter", "phrase"}),
    "long_answer": frozenset(
        {"yes_no", "number", "quantity", "phrase"}
    ),  # a letter says nothing that a sentence could state
}
RANKS = 2**64  # seeded_rank gives 64 bits


def short_pairs(sample: Sample) -> Iterator[Pair]:
    """Every pair with a known short answer; none when the sample's tasks don't fit its answers."""
    tasks, turns = tasks_of(sample), sample.conversations
    answers = [number for number, turn in enumerate(turns) if turn.role == "assistant"]
    if len(tasks) != len(answers):
        return
    for index, (number, task) in enumerate(zip(answers, tasks, strict=True)):
        if number == 0 or turns[number - 1].role != "user" or task in KINDS:
            continue
        question, answer = turns[number - 1].content, turns[number].content.strip()
        if answer and bare_question(question):
            family = family_of(task, question, answer)
            yield Pair(index=index, turn=number, question=question, answer=answer, task=task, family=family)


def settings_of(kind: Kind, settings: AugmentationSettings) -> RewriteSettings | None:
    """The recipe's settings of one kind, None when it doesn't ask for it."""
    return settings.cot if kind == "cot" else settings.long_answer


def in_share(seed: int, kind: Kind, sample: Sample, pair: Pair, settings: RewriteSettings) -> bool:
    """Whether a pair is in its seeded share; independent of all other pairs and samples."""
    share = settings.share_of(sample.category, pair.task)
    return seeded_rank(seed, kind, sample.sample_id, pair.index) < share * RANKS


def with_rewrite(sample: Sample, kind: Kind, pair: Pair, text: str, mode: str, answer: Answer, key: str) -> Sample:
    """The sample with the rewritten pair, its task, and where it came from in `meta["augmentation"]`."""
    tasks = tasks_of(sample)
    if mode == "replace":
        turns = list(sample.conversations)
        question = turns[pair.turn - 1]
        turns[pair.turn - 1] = replace(question, content=without_instruction(question.content))
        turns[pair.turn] = replace(turns[pair.turn], content=text)
        conversations, tasks = tuple(turns), [*tasks[: pair.index], kind, *tasks[pair.index + 1 :]]
    else:
        added = (Turn(role="user", content=bare_question(pair.question)), Turn(role="assistant", content=text))
        conversations, tasks = (*sample.conversations, *added), [*tasks, kind]
    provenance = {
        "kind": kind,
        "mode": mode,
        "model": answer.model,
        "host": answer.host,
        "prompt_version": PROMPT_VERSION,
        "request": key,
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "estimated": answer.estimated,
        },
        "checked": True,
        "pair": pair.index,
        "original_answer": pair.answer,
    }
    return replace(sample, conversations=conversations, meta=meta_with(sample, tasks, provenance))
