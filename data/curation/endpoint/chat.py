"""One request to `/chat/completions` and its answer."""

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image

from data.schema import ImageRef
from data.settings.endpoint import EndpointSettings

BYTES_PER_TOKEN = 3  # English has about 4: a guess before the answer should not be too low
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
THOUGHT = re.compile(r"\A\s*<think>.*?</think>\s*", re.S)  # how reasoning models show what is no part of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What to ask. `version` names the wording, so that a new one is never answered from an old one's cache."""

    system: str
    text: str
    images: tuple[ImageRef, ...] = ()
    version: str = ""

    def tokens(self, settings: EndpointSettings) -> int:
        """A guess of the prompt's tokens, rather too high."""
        written = len((self.system + self.text).encode()) // BYTES_PER_TOKEN + 1
        return written + settings.tokens_per_image * len(self.images)

    def key(self, settings: EndpointSettings) -> str:
        """SHA-256 of all that decides the answer; images by the hash of their bytes, the address left out."""
        document = self._document(settings, [{"image": image.content_hash()} for image in self.images])
        return hashlib.sha256(json.dumps([self.version, document], sort_keys=True).encode()).hexdigest()

    def body(self, settings: EndpointSettings) -> bytes:
        """The request's JSON, images as data: URLs."""
        images = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in self.images]
        return json.dumps(self._document(settings, images)).encode()

    def _document(self, settings: EndpointSettings, images: list[dict[str, Any]]) -> dict[str, Any]:
        content = [*images, {"type": "text", "text": self.text}] if images else self.text
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {
            **settings.extra,
            "model": settings.model,
            "messages": [*system, {"role": "user", "content": content}],
            "temperature": settings.temperature,
            settings.max_tokens_field: settings.max_tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `estimated` is True when the endpoint didn't say how many tokens it used."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    host: str
    model: str


def data_url(image: ImageRef) -> str:
    """An image as a data: URL; its type is read from the file, for names lie."""
    payload = image.bytes or b""
    try:
        with Image.open(io.BytesIO(payload)) as opened:
            kind = opened.get_format_mimetype() or "application/octet-stream"
    except Exception:  # PIL raises many kinds on broken files; what the endpoint makes of them is counted there
        kind = "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(payload).decode()}"


def read_answer(document: Any, asked: int, settings: EndpointSettings) -> Answer | None:
    """The first choice of a response, or None when it has none. `asked`: the guessed tokens of the prompt."""
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    message = choices[0].get("message")
    if not isinstance(message, dict):
        return None
    content = message.get("content") or message.get("refusal") or ""
    text = THOUGHT.sub("", content) if isinstance(content, str) else ""
    text = LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)  # JSON can say what UTF-8 can't
    refused = bool(message.get("refusal"))
    usage = _usage(document.get("usage"))
    prompt, completion = usage or (asked, len(str(content).encode()) // BYTES_PER_TOKEN + 1)
    return Answer(
        text=text.strip(),
        finish_reason="refusal" if refused else str(choices[0].get("finish_reason") or ""),
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated=usage is None,
        host=settings.host,
        model=settings.model,
    )


def _usage(document: Any) -> tuple[int, int] | None:
    """(prompt, completion) tokens as the endpoint counts them."""
    if not isinstance(document, dict):
        return None
    prompt, completion = document.get("prompt_tokens"), document.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int or prompt < 0 or completion < 0:
        return None
    return prompt, completion
