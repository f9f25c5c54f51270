"""Answer instructions: one canonical wording per family of answer formats, put where others stood before.

An instruction is paid for in every question of the training set, so that there is a wording as short as it can be
understood.
"""

import re
from functools import lru_cache

from data.schema import plain_text
from data.settings.formatting import Family, Wording

VERSION = 3
# `brief` costs 2 or 3 tokens a question, which a toy model's budget feels; `full` is for models that read instructions;
# `standard` says what users of the usual benchmarks have come to type.
INSTRUCTIONS: dict[Wording, dict[Family, str]] = {
    "brief": {
        "yes_no": "Yes or no",
        "letter": "Letter only",
        "number": "Number only",
        "quantity": "Number with unit",
        "phrase": "Short phrase",
        "sentence": "One sentence",
        "transcription": "Exact text",
        "list": "List only",
        "items": "Items with commas",
        "box": "Box only",
        "point": "Point only",
        "json": "JSON only",
        "table": "Table only",
        "markdown": "Markdown only",
        "latex": "LaTeX only",
        "code": "Code only",
        "detailed": "In detail",
        "explained": "Full sentences",
        "reasoning": "Step by step",
        "free": "",
    },
    "full": {
        "yes_no": "Answer yes or no.",
        "letter": "Answer with the option's letter.",
        "number": "Answer with a number.",
        "quantity": "Answer with a number and its unit.",
        "phrase": "Answer with a word or short phrase.",
        "sentence": "Answer in one sentence.",
        "transcription": "Copy the text exactly.",
        "list": "Answer with a list.",
        "items": "Answer with items and commas.",
        "box": "Answer with the box's coordinates.",
        "point": "Answer with the point's coordinates.",
        "json": "Answer with JSON.",
        "table": "Answer with a Markdown table.",
        "markdown": "Answer in Markdown.",
        "latex": "Answer in LaTeX.",
        "code": "Answer with code.",
        "detailed": "Describe it in detail.",
        "explained": "Answer in full sentences.",
        "reasoning": "Reason step by step, then answer.",
        "free": "",
    },
    "standard": {
        "yes_no": "Please answer yes or no.",
        "letter": "Answer with the option's letter from the given choices directly.",
        "number": "Answer the question using a single number.",
        "quantity": "Answer the question using a number with its unit.",
        "phrase": "Answer the question using a single word or phrase.",
        "sentence": "Give a caption of one sentence.",
        "transcription": "Write out the text exactly as the image shows it, and nothing else.",
        "list": "Give the answer as a list, one item a line.",
        "items": "Name all that apply in one line, separated by commas.",
        "box": "Give the location as a bounding box [x1, y1, x2, y2].",
        "point": "Give the location as a point [x, y].",
        "json": "Give the answer as valid JSON only.",
        "table": "Write the content as a Markdown table.",
        "markdown": "Convert the page to Markdown.",
        "latex": "Write the formula in LaTeX.",
        "code": "Answer with the code only.",
        "detailed": "Describe everything you see in detail.",
        "explained": "Answer the question in full sentences.",
        "reasoning": "Think step by step, and end with the line 'Answer: ' and the final answer.",
        "free": "",
    },
}
# Instructions for the same formats, other people's and our own; the one of the recipe's wording takes their place.
_ANSWER = r"(?:please )?(?:answer|respond to|reply to) (?:the |this )?(?:question )?"
_SHORT = r"(?:please )?(?:answer|reply|respond)"
KNOWN = (
    _ANSWER + r"(?:using|with|in) (?:only )?(?:a |one )?(?:single )?word(?: or (?:a )?(?:short )?phrase)?",
    _ANSWER + r"(?:using|with|in) (?:only )?(?:a )?(?:short |single )?phrase",
    _ANSWER + r"(?:with|using) (?:only )?(?:a |one )?(?:single )?(?:number|integer)",
    _ANSWER + r"(?:with |using )?(?:only |just |either )?['\"“]?yes['\"”]? or ['\"“]?no['\"”]?",
    r"(?:answer|respond|reply) (?:with )?(?:only )?(?:yes|true)/(?:no|false)",
    _ANSWER + r"with (?:only )?the (?:correct )?(?:option['’]?s? )?letter(?: of the correct (?:option|answer|choice))?"
    r"(?: from the given (?:choices|options))?(?: directly| only)?",
    r"(?:please )?(?:select|choose|pick) the (?:correct|right|best) (?:answer|option|choice)"
    r"(?: from the (?:options|choices)(?: above)?)?(?: by (?:its )?letter)?",
    rf"{_SHORT} (?:briefly|concisely|shortly|directly)",
    r"(?:please )?(?:provide|give) (?:only )?(?:a |the )?(?:short|brief|concise|direct|final) answer(?: only)?",
    r"(?:please )?(?:let['’]s )?(?:think|reason|solve (?:it|this)) step[- ]by[- ]step",
    *(re.escape(text.rstrip(".")) for wording in INSTRUCTIONS.values() for text in wording.values() if text),
)
KNOWN_INSTRUCTION = re.compile(rf"(?:(?<=[?.!:\n])|(?<=[?.!:] ))(?:{'|'.join(KNOWN)})[.!]?\s*$", re.I)
LONGEST = 120  # no known instruction is longer
# What known instructions end with: most questions end otherwise and need no further look.
_LAST = """
    word phrase number integer yes no true false yes/no true/false letter option answer choice choices options directly
    only briefly concisely shortly above step
"""
_OURS = [text.rstrip(".").lower() for wording in INSTRUCTIONS.values() for text in wording.values()]
LAST_WORDS = frozenset({*_LAST.split(), *(text.rpartition(" ")[2] for text in _OURS)})
# Questions that ask for the format in their own words (small letters) need no second request.
OWN_WORDS: dict[Family, tuple[str, ...]] = {
    "detailed": ("detail", "thorough", "comprehensive", "elaborate"),
    "reasoning": ("step by step", "step-by-step", "show your work", "show your reasoning", "explain your reasoning"),
    "sentence": ("one sentence", "one-sentence", "single sentence", "short caption", "brief caption"),
}


def without_instruction(question: str) -> str:
    """The question without a known answer-format instruction at its end (the question itself is never emptied)."""
    text = question.rstrip()
    if text.endswith("?"):
        return text
    last = text[text.rfind(" ") + 1 :]
    last = last[last.rfind("\n") + 1 :]
    if last.rstrip(".!").strip("'\"“”").lower() not in LAST_WORDS:
        return text
    # No instruction holds a line feed or a question mark: it stands after the last of them.
    start = max(text.rfind("\n"), text.rfind("? "), len(text) - LONGEST, 0)
    kept = _kept(text[start:])
    if kept == len(text) - start:
        return text
    bare = text[: start + kept].rstrip()
    return bare if plain_text(bare) else question


@lru_cache(maxsize=1 << 12)
def _kept(tail: str) -> int:
    """How much of a tail stands before its instruction."""
    match = KNOWN_INSTRUCTION.search(tail)
    return len(tail) if match is None else match.start()


def instruction_for(question: str, family: Family, wording: Wording) -> str:
    """The instruction that a question of a family gets: "" for free talk, and where the question says it itself."""
    if family in OWN_WORDS:
        plain = question.lower()
        if any(words in plain for words in OWN_WORDS[family]):
            return ""
    return INSTRUCTIONS[wording][family]
