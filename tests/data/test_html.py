"""Sample text stays text, pictures stay crisp, the page loads nothing and runs nothing."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from data.reporting.html import (
    Badge,
    Chart,
    Details,
    Gallery,
    KeyValues,
    Links,
    Mosaic,
    MosaicRow,
    Page,
    Pairs,
    Picture,
    Section,
    Stats,
    Table,
    Text,
    render_page,
)
from data.reporting.pictures import embedded
from data.reporting.svg import Line, LineChart
from data.reporting.text import slug, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</style></svg><!--",
    "a\x00b\x1bc",
    "abc\u202egnp.exe",
    "\ud800 lone surrogate",
]


HARMLESS = "nothing-of-note"  # a word that the style sheet lacks


def png(width=8, height=8, colour=(200, 30, 30)):
    sink = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(sink, format="PNG")
    return sink.getvalue()


class Elements(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text += data


def every_block(text):
    """A page with `text` wherever text can stand."""
    line = LineChart(title=text, x_label=text, y_label=text, lines=(Line(name=text, points=((0, 1), (1, 2))),) * 2)
    picture = Picture(png(), text, Badge(text))
    blocks = (
        Text(text),
        Stats(((text, text, text),)),
        KeyValues(((text, text), (text, Badge(text, "good")))),
        Table(headers=(text, text), rows=((text, Badge(text)),), caption=text),
        Table(headers=(text,), rows=(), empty=text),
        Gallery(items=(picture, (png(), text)), caption=text),
        Pairs(items=((text, picture, picture),), caption=text),
        Mosaic(rows=(MosaicRow(text, text, (png(),)),), caption=text),
        Chart(figures=(line,), caption=text),
        Links(groups=((text, ((text, "../gate/report.json"),)),)),
        Details(summary=text, blocks=(Text(text),)),
    )
    return Page(title=text, subtitle=text, sections=(Section(title=text, blocks=blocks),), footer=text)


def rendered(page):
    return render_page(page).decode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_every_block(text):
    page = rendered(every_block(text))
    elements = Elements(page)
    harmless = Elements(rendered(every_block(HARMLESS)))
    assert elements.tags == harmless.tags
    assert [(tag, name) for tag, name, _ in elements.attributes] == [
        (tag, name) for tag, name, _ in harmless.attributes
    ]
    assert elements.text.count(visible(text)) == harmless.text.count(HARMLESS)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)


def test_nothing_runs_and_nothing_is_loaded():
    page = rendered(every_block(HARMLESS))
    elements = Elements(page)
    assert page.startswith("<!DOCTYPE html>")
    assert "script" not in elements.tags
    assert not [name for _, name, _ in elements.attributes if name.startswith("on") or name == "style"]
    addresses = [value for _, name, value in elements.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:", "#", "../")) for value in addresses)
    assert "http://" not in page
    assert "https://" not in page


def test_the_policy_allows_the_one_style_sheet():
    page = rendered(every_block(HARMLESS))
    policy = next(value for tag, name, value in Elements(page).attributes if tag == "meta" and "default-src" in value)
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_equal_pages_give_equal_bytes_and_ids_are_unique():
    page = every_block(HARMLESS)
    page = Page(title="t", subtitle="s", sections=(*page.sections, *page.sections))
    assert render_page(page) == render_page(page)
    ids = [value for _, name, value in Elements(rendered(page)).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for tag, name, value in Elements(rendered(page)).attributes if tag == "a" and value[0] == "#"]
    assert {link[1:] for link in links} <= set(ids)


def test_columns_of_numbers_are_aligned_right():
    rows = (("a", "1,234", "0.5", "–"), ("b", "", "12 %", "1.5e-3"), ("c", "7", "x", "2"))
    assert Table(headers=("A", "B", "C", "D"), rows=rows).numeric == (False, True, False, True)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="do not have 2 cells"):
        Table(headers=("A", "B"), rows=(("a",),))


@pytest.mark.parametrize("address", ["https://a.example", "javascript:alert(1)", "//a.example/x", " data:text/html,x"])
def test_links_leave_the_page_only_to_its_neighbours(address):
    with pytest.raises(ValueError, match="not a relative address"):
        Links(groups=(("g", (("l", address),)),))


def test_small_pictures_grow_by_whole_numbers_and_stay_crisp():
    found = embedded(png(8, 4), 176)
    assert (found.width, found.height, found.crisp) == (176, 88, True)
    assert base64.b64decode(found.uri.split(",")[1]) == png(8, 4)
    assert embedded(png(64, 64), 176).width == 128


def test_large_pictures_shrink():
    found = embedded(png(1000, 500), 176)
    assert (found.width, found.height, found.crisp) == (176, 88, False)
    assert Image.open(io.BytesIO(base64.b64decode(found.uri.split(",")[1]))).size == (352, 176)


def test_another_format_is_embedded_as_png():
    sink = io.BytesIO()
    Image.new("RGB", (5, 5)).save(sink, format="BMP")
    assert embedded(sink.getvalue(), 50).uri.startswith("data:image/png;base64,iVBOR")


def test_bytes_that_are_no_picture_leave_a_note():
    page = rendered(
        Page(title="t", subtitle="", sections=(Section(title="s", blocks=(Gallery(items=((b"x", "c"),)),)),))
    )
    assert "not a readable picture" in page
    assert "<img" not in page


def test_hidden_characters_show():
    assert visible("a\x00b\u202ec\r\nd\te\x7f") == "a␀b⟨U+202E⟩c\nd\te␡"


def test_titles_make_ids():
    assert [slug(title) for title in ("Similarity gate", "Été 2.5!", "日本")] == [
        "similarity-gate",
        "ete-2-5",
        "section",
    ]
