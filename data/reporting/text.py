"""Text of unknown origin made safe to look at: nothing hidden, nothing reordered."""

import re
import unicodedata
from typing import Any

# Bidirectional controls reorder what stands around them; shown as codes they can't.
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = re.compile(f"[{_BIDI}\u200b\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_C1_OR_SURROGATE = re.compile("[\x80-\x9f\ud800-\udfff\ufffe\uffff]")


def visible(text: str) -> str:
    """Text with control and bidirectional characters replaced by visible signs; tabs and line feeds stay.

    >>> visible("a\\x00b\\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    text = text.replace("\r\n", "\n")
    text = _CONTROL.sub(lambda match: "␡" if match[0] == "\x7f" else chr(0x2400 + ord(match[0])), text)
    text = _INVISIBLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)
    return _C1_OR_SURROGATE.sub("\ufffd", text)


def finalize(value: Any) -> Any:
    """Jinja's hook before escaping: every text that a template prints passes here; finished markup stays."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value)


def slug(title: str) -> str:
    """An HTML id from a title.

    >>> slug("Loss curves: stage 1.5")
    'loss-curves-stage-1-5'
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"
