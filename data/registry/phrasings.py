"""Questions for data that came without: several wordings of each, one of them chosen by seeded hash."""

from data.registry.rows import seeded_rank

CAPTION = (
    "Describe the image.",
    "What does the image show?",
    "Write a caption for this image.",
    "What can be seen in the picture?",
    "Give a description of the image.",
)
LABEL = (
    "What is shown in the image?",
    "What is the main subject of the image?",
    "Which class does the image belong to?",
    "What is in the picture?",
)
LABEL_OF_KIND = (
    "What {kind} is shown in the image?",
    "Which {kind} is this?",
    "Name the {kind} in the picture.",
)
TRANSCRIBE = (
    "Read all the text on this page.",
    "What is written on the page?",
    "Transcribe the page.",
    "Write down the text of this page.",
)


def pick(wordings: tuple[str, ...], seed: int, *key: object) -> str:
    """One of the wordings, by seed and key alone: independent of what was drawn before."""
    return wordings[seeded_rank(seed, "wording", *key) % len(wordings)]


def label_wordings(kind: str | None) -> tuple[str, ...]:
    """Questions for a label, by what labels are where that is known."""
    return LABEL if kind is None else tuple(wording.replace("{kind}", kind) for wording in LABEL_OF_KIND)
