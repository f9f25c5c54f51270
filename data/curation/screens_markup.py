"""The screen of broken markup: signs that don't come in pairs, and tags and tables that only the exact rule reads."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.rules_markup import TAGS

READ = rf"(?i)`|</?(?:{TAGS})[\s>]|\|[ :]*--|\\\\|\\[{{}}]"
COMMAND = r"\\[a-zA-Z]+\s*\{"


def _number(texts: pa.StringArray, sign: str) -> np.ndarray:
    return pc.count_substring(texts, sign).to_numpy(zero_copy_only=False)


def broken_markup(answers: pa.StringArray) -> np.ndarray:
    """Answers whose markup may be broken."""
    marked = np.flatnonzero(pc.match_substring_regex(answers, r"[`<$|{}\\]").to_numpy(zero_copy_only=False))
    texts = answers.take(pa.array(marked))
    suspect = pc.match_substring_regex(texts, READ).to_numpy(zero_copy_only=False)
    suspect = suspect | (_number(texts, "$") % 2 == 1)
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        suspect |= _number(texts, opening) != _number(texts, closing)
    sides = [
        pc.count_substring_regex(texts, rf"\\{side}(?:[^a-z]|$)").to_numpy(zero_copy_only=False)
        for side in ("left", "right")
    ]
    braces = pc.match_substring_regex(texts, COMMAND).to_numpy(zero_copy_only=False)
    suspect |= (sides[0] != sides[1]) | (braces & (_number(texts, "{") != _number(texts, "}")))
    return marked[suspect]
