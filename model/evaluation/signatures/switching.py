"""Answers in another script or language than their question and references."""

import unicodedata
from collections import Counter
from functools import lru_cache

from data.curation.rules import CODE
from data.curation.rules_language import EAST, LEAST_WORDS, PURE, SCRIPTS, language_mismatch, language_of
from data.schema import plain_text
from model.evaluation.signatures.reply import Reply

LEAST_LETTERS = {"EAST": 2}  # a syllable or a word each
OTHER_LETTERS = 4  # of an alphabet: fewer may be a name, a unit or a symbol
NAMES = {"EAST": "East Asian"}


@lru_cache(maxsize=8192)
def _script(char: str) -> str:
    name = unicodedata.name(char, "")
    script = next((script for script in SCRIPTS if name.startswith(script)), "")
    return "EAST" if script in EAST else script


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script a text has, those of China, Japan and Korea together as `EAST`."""
    if text.isascii():
        return Counter({"LATIN": sum(map(str.isalpha, text))})
    return Counter(script for char in text if char.isalpha() and (script := _script(char)))


def main_script(text: str) -> str:
    """The script of most letters of a text that has enough of them, also of a short one; "" where none leads."""
    counts = letters_by_script(CODE.sub(" ", plain_text(text)))
    if not counts:
        return ""
    script, letters = counts.most_common(1)[0]
    enough = LEAST_LETTERS.get(script, OTHER_LETTERS)
    return script if letters >= enough and letters >= PURE * counts.total() else ""


def switch_mark(question: str, answer: str) -> str:
    """`Latin → East Asian`, `en → de`: what the question and the answer are written in, where these differ.

    A Latin answer that is no sentence of a known language is a name or a formula, and no switch.
    """
    if answer.isascii() and question.isascii() and answer.count(" ") < LEAST_WORDS - 1:
        return ""  # too short for a language, as most answers are
    asked, said = main_script(question), main_script(answer)
    if not asked or not said:
        return ""
    if asked != said:
        return "" if said == "LATIN" and not language_of(answer) else f"{_name(asked)} → {_name(said)}"
    languages = (language_of(plain_text(question)), language_of(plain_text(answer))) if said == "LATIN" else ("", "")
    return f"{languages[0]} → {languages[1]}" if all(languages) and languages[0] != languages[1] else ""


def _name(script: str) -> str:
    return NAMES.get(script, script.title())


def pattern(reply: Reply) -> str:
    """`switch_mark` of question or references and answer, whether or not the question gives a reason."""
    return switch_mark(reply.question, reply.text) or switch_mark("\n".join(reply.references), reply.text)


def misplaced(reply: Reply) -> bool:
    """Whether the references are not in the output's script or language; of a training answer, whether nobody asked.

    References too short to tell a language by leave it to the question (`language_mismatch`).
    """
    said = main_script(reply.text)
    if not reply.references:
        return bool(language_mismatch(reply.question, reply.text))
    if any(letters_by_script(reference)[said] for reference in reply.references) and said != "LATIN":
        return False
    if said != main_script(reply.question):
        return said != "LATIN" or not any(letters_by_script(reference)["LATIN"] for reference in reply.references)
    languages = {language_of(plain_text(reference)) for reference in reply.references} - {""}
    if languages:
        return language_of(plain_text(reply.text)) not in languages
    return bool(language_mismatch(reply.question, reply.text))
