"""Questions that can't be about the sample's images, as far as their words tell."""

import re

from data.curation.talk import Talk

IMAGE_WORDS = "image|picture|photo|photograph|figure|chart|graph|diagram|screenshot|map"
IMAGE_TALK = re.compile(
    rf"\b(?:(?:in|on|of|from|to) (?:the|this|that) (?:{IMAGE_WORDS})|(?:{IMAGE_WORDS}) (?:above|below|shown?|shows)"
    rf"|(?:this|(?:the|a) (?:given|attached|provided|following)) (?:{IMAGE_WORDS})"
    rf"|(?:describe|look at|summari[sz]e|does|was) (?:the|this) (?:{IMAGE_WORDS})"
    r"|shown (?:above|below|here)|(?:read|transcribe) the (?:text|sign|label))\b",
    re.I,
)
NTH_IMAGE = re.compile(r"\b(second|third|fourth) (?:image|picture|photo)\b|\b(?:image|picture) ([2-9])\b", re.I)
ORDINALS = {"second": 2, "third": 3, "fourth": 4}


def refers_beyond(question: str, images: int) -> str:
    """Why the question can't be about this sample's images; "" when it can."""
    if images == 0:
        talk = IMAGE_TALK.search(question)
        return f"asks about {talk.group(0)!r}, the sample has no image" if talk else ""
    nth = NTH_IMAGE.search(question)
    if nth is None:
        return ""
    number = ORDINALS[nth.group(1).lower()] if nth.group(1) else int(nth.group(2))
    return f"asks about {nth.group(0)!r}, the sample has {images} image(s)" if number > images else ""


def questions_beyond(talk: Talk) -> list[str]:
    """What each question asks about that the sample doesn't have."""
    return [found for question, _ in talk.pairs() if (found := refers_beyond(question, talk.images))]
