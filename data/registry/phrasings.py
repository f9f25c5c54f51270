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
ALL_LABELS = (
    "What can be seen in the image? List everything that applies.",
    "Which labels fit the image?",
    "List what the image shows.",
)
HAS_LABEL = (
    "Does the image show {label}?",
    "Can {label} be seen in the image?",
    "Is {label} in the picture?",
)
GROUND = (
    "Where is {label} in the image? Give all bounding boxes.",
    "Locate {label} by bounding boxes.",
    "Give the bounding box of every {label} in the picture.",
)
COUNT = (
    "How many objects labelled {label} are there?",
    "Count the objects of the kind {label}.",
    "What is the number of {label} objects in the image?",
)
REGION = (
    "What is in the region {box}?",
    "Which object does {box} enclose?",
    "Name the object in {box}.",
)
POINT = (
    "Where is the {name}? Give its point.",
    "Point at the {name}.",
    "Give the coordinates of the {name}.",
)
HIGHEST = (
    "Which {row} has the highest {column}?",
    "For which {row} is {column} the largest?",
    "Which {row} leads in {column}?",
)
LOWEST = (
    "Which {row} has the lowest {column}?",
    "For which {row} is {column} the smallest?",
    "Which {row} comes last by {column}?",
)
LOOK_UP = (
    "What is the {column} of {label}?",
    "Which {column} is given for {label}?",
    "Read off the {column} for {label}.",
)
DIFFERENCE = (
    "What is the difference in {column} between {label} and {other}?",
    "By how much do {label} and {other} differ in {column}?",
    "How far apart are {label} and {other} in {column}?",
)
TOTAL = (
    "What is the sum of {column} over all rows?",
    "Add up {column} over the whole table.",
    "What is the total of {column}?",
)
READ = (
    "Read the text in the image.",
    "What is written in the image?",
    "Transcribe the image.",
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
