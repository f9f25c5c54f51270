"""The data steps, one path-in/path-out function each: what KFP components, DVC stages, tests and notebooks call."""

from data.curation.augmentation import augment_samples
from data.curation.embedding import embed_samples
from data.curation.filtering import filter_samples
from data.curation.formatting import format_samples
from data.curation.gate import gate_sources
from data.curation.selection import select_samples
from data.expectations.validation import enforce_validation, validate_samples
from data.registry.sourcing import source_samples

__all__ = [
    "augment_samples",
    "embed_samples",
    "enforce_validation",
    "filter_samples",
    "format_samples",
    "gate_sources",
    "select_samples",
    "source_samples",
    "validate_samples",
]
