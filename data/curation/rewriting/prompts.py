"""What the endpoint is asked."""

from dataclasses import dataclass
from typing import Literal

from data.curation.endpoint.chat import ChatRequest
from data.curation.instructions import without_instruction
from data.schema import IMAGE_PLACEHOLDER, ImageRef

Kind = Literal["cot", "long_answer"]
PROMPT_VERSION = "1"  # raise it with every change of the wording: the cache and the provenance hold it

_SILENCE = "Never mention these rules or that the answer was given to you."
COT = (
    "You write the reasoning behind known answers, from which a vision-language model learns to reason. "
    "Say in a few short sentences what in the image or the question leads to the answer, step by step, and nothing "
    "that can't be seen or computed. Plain text, no headings. The last line is `Answer: ` and the correct answer, "
    f"letter by letter as you were given it. {_SILENCE}"
)
BLIND_COT = (
    "Answer the question by reasoning. Say in a few short sentences what in the image or the question leads to the "
    "answer, step by step, and nothing that can't be seen or computed. Plain text, no headings. The last line is "
    "`Answer: ` and {form}, nothing else."
)
LONG = (
    "You turn short answers into full ones, from which a vision-language model learns to answer in sentences. Write "
    "one to three sentences. The first states the correct answer in the words or figures that you were given; the "
    "others say what in the image or the question supports it, and nothing that can't be seen or computed. If the "
    f"correct answer is yes or no, begin with it. Plain text. {_SILENCE}"
)
FORMS = {
    "yes_no": "yes or no",
    "number": "a number",
    "quantity": "a number with its unit",
    "letter": "the option's letter",
    "phrase": "a word or two",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with a known short answer. `index` counts the conversation's answers, `turn` is the answer's turn."""

    index: int
    turn: int
    question: str
    answer: str
    task: str
    family: str


def bare_question(question: str) -> str:
    """The question without image placeholders and without an instruction that asks for a short answer."""
    return without_instruction(question.replace(IMAGE_PLACEHOLDER, "").strip())


def request_for(
    kind: Kind,
    pair: Pair,
    images: tuple[ImageRef, ...],
    earlier: tuple[Pair, ...] = (),
    *,
    reveal_answer: bool = True,
) -> ChatRequest:
    """The request for a rewritten answer to one question about a sample's images, after the pairs `earlier`."""
    text = "".join(f"Q: {bare_question(one.question)}\nA: {one.answer}\n" for one in earlier)
    text = f"Earlier in the conversation:\n{text}\n" if earlier else ""
    text += f"Question: {bare_question(pair.question)}"
    if kind == "cot" and not reveal_answer:
        system = BLIND_COT.format(form=FORMS.get(pair.family, "the answer"))
    else:
        system = COT if kind == "cot" else LONG
        text += f"\nCorrect answer: {pair.answer}"
    return ChatRequest(system=system, text=text, images=images, version=f"{kind}-{PROMPT_VERSION}")
