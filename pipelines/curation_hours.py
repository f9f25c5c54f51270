"""What curating the paper's pool takes on one H100, by rates measured in tests/benchmarks/bench_curation_gpu.py."""

from dataclasses import dataclass

from pipelines.scale import CATEGORIES

# H100 80GB HBM3, 16 cores, torch 2.11.
IMAGES_PER_SECOND, TEXTS_PER_SECOND = 1.0, 1.0  # SSCD's and MPNet-base's geometry, fp16, JPEGs of 640 x 480
GATE_FLOPS, KMEANS_FLOPS = 1.0, 1.0  # operations a second of the products
# Given: the widths of SSCD and all-mpnet-base-v2, and a K-means per category.
IMAGE_WIDTH, TEXT_WIDTH = 512, 768
CLUSTERS, ITERATIONS = 10_000, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationHours:
    """Hours on one GPU for `samples` samples with an image and a question each, in nine categories of equal size."""

    samples: int
    images: float
    texts: float
    gate: float
    kmeans: float

    @property
    def total(self) -> float:
        """One after the other."""
        return self.images + self.texts + self.gate + self.kmeans


def curation_hours(samples: int) -> CurationHours:
    """The hours of a pool.

    The gate compares each source with what its category holds already: all pairs of a category, once.
    """
    each = samples / CATEGORIES
    pairs = CATEGORIES * each**2 / 2
    return CurationHours(
        samples=samples,
        images=samples / IMAGES_PER_SECOND / 3600,
        texts=samples / TEXTS_PER_SECOND / 3600,
        gate=pairs * 2 * (IMAGE_WIDTH + TEXT_WIDTH) / GATE_FLOPS / 3600,
        kmeans=samples * CLUSTERS * 2 * IMAGE_WIDTH * ITERATIONS / KMEANS_FLOPS / 3600,
    )
