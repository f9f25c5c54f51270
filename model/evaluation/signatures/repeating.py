"""Outputs that loop: the measures and the thresholds of the data filters (paper, Figure 5: repeated text)."""

from data.curation.rules_repetition import loop_share, repeated_lines, repeated_ngrams
from data.settings.filtering import FilterSettings
from model.evaluation.signatures.reply import Reply

LIMITS = FilterSettings()


def repetition_mark(text: str) -> str:
    """`loop`, `lines` or `n-grams` for a text that the filters would drop as repetitive; "" for others."""
    if loop_share(text) > LIMITS.max_loop_share:
        return "loop"
    if repeated_lines(text) > LIMITS.max_repeated_line_ratio:
        return "lines"
    return "n-grams" if repeated_ngrams(text) > LIMITS.max_repeated_ngram_ratio else ""


def pattern(reply: Reply) -> str:
    """`repetition_mark` of the answer."""
    return repetition_mark(reply.text)


def misplaced(reply: Reply) -> bool:
    """Whether no reference repeats itself: what an image prints again and again is read so."""
    return not any(map(repetition_mark, reply.references))
