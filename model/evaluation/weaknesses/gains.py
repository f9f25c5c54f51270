"""What a category of data is worth to the average that the paper reports."""

from collections.abc import Mapping

# The thirteen benchmarks of the paper's average, each with the categories of data that serve it. The pairing is our own
# reading of what each benchmark asks; a run with other goals passes another table.
CATEGORIES_OF_BENCHMARK: dict[str, tuple[str, ...]] = {
    "docvqa": ("ocr_qa", "naive_ocr"),
    "chartqa": ("chart_table",),
    "infovqa": ("ocr_qa", "chart_table"),
    "textvqa": ("ocr_qa", "naive_ocr"),
    "ocrbench": ("naive_ocr", "ocr_qa"),
    "mmstar": ("general_vqa", "science", "mathematics"),
    "realworldqa": ("general_vqa", "grounding_counting"),
    "ai2d": ("science",),
    "mmmu": ("science", "mathematics"),
    "mmbench-v11": ("general_vqa", "captioning_knowledge"),
    "mmvet": ("general_vqa", "captioning_knowledge", "text_only"),
    "hallusionbench": ("general_vqa", "chart_table"),
    "mathvista": ("mathematics", "chart_table"),
}


def category_weights(categories_of: Mapping[str, tuple[str, ...]] = CATEGORIES_OF_BENCHMARK) -> dict[str, float]:
    """The share of the plain mean over all benchmarks that hangs on each category; the shares sum to 1.

    A benchmark's own share is divided evenly among the categories that serve it.
    """
    weights: dict[str, float] = {}
    for categories in categories_of.values():
        for category in categories:
            weights[category] = weights.get(category, 0.0) + 1 / len(categories) / len(categories_of)
    return weights
