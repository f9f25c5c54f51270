"""What one kind of rewriting did: counts that add up, and examples."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from data.curation.rewriting.prompts import Pair
from data.schema import Sample

EXAMPLES, REJECTED_PER_REASON, SNIPPET_CHARS = 5, 2, 600
NO_ENDPOINT = "skipped: no endpoint configured"


@dataclass(slots=True, kw_only=True)
class RewriteReport:
    """chosen = accepted + rejected + skipped, when an endpoint was there to ask.

    fitting: pairs with a known short answer of a family that can be rewritten; chosen: those in the recipe's share.
    rejected: answers that failed the check, by reason; skipped: pairs that got no answer, by reason.
    """

    asked: bool
    fitting: int = 0
    chosen: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)
    rejected_examples: list[dict[str, str]] = field(default_factory=list)

    def accept(self, sample: Sample, pair: Pair, text: str) -> None:
        """A pair that was rewritten."""
        self.accepted += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(_example(sample, pair, text))

    def reject(self, reason: str, sample: Sample, pair: Pair, text: str) -> None:
        """An answer that failed the check."""
        if self.rejected[reason] < REJECTED_PER_REASON:
            self.rejected_examples.append({"reason": reason, **_example(sample, pair, text)})
        self.rejected[reason] += 1

    def not_answered(self, skipped: str, refused: str) -> None:
        """A pair without an answer: left out for a reason, or refused by the endpoint."""
        self.skipped[skipped or f"refused with {refused.partition(':')[0]}"] += 1

    def document(self) -> dict[str, Any]:
        """JSON, counts in name order."""
        return {
            "status": "done" if self.asked else NO_ENDPOINT,
            "fitting": self.fitting,
            "chosen": self.chosen,
            "accepted": self.accepted,
            "rejected": dict(sorted(self.rejected.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "examples": self.examples,
            "rejected_examples": self.rejected_examples,
        }


def _example(sample: Sample, pair: Pair, text: str) -> dict[str, str]:
    return {
        "sample_id": sample.sample_id,
        "source": sample.source,
        "question": snippet(pair.question),
        "before": snippet(pair.answer),
        "after": snippet(text),
    }


def snippet(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"
