"""What a task shows the network: lmms-eval's messages as our conversation, and that as a prompt of training's form."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import AerieError
from data.schema import IMAGE_PLACEHOLDER
from model.checkpoint import Checkpoint
from model.hf.messages import Conversation, read_messages
from model.inputs.batch import EncodedSample
from model.inputs.conversation import encode_conversation

Part = Mapping[str, Any]


def read_chat(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Messages of `lmms_eval.protocol.ChatMessages.to_hf_messages`: a role and a list of text and image parts each.

    AerieError: a part of another kind (video, audio), an image that can't be read, an unknown role.
    """
    return read_messages([{**message, "content": placed(message["content"])} for message in messages])


def read_simple(text: str, visuals: Sequence[Any] | None) -> Conversation:
    """The simple interface's one question: its text and its visuals (pictures or their paths), which come first."""
    parts = [{"type": "image", "image": visual} for visual in visuals or []]
    return read_chat([{"role": "user", "content": [*parts, {"type": "text", "text": text}]}])


def placed(parts: Sequence[Part]) -> list[Part]:
    """A turn's parts, each image where it belongs, and no placeholder left in a text.

    Tasks that come from LLaVA's data write `<image>` in the text as well. As many as the turn has images: they say
    where the images stand. Another number says nothing: they are dropped, as lmms-eval's own models do.
    """
    images = [part for part in parts if part.get("type") == "image"]
    texts = [part for part in parts if part.get("type") == "text"]
    marks = sum(part["text"].count(IMAGE_PLACEHOLDER) for part in texts)
    if not marks:
        return list(parts)
    if marks != len(images) or len(images) + len(texts) != len(parts):
        return [_without_marks(part) for part in parts]
    following = iter(images)
    result: list[Part] = []
    for part in texts:
        before, *rest = part["text"].split(IMAGE_PLACEHOLDER)
        result.append({"type": "text", "text": before})
        for piece in rest:
            result += [next(following), {"type": "text", "text": piece}]
    return result


def _without_marks(part: Part) -> Part:
    if part.get("type") != "text":
        return part
    return {**part, "text": part["text"].replace(IMAGE_PLACEHOLDER, "")}


def encode_chat(conversation: Conversation, checkpoint: Checkpoint) -> EncodedSample:
    """The conversation up to the opening of its next answer; a system turn replaces the recipe's system prompt.

    AerieError: it doesn't end with a question, roles don't alternate, an image that can't be decoded.
    """
    if not conversation.turns or conversation.turns[-1].role != "user":
        raise AerieError("the messages don't end with a user turn, so there is nothing to answer")
    settings = checkpoint.model.settings
    if conversation.system is not None:
        settings = settings.model_copy(update={"system_prompt": conversation.system})
    return encode_conversation(conversation.turns, conversation.images, checkpoint.tokenizer, settings)
