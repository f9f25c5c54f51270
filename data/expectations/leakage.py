"""The held-out leak check: no held-out item, and no image of one, may stand in training."""

from collections import Counter
from typing import Any

from data.schema import Sample, plain_text


def answered_pairs(sample: Sample) -> list[tuple[str, str]]:
    """(question, answer) pairs, compared without case and surrounding or repeated white space."""
    turns = [turn for turn in sample.conversations if turn.role != "system"]
    return [
        (plain_text(question.content).casefold(), plain_text(answer.content).casefold())
        for question, answer in zip(turns[::2], turns[1::2], strict=False)
    ]


class LeakCheck:
    """Collects the held-out set, then tells for each training sample what it shares with it.

    Images are compared by the hash of their decoded pixels, so that a re-encoded copy is found too. Samples
    without an image are compared by (question, answer); ids by equality.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._images: set[str] = set()
        self._pairs: set[tuple[str, str]] = set()
        self._compared = 0
        self._matches: Counter[str] = Counter()
        self._by_source: Counter[str] = Counter()

    def hold_out(self, sample: Sample, hashes: tuple[str, ...]) -> None:
        """Add a held-out sample with its images' pixel hashes."""
        self._ids.add(sample.sample_id)
        self._images.update(hashes)
        if not sample.images:
            self._pairs.update(answered_pairs(sample))

    def match(self, sample: Sample, hashes: tuple[str, ...]) -> str | None:
        """What a training sample shares with the held-out set, or None; every call is counted."""
        self._compared += 1
        found = self._find(sample, hashes)
        if found is not None:
            self._matches[found.split(":")[0]] += 1
            self._by_source[sample.source] += 1
        return found

    def _find(self, sample: Sample, hashes: tuple[str, ...]) -> str | None:
        if sample.sample_id in self._ids:
            return f"sample id: {sample.sample_id}"
        for image_hash in hashes:
            if image_hash in self._images:
                return f"image: pixels {image_hash[:16]}"
        if not sample.images:
            for question, answer in answered_pairs(sample):
                if (question, answer) in self._pairs:
                    return f"question and answer: {question[:60]!r}"
        return None

    def report(self) -> dict[str, Any]:
        """The figures of the check: what was compared, found and dropped."""
        found = sum(self._matches.values())
        return {
            "training_rows_compared": self._compared,
            "heldout_rows": len(self._ids),
            "heldout_images": len(self._images),
            "heldout_imageless_pairs": len(self._pairs),
            "matches_found": found,
            "matches_dropped": found,
            "matches_by_kind": dict(sorted(self._matches.items())),
            "matches_by_source": dict(sorted(self._by_source.items())),
        }
