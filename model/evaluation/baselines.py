"""What a model must beat: the most frequent training answer."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from data.schema import Sample
from model.evaluation.questions import Question, answered_pairs
from model.evaluation.scorers import normalised


class MajorityBaseline:
    """The most frequent training answer of a question's (source, task), of its source when the task is new."""

    def __init__(self) -> None:
        self._by_task: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._by_source: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def learn(self, samples: Iterable[Sample]) -> "MajorityBaseline":
        """Count the answers of training samples; held-out samples must never come here."""
        for sample in samples:
            for _, answer, task in answered_pairs(sample):
                self._by_task[sample.source, task][normalised(answer)] += 1
                self._by_source[sample.source][normalised(answer)] += 1
        return self

    def answer(self, question: Question) -> str:
        """The answer this baseline gives; empty for a source that training doesn't know."""
        counts = self._by_task.get((question.source, question.task)) or self._by_source.get(question.source)
        # On a tie the alphabet decides: row order must not.
        return min(counts, key=lambda answer: (-counts[answer], answer)) if counts else ""
