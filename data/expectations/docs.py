"""The validation result as one HTML page that opens without a network."""

import re
from typing import Any

# The classes of Bootstrap 4 that Great Expectations' page relies on, just enough to read it well.
STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1100px;padding:1.5rem}
table{border-collapse:collapse;width:100%;margin:.6rem 0 1.2rem}
td,th{border:1px solid #8885;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
h1,h2,h3,h4,h5{line-height:1.25;margin:1rem 0 .4rem}
.badge{border-radius:.3rem;background:#8883;padding:0 .35rem}
.alert{border:1px solid #8885;border-radius:.3rem;padding:.6rem;margin:.6rem 0}
.collapse:not(.show),.modal,.navbar,.breadcrumb,.cooltip,.popover{display:none}
.text-success{color:#2a8a3e}.text-danger{color:#c0392b}.text-warning{color:#b8860b}
.sticky>.card,footer{display:none}
.fa-check-circle::before{content:"\\2713"}.fa-times::before{content:"\\2717"}
.fa-exclamation-triangle::before{content:"!"}
i[class*="fa-"]{font-style:normal;font-weight:bold}
ul,ol{padding-left:1.2rem}
"""
_ACTIVE = re.compile(r"<script\b.*?</script\s*>|<noscript\b.*?</noscript\s*>", re.DOTALL | re.IGNORECASE)
_LOADED = re.compile(r"<(?:link|img|iframe)\b[^>]*>", re.IGNORECASE)
_IMPORTED = re.compile(r"@import[^;]+;|url\(\s*['\"]?(?:https?:)?//[^)]*\)", re.IGNORECASE)
_HANDLERS = re.compile(r"\son[a-z]+\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_OUTWARD = re.compile(r"<a\b[^>]*href\s*=\s*[\"'][^\"'#][^>]*>(.*?)</a>", re.DOTALL | re.IGNORECASE)
_STAMP = re.compile(r"\d{8}T\d{6}(?:\.\d+)?Z?")
# Great Expectations numbers the page's elements at random; counted ids keep equal results equal.
_RANDOM_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def render_docs(result: Any) -> bytes:
    """UTF-8 HTML of a validation result by GX's own renderer, with scripts and external links taken out."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    return offline(page).encode()


def offline(page: str) -> str:
    """A page without scripts, remote files, event handlers, links to other pages and run times."""
    for pattern in (_ACTIVE, _LOADED, _HANDLERS):
        page = pattern.sub("", page)
    page = _IMPORTED.sub("", page)
    page = _OUTWARD.sub(r"\1", page)
    page = _STAMP.sub("", page)
    numbers: dict[str, str] = {}
    page = _RANDOM_ID.sub(lambda found: numbers.setdefault(found.group(), f"id-{len(numbers)}"), page)
    return page.replace("</head>", f"<style>{STYLE}</style></head>", 1)
