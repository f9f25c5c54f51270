"""Marks that all pictures of the report share."""

from markupsafe import Markup, escape

from data.reporting.text import visible

CHARACTER_WIDTH = 6.3  # of the report's chart font, in units of the view box


def label_at(x: float, y: float, text: str, kind: str) -> Markup:
    """A text element of a CSS class; what it says is made safe to show."""
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, units(x), units(y), escape(visible(text)))


def units(value: float) -> str:
    """A length with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def cut_name(name: str, room: float) -> str:
    """A name that fits into `room` units."""
    fits = max(int(room / CHARACTER_WIDTH), 2)
    return name if len(name) <= fits else name[: fits - 1] + "…"
