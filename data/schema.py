"""The typed sample that crosses every border, and its Arrow form."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pyarrow as pa

Category = Literal[
    "captioning_knowledge",
    "mathematics",
    "science",
    "chart_table",
    "naive_ocr",
    "ocr_qa",
    "grounding_counting",
    "general_vqa",
    "text_only",
]
CATEGORIES: tuple[str, ...] = get_args(Category)
IMAGE_PLACEHOLDER = "<image>"  # where a turn shows an image

SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field(
            "images",
            pa.list_(
                pa.struct(
                    [
                        ("bytes", pa.binary()),
                        ("path", pa.string()),
                        ("width", pa.int32()),
                        ("height", pa.int32()),
                        ("pixels", pa.string()),
                    ]
                )
            ),
        ),
        pa.field("conversations", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        pa.field("meta", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """One image, readable as a Hugging Face image column.

    `bytes` is the encoded file (PNG, JPEG); `path` is its name in the source; sizes are pixels. `pixels` is the hash
    of the decoded picture (`data.images.pixel_hash`), which the validation step sets: None means not decoded yet.
    """

    bytes: bytes | None
    path: str | None
    width: int
    height: int
    pixels: str | None = None

    def content_hash(self) -> str:
        """SHA-256 of the encoded bytes (of the path when the bytes stay outside)."""
        return hashlib.sha256(self.bytes if self.bytes is not None else (self.path or "").encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message. `role` is `user`, `assistant` or `system`; images are placed by `<image>` in `content`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation about zero or more images.

    `sample_id` is a content hash (see `make_sample`) and never changes while steps rewrite the text.
    `meta` holds JSON values only: provenance, measures, the stages that a sample is selected for.
    """

    sample_id: str
    source: str
    category: str
    images: tuple[ImageRef, ...]
    conversations: tuple[Turn, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """A row of `SAMPLE_SCHEMA`."""
        return {
            "sample_id": self.sample_id,
            "source": self.source,
            "category": self.category,
            "images": [{name: getattr(image, name) for name in ImageRef.__slots__} for image in self.images],
            "conversations": [{"role": t.role, "content": t.content} for t in self.conversations],
            "meta": json.dumps(self.meta, sort_keys=True, ensure_ascii=False),
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Sample":
        """The inverse of `to_row`."""
        return cls(
            sample_id=row["sample_id"],
            source=row["source"],
            category=row["category"],
            images=tuple(ImageRef(**image) for image in row["images"]),
            conversations=tuple(Turn(**turn) for turn in row["conversations"]),
            meta=json.loads(row["meta"]),
        )


def make_sample(
    *, source: str, category: str, images: tuple[ImageRef, ...], conversations: tuple[Turn, ...], meta: dict[str, Any]
) -> Sample:
    """A sample whose id is the hash of its source, its images' bytes and its turns (32 hex digits)."""
    digest = hashlib.sha256(source.encode())
    for image in images:
        digest.update(b"\0image" + image.content_hash().encode())
    for turn in conversations:
        digest.update(b"\0turn" + turn.role.encode() + b"\0" + turn.content.encode())
    return Sample(
        sample_id=digest.hexdigest()[:32],
        source=source,
        category=category,
        images=images,
        conversations=conversations,
        meta=meta,
    )


def samples_to_table(samples: list[Sample]) -> pa.Table:
    """A table of `SAMPLE_SCHEMA`, one row a sample, in order."""
    return pa.Table.from_pylist([sample.to_row() for sample in samples], schema=SAMPLE_SCHEMA)


def table_to_samples(table: pa.Table) -> list[Sample]:
    """The samples of a table; columns beyond `SAMPLE_SCHEMA` are ignored."""
    return [Sample.from_row(row) for row in table.select(SAMPLE_SCHEMA.names).to_pylist()]


def plain_text(content: str) -> str:
    """A turn's text without image placeholders, with single blanks."""
    return " ".join(content.replace(IMAGE_PLACEHOLDER, " ").split())


def first_question(sample: Sample) -> str:
    """What a sample asks first, as plain text; "" without a user turn."""
    return plain_text(next((turn.content for turn in sample.conversations if turn.role == "user"), ""))
