"""How a benchmark's question is worded for a model: the text of its prompt and the place of its images."""

import re
from string import Formatter

from pydantic import Field, field_validator

from data.schema import IMAGE_PLACEHOLDER, ImageRef
from data.settings.base import Strict

MARK = re.compile(r"<image (\d{1,2})>")  # how MMMU places its images in questions and options
Options = tuple[tuple[str, str], ...]


class Wording(Strict):
    """Templates of one benchmark. `{question}`, `{hint}` and `{options}` are filled in; a missing hint leaves nothing.

    `choice` is for questions with options, `open` for those without.
    """

    open: str = Field(default="{hint}{question}")
    choice: str = Field(default="{hint}{question}\n{options}")
    option: str = Field(default="{letter}. {text}\n", description="one option, with what parts it from the next")
    hint: str = Field(default="{hint}\n")

    @field_validator("open", "choice", "option", "hint")
    @classmethod
    def _known_fields(cls, value: str) -> str:
        known = {"question", "hint", "options", "letter", "text"}
        try:
            fields = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
        except ValueError as error:
            raise ValueError(f"{error}; write a brace itself as {{{{ or }}}}") from None
        if fields - known:
            raise ValueError(f"unknown fields {sorted(fields - known)}; there are {sorted(known)}")
        return value

    def text(self, question: str, options: Options, hint: str) -> str:
        """The prompt's text, without images."""
        listed = "".join(self.option.format(letter=letter, text=text) for letter, text in options)
        told = self.hint.format(hint=hint) if hint else ""
        return (self.choice if options else self.open).format(question=question, options=listed, hint=told)


def placed(text: str, images: list[ImageRef], interleaved: bool) -> tuple[str, tuple[ImageRef, ...]]:
    """A prompt with `<image>` for every image, and the images in the prompt's order.

    All stand before the text, each on a line of its own. `interleaved`: `<image n>` in the text is the place of the
    n-th image (as often as it is named); an image that isn't named stands before the text. `ValueError` when the text
    names an image that isn't there, or has an `<image>` of its own.
    """
    if IMAGE_PLACEHOLDER in text:
        raise ValueError(f"the text holds {IMAGE_PLACEHOLDER}, which is the mark of an image's place")
    named = [int(number) - 1 for number in MARK.findall(text)] if interleaved else []
    if any(not 0 <= index < len(images) for index in named):
        raise ValueError(f"the text names image {max(named) + 1}, the row has {len(images)}")
    before = [image for index, image in enumerate(images) if index not in named]
    if interleaved:
        text = MARK.sub(IMAGE_PLACEHOLDER, text)
    return f"{IMAGE_PLACEHOLDER}\n" * len(before) + text, (*before, *(images[index] for index in named))
