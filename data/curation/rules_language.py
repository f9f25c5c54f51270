"""Answers in another language or script than their question, without a reason for it in the question."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from data.curation.rules import CODE, COPYING, READING, words_of
from data.curation.talk import Talk
from data.schema import plain_text

SCRIPTS = (
    "LATIN",
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "CYRILLIC",
    "ARABIC",
    "GREEK",
    "HEBREW",
    "DEVANAGARI",
    "THAI",
)
EAST = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})  # a letter is a syllable or a word
MANY, FEW = 12, 6  # letters from which on a text is in a script: of an alphabet, of an eastern script
PURE = 0.75
STOP_WORDS = {
    "en": "the is are was were of and to in that this with for on it there which what how does has have from by not",
    "fr": "le la les des est sont une un du dans et que qui sur avec pour pas ce cette au aux il elle quel quelle",
    "de": "der die das ist sind und ein eine nicht mit von auf dem den zu im wie was welche hat auch für es sich",
    "es": "el los las es son una un del en y que con para por se está hay qué cuál cómo su lo al más",
    "it": "il gli è sono una un della di che con per non nel nella questo questa quale cosa si ha anche più",
    "pt": "o os as é são uma um da do em que com para não no na qual se está mais dos das ao",
    "nl": "de het een is zijn en van met op dat niet voor in er wat welke hoe deze dit ook aan",
}
LANGUAGE_OF: dict[str, set[str]] = {}
for _code, _words in STOP_WORDS.items():
    for _word in _words.split():
        LANGUAGE_OF.setdefault(_word, set()).add(_code)
# Little words of English alone; two texts that have one are not looked at further. RE2 reads it the same way.
_WORDS = "the|and|this|that|these|what|which|who|how|why|where|with|are|has|does|there|you|your|describe|between|from"
ENGLISH = rf"(?i)(?:^|[ \n])(?:{_WORDS})(?:$|[ \n,.?!:;])"
# Likewise two texts that both have a piece in the same other script: eastern, Cyrillic, Arabic, Devanagari.
PIECES = (
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{4}",
    "[\u0400-\u04ff]{4}",
    "[\u0600-\u06ff]{4}",
    "[\u0900-\u097f]{4}",
)
_SAME = tuple(map(re.compile, (ENGLISH, *PIECES)))
LEAST_WORDS, LEAST_HITS, LEAD = 6, 3, 2.0
ELSEWHERE = re.compile(
    r"\b(?:translat\w*|in (?:english|french|german|spanish|italian|portuguese|dutch|chinese|mandarin|japanese"
    r"|korean|russian|arabic|hindi|greek|hebrew|thai|latin)|language|say in|meaning|auf (?:deutsch|englisch)"
    r"|en (?:français|anglais|español|inglés)|tradu\w*|übersetz\w*|lyrics|poem|quote|caption this in)\b|翻译|译成|译为"
    r"|英文|英语|中文|汉语|日本語|英語|영어|한국어|переведи|на английск|по-английски",
    re.I,
)
READ_ELSEWHERE = re.compile(
    r"文字|写着|内容是什么|原文|単語|書かれ|написан|надпис|steht|écrit|escrito|dice|识别|提取|转写"
)


@lru_cache(maxsize=8192)
def _script(char: str) -> str:
    name = unicodedata.name(char, "")
    return next((script for script in SCRIPTS if name.startswith(script)), "")


def script_of(text: str) -> str:
    """The script of nearly all letters of a text, eastern ones as `EAST`; "" where they are few or mixed."""
    if text.isascii():
        return "LATIN" if sum(map(str.isalpha, text)) >= MANY else ""
    counts = Counter("EAST" if (script := _script(char)) in EAST else script for char in text if char.isalpha())
    if not counts:
        return ""
    script, letters = counts.most_common(1)[0]
    enough = FEW if script == "EAST" else MANY
    return script if letters >= enough and letters >= PURE * counts.total() else ""


def language_of(text: str) -> str:
    """The language of a Latin text by its little words; "" where they don't tell."""
    words = words_of(text)
    if len(words) < LEAST_WORDS or text.count(" ") < LEAST_WORDS - 1:
        return ""
    hits: Counter[str] = Counter(code for word in words for code in LANGUAGE_OF.get(word, ()))
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < LEAST_HITS:
        return ""
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] >= LEAD * ranked[1][1] else ""


def language_mismatch(question: str, answer: str) -> str:
    """Why the answer's language is not the question's; "" where it is, can't be told, or is asked for."""
    if any(same.search(question) and same.search(answer) for same in _SAME):
        return ""
    asked, said = plain_text(CODE.sub(" ", question)), plain_text(CODE.sub(" ", answer))
    if ELSEWHERE.search(asked) or READING.search(asked) or COPYING.search(asked) or READ_ELSEWHERE.search(asked):
        return ""
    scripts = script_of(asked), script_of(said)
    if not all(scripts):
        return ""
    if scripts[0] != scripts[1]:
        if scripts[1] == "LATIN" and not language_of(said):
            return ""  # a name, a formula, a brand
        return f"the question is written in {scripts[0].title()}, the answer in {scripts[1].title()}"
    languages = (language_of(asked), language_of(said)) if scripts[0] == "LATIN" else ("", "")
    if all(languages) and languages[0] != languages[1]:
        return f"the question is in {languages[0]!r}, the answer in {languages[1]!r}"
    return ""


def language_mismatches(talk: Talk) -> list[str]:
    """What is wrong with the language of each answer."""
    return [
        f"{found}: {answer.strip()!r}"
        for question, answer in talk.pairs()
        if question and (found := language_mismatch(question, answer))
    ]
