"""Reading: documents (DocVQA's shape), text recognition (OCRBench's), and scenes (VQA's)."""

from data.schema import Sample
from model.evaluation.local.asking import Asking
from model.evaluation.questions import Question

READ_TASKS = frozenset({"line", "first_word", "last_word"})
# OCRBench's own names of its question types (Liu et al. 2023).
OCR_TYPES = {"line": "Regular Text Recognition", "digit": "Digit String Recognition"}
SCENE_TASKS = frozenset({"shape", "color", "yes_no"})
ANNOTATORS = 10  # VQA has as many answers a question (Antol et al. 2015)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def document_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule anls; several answers where several are right: any word of the text, a count in figures or words."""
    questions = []
    for sample, question in asking.pairs:
        if question.task in READ_TASKS:
            questions.append(asking.again(benchmark, sample, question, "anls"))
        elif question.task == "count_words" and (word := _in_words(question.answer)):
            both = (question.answer, word)
            questions.append(asking.again(benchmark, sample, question, "anls", answers=both))
    for sample in asking.samples:
        words = list(dict.fromkeys(shown_text(sample).split()))
        if len(words) > 1:
            pair = ("Which word stands in the text? Name any one.", words[0], "any_word")
            questions.append(asking.anew(benchmark, sample, "any", pair, "anls", also=words[1:]))
    return questions


def recognition_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule ocrbench: drawn lines and handwritten digits, to be read."""
    return [
        asking.again(benchmark, sample, question, "ocrbench", facts={"type": OCR_TYPES[question.task]})
        for sample, question in asking.pairs
        if question.task in OCR_TYPES
    ]


def scene_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule vqa. The source has one answer, which is repeated: the rule then scores like exact match. `facts` say so."""
    repeated = {"annotators": 1, "answer_repeated": ANNOTATORS}
    return [
        asking.again(benchmark, sample, question, "vqa", answers=(question.answer,) * ANNOTATORS, facts=repeated)
        for sample, question in asking.pairs
        if question.task in SCENE_TASKS
    ]


def shown_text(sample: Sample) -> str:
    """The words that a drawn image shows, "" where the source doesn't know them."""
    text = sample.meta.get("text")
    return text if isinstance(text, str) else ""


def _in_words(number: str) -> str:
    return NUMBER_WORDS[int(number)] if number.isdecimal() and int(number) < len(NUMBER_WORDS) else ""
