"""Biases of many answers together: one option, one word or one text said more often than the references say it.

Every test is exact and one-sided, and corrected for the number of candidates that were looked at (Bonferroni). Two
null hypotheses must fall, so that neither a lopsided set nor plain error looks like a bias; the larger p-value counts:
1. marginal: the model names X as often as the references do. Among the pairs where only one of both names X, either is
   as likely (McNemar's exact test).
2. errors: a wrong answer falls on X as often as on any other wrong option (binomial; for yes and no, where a wrong
   answer has no choice, Fisher's exact test of the two error rates).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, fisher_exact

ALPHA = 0.01
LEAST_EXCESS = 0.05  # of all answers: what is significant in a large set may still be too little to matter


@dataclass(frozen=True, slots=True)
class Paired:
    """One answered question: what the model said, what is right, and out of how many options (0: any text)."""

    said: str
    right: str
    options: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """What one set of answers favours most.

    `said` and `right` count outputs and references that are `favoured`, `wrong` the outputs that are it wrongly, all
    out of `asked`. `pvalue` is corrected for the candidates. `found` asks for significance and a share that matters.
    """

    favoured: str
    said: int
    right: int
    wrong: int
    asked: int
    pvalue: float

    @property
    def excess(self) -> float:
        """How much more often it is said than right, as a share of all answers."""
        return (self.said - self.right) / self.asked if self.asked else 0.0

    @property
    def found(self) -> bool:
        """Whether this is a bias and not chance."""
        return self.pvalue < ALPHA and self.excess >= LEAST_EXCESS

    def corrected(self, tests: int) -> "Bias":
        """The same after so many sets were tested."""
        values = {name: getattr(self, name) for name in ("favoured", "said", "right", "wrong", "asked")}
        return Bias(**values, pvalue=min(1.0, self.pvalue * tests))


def marginal_pvalue(pairs: Sequence[Paired], favoured: str) -> float:
    """Test 1: the probability of so many outputs `favoured` where the reference isn't, were both equally likely."""
    gained = sum(pair.said == favoured != pair.right for pair in pairs)
    lost = sum(pair.right == favoured != pair.said for pair in pairs)
    return float(binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue) if gained + lost else 1.0


def option_errors_pvalue(pairs: Sequence[Paired], favoured: str) -> float:
    """Test 2 for three options and more: wrong answers that are `favoured`, were each wrong option as likely.

    Questions with different numbers of options have different chances; the binomial of their mean is conservative
    above it (Hoeffding 1956).
    """
    wrong = [pair for pair in pairs if pair.said != pair.right and pair.right != favoured and pair.options > 1]
    if not wrong:
        return 1.0
    chance = sum(1 / (pair.options - 1) for pair in wrong) / len(wrong)
    hits = sum(pair.said == favoured for pair in wrong)
    return float(binomtest(hits, len(wrong), min(1.0, chance), alternative="greater").pvalue)


def two_errors_pvalue(pairs: Sequence[Paired], favoured: str) -> float:
    """Test 2 for two options: whether errors towards `favoured` are likelier than errors away from it (Fisher)."""
    towards = Counter(pair.said == favoured for pair in pairs if pair.right != favoured)
    away = Counter(pair.said != favoured for pair in pairs if pair.right == favoured)
    if not towards.total() or not away.total():
        return 1.0  # with one right answer alone nobody can tell a bias from knowledge or error
    table = [[towards[True], towards[False]], [away[True], away[False]]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def option_bias(pairs: Sequence[Paired]) -> Bias | None:
    """The letter that is favoured most; None without answers. Questions of two options count as yes/no ones do."""
    letters = sorted({pair.said for pair in pairs} | {pair.right for pair in pairs})
    two = max((pair.options for pair in pairs), default=0) == 2
    errors = two_errors_pvalue if two else option_errors_pvalue
    return _most_favoured(pairs, {letter: errors(pairs, letter) for letter in letters})


def yes_no_bias(pairs: Sequence[Paired]) -> Bias | None:
    """Which of yes and no is favoured; None without answers."""
    return _most_favoured(pairs, {word: two_errors_pvalue(pairs, word) for word in ("yes", "no")})


def constant_bias(pairs: Sequence[Paired]) -> Bias | None:
    """The text that is favoured most among free answers; None without answers. Only the marginal test applies."""
    return _most_favoured(pairs, dict.fromkeys(sorted({pair.said for pair in pairs}), 0.0))


def _most_favoured(pairs: Sequence[Paired], errors: dict[str, float]) -> Bias | None:
    """The candidate of the smallest p-value; of several the one that is most in excess, then the first by name."""
    said, right = Counter(pair.said for pair in pairs), Counter(pair.right for pair in pairs)
    # One that is said once is no candidate for a habit, but still one of those that were looked at.
    likely = [word for word in errors if said[word] > max(1, right[word])]
    pvalues = {word: max(errors[word], marginal_pvalue(pairs, word)) for word in likely}
    if not pairs:
        return None
    if not pvalues:
        word = max(said, key=lambda word: (said[word] - right[word], word))
        pvalues = {word: 1.0}
    best = min(pvalues, key=lambda word: (pvalues[word], right[word] - said[word], word))
    return Bias(
        favoured=best,
        said=said[best],
        right=right[best],
        wrong=sum(pair.said == best != pair.right for pair in pairs),
        asked=len(pairs),
        pvalue=min(1.0, pvalues[best] * max(1, len(errors))),
    )
