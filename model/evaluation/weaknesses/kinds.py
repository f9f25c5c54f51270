"""What a question asks for (skill) and looks at (kind of image), and what a source card offers of both."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from data.registry.cards import SourceCard

ImageType = Literal["chart", "document", "text line", "formula", "diagram", "shape scene", "natural scene", "none"]
Skill = Literal[
    "reading text",
    "reading values",
    "comparing and calculating",
    "counting",
    "recognising",
    "locating",
    "choosing options",
    "describing",
    "reasoning",
    "dialogue",
]
SKILLS: tuple[Skill, ...] = get_args(Skill)

# What the format says is surer than what the category says.
IMAGES_OF_ADAPTER: dict[str, ImageType] = {
    "vega_charts": "chart",
    "text_lines": "text line",
    "digits": "text line",
    "easy_vqa": "shape scene",
    "pdf_pages": "document",
}
IMAGES_OF_CATEGORY: dict[str, ImageType] = {
    "captioning_knowledge": "natural scene",
    "mathematics": "diagram",
    "science": "diagram",
    "chart_table": "chart",
    "naive_ocr": "text line",
    "ocr_qa": "document",
    "grounding_counting": "natural scene",
    "general_vqa": "natural scene",
    "text_only": "none",
}
# Words of a card that name another kind of image than its category's usual one; the first that is found decides.
IMAGE_WORDS: tuple[tuple[ImageType, str], ...] = (
    ("chart", r"charts?|plots?|tables?"),
    (
        "document",
        r"documents?|pages?|forms?|receipts?|invoices?|reports?|slide|screenshots?|infographics?|book covers?",
    ),
    ("diagram", r"diagrams?|figures?|geometry|circuits?|structures"),
    ("shape scene", r"rendered (?:clevr )?scenes?|shapes|solids"),
    ("natural scene", r"photos?|scenes?|street|faces?|videos?|portraits?|paintings?"),
)
# The same for plain reading, where forms and photos are what a line of text is not.
READ_WORDS: tuple[tuple[ImageType, str], ...] = (
    ("formula", r"formulas?|latex|arithmetic"),
    ("document", r"documents?|pages?|forms?|receipts?|invoices?|sheets?|code"),
    ("text line", r"words|lines|digits|captcha|amounts|transcripts"),
    ("natural scene", r"photos?|street|signboards?|videos?|maps?|memes?|web images"),
)
SKILL_OF_TASK: dict[str, Skill] = {
    **dict.fromkeys(("line", "ocr", "transcription", "digit", "first_word", "last_word", "any_word"), "reading text"),
    **dict.fromkeys(("word_appears", "page_markdown", "table", "json", "formula"), "reading text"),
    **dict.fromkeys(("value_at", "cell", "quantity", "trend"), "reading values"),
    **dict.fromkeys(("difference", "total", "average", "max", "min", "compare", "parity"), "comparing and calculating"),
    **dict.fromkeys(("count", "counting", "count_words"), "counting"),
    **dict.fromkeys(("shape", "color", "yes_no", "label", "labels", "classification", "landmark"), "recognising"),
    **dict.fromkeys(("box", "grounding", "detection", "region", "point"), "locating"),
    "multiple_choice": "choosing options",
    **dict.fromkeys(("caption", "description", "detailed_caption"), "describing"),
    **dict.fromkeys(("reasoning", "cot", "long_answer", "code"), "reasoning"),
    "dialogue": "dialogue",
}  # type: ignore[assignment]
# What a card's name, title and description say when it trains a skill.
WORDS_OF_SKILL: dict[Skill, str] = {
    "reading text": r"read|text|transcri\w+|ocr|handwrit\w+|writing|lettering|words|lines|captcha|digits",
    "reading values": r"values|tables?|charts?|plots?|fields|trends?",
    "comparing and calculating": r"calculat\w+|additions|arithmetic|math\w*|problems?|compar\w+"
    r"|questions .{0,40}\b(?:charts?|plots?|tables?)",
    "counting": r"count\w*",
    "recognising": r"objects?|colou?rs?|shapes?|solids|scenes?|relations?|statements|yes/no|photos?|kind|balanced",
    "locating": r"box(?:es)?|point\w*|refer\w*|grounding|place|located?",
    "choosing options": r"choices?|multiple-choice|options",
    "describing": r"captions?|describ\w+|descriptions?|narratives?",
    "reasoning": r"reason\w*|steps?|explan\w+|solutions?|proofs|code",
    "dialogue": r"chats?|dialogues?|conversations?|instructions?|turns?",
}


def image_type(card: SourceCard) -> ImageType:
    """The kind of image that a source shows: by its format, by words of its card, else by its category."""
    if card.category == "text_only":
        return "none"
    if card.adapter in IMAGES_OF_ADAPTER:
        return IMAGES_OF_ADAPTER[card.adapter]
    text, known = _words(card), READ_WORDS if card.category == "naive_ocr" else IMAGE_WORDS
    return next((kind for kind, words in known if _found(words, text)), IMAGES_OF_CATEGORY[card.category])


def image_types(cards: Mapping[str, SourceCard]) -> dict[str, ImageType]:
    """The kind of image of each source."""
    return {name: image_type(card) for name, card in cards.items()}


def skill_of(task: str) -> Skill:
    """The skill that a task exercises; a task that nobody declared asks to recognise what is there."""
    return SKILL_OF_TASK.get(task, "recognising")


def skill_word(card: SourceCard, skill: Skill) -> str:
    """The word of a card that says that it trains a skill; "" when none does."""
    return _found(WORDS_OF_SKILL[skill], _words(card))


def _words(card: SourceCard) -> str:
    return " ".join([card.description, card.title or "", card.name.replace("-", " ")])


def _found(words: str, text: str) -> str:
    match = re.search(rf"\b(?:{words})\b", text, re.I)
    return match.group() if match else ""
