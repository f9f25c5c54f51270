"""What the tasks beside this file call; lmms-eval loads it."""


def visuals(doc):
    return doc["images"]


def interleaved(doc):
    """A system turn, an answered question, then a question with the pictures between its words."""
    text = {"role": "user", "content": [{"type": "text", "text": "which colour?"}]}
    shown = [part for image in doc["images"] for part in ({"type": "image", "url": image}, words("is this?"))]
    return [
        {"role": "system", "content": [words("system user")]},
        text,
        {"role": "assistant", "content": [words("red")]},
        {"role": "user", "content": [words(doc["question"]), *shown]},
    ]


def words(text):
    return {"type": "text", "text": text}
