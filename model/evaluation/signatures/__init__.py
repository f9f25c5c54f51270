"""Failure signatures: what outputs have in common when they are wrong, and which training answers taught it.

`signatures` looks at predictions, `traced` at training samples with the same functions, `regressions` and `suspects`
at what changed between two checkpoints.
"""

from model.evaluation.signatures.finding import SIGNATURES, Example, Signature, signatures
from model.evaluation.signatures.regressions import Regression, Suspect, regressions, suspects
from model.evaluation.signatures.tracing import SourcePattern, TrainingExample, traced

__all__ = [
    "SIGNATURES",
    "Example",
    "Regression",
    "Signature",
    "SourcePattern",
    "Suspect",
    "TrainingExample",
    "regressions",
    "signatures",
    "suspects",
    "traced",
]
