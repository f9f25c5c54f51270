"""One question with its answer in canonical form: what the formatting step does, without tables."""

from dataclasses import dataclass
from functools import lru_cache

from data.curation.answer_families import FAMILY_OF_TASK, asks_to_copy, canonical_answer, family_of, fits, verbatim
from data.curation.answer_shapes import Shape, shape_of
from data.curation.decorations import strip_decorations
from data.curation.instructions import instruction_for, with_instruction, without_instruction
from data.settings.formatting import Family, FormattingSettings

REPEATED_CHARS = 48  # answers up to here are remembered: they repeat, longer ones hardly do


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with its answer, their format family, the answer's shape, the instruction given, kinds of change."""

    question: str
    answer: str
    family: Family
    shape: Shape
    instruction: str = ""
    kinds: tuple[str, ...] = ()


class PairFormatter:
    """Formats pairs by settings that are looked at once. Pure: a pair's result depends on nothing before it."""

    def __init__(self, settings: FormattingSettings) -> None:
        self.settings = settings
        self.families: dict[str, Family] = {**FAMILY_OF_TASK, **settings.families}
        self._verbatim = {task: verbatim(task, self.families) for task in self.families}

    def __call__(self, task: str, question: str, answer: str) -> Pair:
        """The pair in canonical form; image placeholders stay where they are."""
        kinds: tuple[str, ...] = ()
        asked, bare = question, answer
        if self.settings.strip_decorations:
            asked = question.strip()
            bare, taken = self._bare(task, asked, answer)
            kinds = ("question_whitespace", *taken) if asked != question else taken
            family = family_of(task, asked, bare, self.families)
            canonical = canonical_answer(family, bare)
            if canonical != bare:
                kinds, bare = (*kinds, "canonical_answer"), canonical
                family = family_of(task, asked, bare, self.families)
        else:
            family = family_of(task, asked, bare, self.families)
        if not (self.settings.instructions and fits(family, bare)):
            return Pair(question=asked, answer=bare, family=family, shape=shape_of(bare), kinds=kinds)
        own = without_instruction(asked)
        instruction = instruction_for(own, family, self.settings.wording)
        before, asked = asked, with_instruction(own, instruction)
        if asked != before:
            kinds += ("replaced_instruction",) if own != before else ()
            kinds += (f"instruction_{family}",) if instruction else ()
        return Pair(
            question=asked,
            answer=bare,
            family=family,
            shape=shape_of(bare),
            instruction=instruction,
            kinds=kinds,
        )

    def _bare(self, task: str, asked: str, answer: str) -> tuple[str, tuple[str, ...]]:
        keep = self._verbatim.get(task, False)
        bare, taken = _stripped(answer, keep)
        # Nobody declared it, but it copies what the image prints: its marks are text.
        if taken and not keep and task not in self.families and asks_to_copy(asked):
            return _stripped(answer, True)
        return bare, taken


def _stripped(answer: str, keep_marks: bool) -> tuple[str, tuple[str, ...]]:
    return _remembered(answer, keep_marks) if len(answer) <= REPEATED_CHARS else _strip(answer, keep_marks)


def _strip(answer: str, keep_marks: bool) -> tuple[str, tuple[str, ...]]:
    bare, kinds = strip_decorations(answer, verbatim=keep_marks)
    return bare, tuple(kinds)


_remembered = lru_cache(maxsize=1 << 16)(_strip)


def format_pair(task: str, question: str, answer: str, settings: FormattingSettings) -> Pair:
    """One pair by settings; whoever formats many keeps a `PairFormatter`."""
    return PairFormatter(settings)(task, question, answer)
