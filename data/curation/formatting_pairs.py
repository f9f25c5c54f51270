"""One question with its answer in canonical form: what the formatting step does, without tables."""

from functools import lru_cache
from typing import NamedTuple

from data.curation.answer_families import (
    FAMILY_OF_TASK,
    asks_to_copy,
    canonical_answer,
    fits_shape,
    refined,
    shape_family,
    told_family,
    verbatim,
)
from data.curation.answer_shapes import Shape, shape_of
from data.curation.decorations import strip_decorations
from data.curation.instructions import INSTRUCTIONS, OWN_WORDS, instruction_for, without_instruction
from data.settings.formatting import Family, FormattingSettings

REPEATED_CHARS = 48  # answers up to here are remembered: they repeat, longer ones hardly do
REMEMBERED = 1 << 16
_GIVEN: dict[Family, tuple[str, ...]] = {family: (f"instruction_{family}",) for family in INSTRUCTIONS["brief"]}


class Pair(NamedTuple):
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
        self.families: dict[str, Family] = {**FAMILY_OF_TASK, **settings.families}
        self._verbatim = {task: verbatim(task, self.families) for task in self.families}
        self._strip, self._instructions = settings.strip_decorations, settings.instructions
        self._wording, self._given = settings.wording, INSTRUCTIONS[settings.wording]

    def name(self, task: str, pair: Pair) -> str:
        """What a report calls the task of a pair; undeclared tasks are told apart by family."""
        return task if task in self.families else f"{task}: {pair.family}"

    def __call__(self, task: str, question: str, answer: str) -> Pair:
        """The pair in canonical form; image placeholders stay where they are."""
        asked = question.strip() if self._strip else question
        declared = self.families.get(task)
        # Nobody declared it, but it copies what the image prints: its marks are text.
        keep = asks_to_copy(asked) if declared is None else self._verbatim[task]
        look = _remembered if len(answer) <= REPEATED_CHARS else _bare
        bare, kinds, shape, told, obeys = look(answer, declared, keep, self._strip)
        family = told or told_family(asked, bare.strip(), shape, copies=keep)
        if told is None:
            bare, kinds, shape, _, obeys = _settled(bare, kinds, shape, family, self._strip)
        if asked != question:
            kinds = ("question_whitespace", *kinds)
        if not (self._instructions and obeys):
            return Pair(asked, bare, family, shape, "", kinds)
        own = without_instruction(asked)
        instruction = instruction_for(own, family, self._wording) if family in OWN_WORDS else self._given[family]
        formatted = f"{own}\n{instruction}" if instruction else own
        if formatted != asked:
            kinds += ("replaced_instruction",) if own != asked else ()
            kinds += _GIVEN[family] if instruction else ()
        return Pair(formatted, bare, family, shape, instruction, kinds)


class _Answer(NamedTuple):
    """What an answer becomes. Without a family its question decides; `obeys`: it has the form that is asked for."""

    bare: str
    kinds: tuple[str, ...]
    shape: Shape
    family: Family | None
    obeys: bool


def _bare(answer: str, declared: Family | None, keep_marks: bool, strip: bool) -> _Answer:
    bare, kinds = strip_decorations(answer, verbatim=keep_marks) if strip else (answer, [])
    shape = shape_of(bare)
    family = declared or shape_family(shape, copies=keep_marks)
    if family is None:
        return _Answer(bare, tuple(kinds), shape, None, False)
    return _settled(bare, tuple(kinds), shape, family, strip)


def _settled(bare: str, kinds: tuple[str, ...], shape: Shape, family: Family, strip: bool) -> _Answer:
    family = refined(family, shape)
    if strip and (canonical := canonical_answer(family, bare)) != bare:
        bare, kinds, shape = canonical, (*kinds, "canonical_answer"), shape_of(canonical)
    return _Answer(bare, kinds, shape, family, fits_shape(family, bare.strip(), shape))


_remembered = lru_cache(maxsize=REMEMBERED)(_bare)


def format_pair(task: str, question: str, answer: str, settings: FormattingSettings) -> Pair:
    """One pair by settings; whoever formats many keeps a `PairFormatter`."""
    return PairFormatter(settings)(task, question, answer)
