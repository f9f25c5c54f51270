"""What curating the paper's pool takes on one H100, by rates measured in tests/benchmarks/bench_curation_gpu.py."""

from dataclasses import dataclass

from pipelines.scale_limits import CATEGORIES

# H100 80GB HBM3, 16 cores, torch 2.11.
# The whole step on JPEGs of 640 x 480 with a question each, read, decoded, encoded, written, on an H100 with 16 cores;
# SSCD's geometry alone takes 7,700 pictures a second behind the same decoder, MPNet-base's 17,600 questions.
SAMPLES_PER_SECOND = 2_990
GATE_FLOPS = 420e12  # of the products, vectors streamed from files; the kernel alone: 703e12
KMEANS_FLOPS = 377e12
# Given: the widths of SSCD and all-mpnet-base-v2, and a K-means per category.
IMAGE_WIDTH, TEXT_WIDTH = 512, 768
CLUSTERS, ITERATIONS = 10_000, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationHours:
    """Hours on one GPU for `samples` samples with an image and a question each, in nine categories of equal size."""

    samples: int
    embedding: float
    gate: float
    kmeans: float

    def rows(self) -> dict[str, float]:
        """Hours by task, in the graph's order."""
        return {
            "images and questions to vectors": self.embedding,
            "similarity gate, Eq. 1": self.gate,
            f"K-means, {CLUSTERS:,} clusters, {ITERATIONS} rounds": self.kmeans,
        }

    @property
    def total(self) -> float:
        """One after the other."""
        return self.embedding + self.gate + self.kmeans


def curation_hours(samples: int) -> CurationHours:
    """The hours of a pool.

    The gate compares each source with what its category holds already: all pairs of a category, once.
    """
    each = samples / CATEGORIES
    pairs = CATEGORIES * each**2 / 2
    return CurationHours(
        samples=samples,
        embedding=samples / SAMPLES_PER_SECOND / 3600,
        gate=pairs * 2 * (IMAGE_WIDTH + TEXT_WIDTH) / GATE_FLOPS / 3600,
        kmeans=samples * CLUSTERS * 2 * IMAGE_WIDTH * ITERATIONS / KMEANS_FLOPS / 3600,
    )
