"""Multiple choice: the options are answers that the source itself gives, the right letter stands everywhere alike."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from data.curation.instructions import without_instruction
from data.registry.rows import seeded_rank
from data.schema import IMAGE_PLACEHOLDER, Sample
from model.evaluation.local.asking import Asking, spread
from model.evaluation.local.charts import shown_table
from model.evaluation.local.reading import shown_text
from model.evaluation.questions import Question
from model.evaluation.scorers import normalised

LETTERS = "ABCD"
# Tasks where another answer of the same task is surely wrong. Not: free dialogue (several replies may do), yes and no
# (nothing to choose from), differences (the right number may be another's by chance of rounding).
TASKS = frozenset({"shape", "color", "digit", "line", "first_word", "last_word", "max", "min", "value_at", "trend"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A question before its options are lettered; `wrong` are one to three other answers."""

    sample: Sample
    key: str
    text: str
    task: str
    right: str
    wrong: tuple[str, ...]

    def about(self) -> tuple[str, str, str]:
        """(source, task, id), as `spread` takes it."""
        return self.sample.source, self.task, f"{self.sample.sample_id}#{self.key}"


def choice_questions(asking: Asking, benchmark: str, most: int | None) -> list[Question]:
    """Rule choice: each question once."""
    chosen = spread(list(_choices(asking)), most, asking.seed, Choice.about)
    return [
        _lettered(asking, benchmark, choice, _options(choice, place), "choice", choice.key)
        for choice, place in _placed(chosen, asking.seed)
    ]


def circular_questions(asking: Asking, benchmark: str, most: int | None) -> list[Question]:
    """Rule circular: one question of each sample, asked with every rotation of its options (MMBench, Liu et al. 2023).

    The copies of one question share `facts.group`; `most` counts copies, and no group is cut.
    """
    of_sample: defaultdict[str, list[Choice]] = defaultdict(list)
    for choice in _choices(asking):
        of_sample[choice.sample.sample_id].append(choice)
    one_each = [
        min(some, key=lambda choice: seeded_rank(asking.seed, benchmark, *choice.about()))
        for some in of_sample.values()
    ]
    groups = None if most is None else most // len(LETTERS)
    chosen = spread(one_each, groups, asking.seed, Choice.about)
    questions = []
    for choice, place in _placed(chosen, asking.seed):
        options = _options(choice, place)
        for turn in range(len(options)):
            rotated = options[turn:] + options[:turn]
            questions.append(_lettered(asking, benchmark, choice, rotated, "circular", f"{choice.key}/{turn}"))
    return questions


def _choices(asking: Asking) -> Iterator[Choice]:
    """Every question that another answer of its own kind can stand beside."""
    pool = _answer_pool(asking)
    for sample, question in asking.pairs:
        if question.task not in TASKS:
            continue
        wrong = _wrong(asking.seed, sample, question, pool[sample.source, question.task])
        if wrong:
            yield Choice(
                sample=sample,
                key=question.question_id.rpartition("#")[2],
                text=without_instruction(question.prompt.replace(IMAGE_PLACEHOLDER, "").strip()),
                task=question.task,
                right=question.answer,
                wrong=wrong,
            )


def _answer_pool(asking: Asking) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The distinct answers of each (source, task), in the alphabet's order."""
    found: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for sample, question in asking.pairs:
        answers, key = found[sample.source, question.task], normalised(question.answer)
        answers[key] = min(question.answer, answers.get(key, question.answer))
    return {kind: tuple(answers[key] for key in sorted(answers)) for kind, answers in found.items()}


def _wrong(seed: int, sample: Sample, question: Question, pool: Sequence[str]) -> tuple[str, ...]:
    """Up to three other answers: what the same image shows first, then what others of the source show."""
    taken, wrong = {normalised(question.answer)}, list[str]()
    for candidates in (_shown(sample, question.task), pool):
        for answer in sorted(candidates, key=lambda text: (seeded_rank(seed, question.question_id, text), text)):
            if len(wrong) < len(LETTERS) - 1 and normalised(answer) not in taken:
                taken.add(normalised(answer))
                wrong.append(answer)
    return tuple(wrong)


def _shown(sample: Sample, task: str) -> Sequence[str]:
    """Other things that the image shows and that could be taken for the answer."""
    table = shown_table(sample)
    if table is not None and task in {"max", "min"}:
        return table.labels
    if table is not None and task == "value_at":
        return sample.meta["chart"]["values"]  # type: ignore[no-any-return]
    return shown_text(sample).split() if task in {"first_word", "last_word"} else ()


def _placed(choices: Sequence[Choice], seed: int) -> Iterator[tuple[Choice, int]]:
    """Each choice with the right option's place: within every run of k questions of k options each place once."""
    by_size: defaultdict[int, list[Choice]] = defaultdict(list)
    for choice in sorted(choices, key=lambda choice: (choice.task, choice.about())):
        by_size[1 + len(choice.wrong)].append(choice)
    for size, some in sorted(by_size.items()):
        for start in range(0, len(some), size):
            places = list(range(size))
            Random(seeded_rank(seed, "places", size, start)).shuffle(places)
            yield from zip(some[start : start + size], places, strict=False)


def _options(choice: Choice, place: int) -> tuple[str, ...]:
    return (*choice.wrong[:place], choice.right, *choice.wrong[place:])


def _lettered(
    asking: Asking, benchmark: str, choice: Choice, options: tuple[str, ...], rule: str, key: str
) -> Question:
    lettered = tuple(zip(LETTERS, options, strict=False))
    text = "\n".join([choice.text, *(f"{letter}. {option}" for letter, option in lettered)])
    facts = {"task": choice.task}
    if rule == "circular":
        facts["group"] = f"{benchmark}/{choice.sample.sample_id}#{choice.key}"
    answer = LETTERS[options.index(choice.right)]
    pair = (text, answer, "multiple_choice")
    return asking.anew(benchmark, choice.sample, key, pair, rule, options=lettered, facts=facts)
