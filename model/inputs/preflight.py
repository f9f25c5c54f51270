"""Before training: does the text of a sample hold as many image tokens as its images will give features?"""

from collections.abc import Sequence

from data.images import ImageProblemError, image_size
from data.schema import Sample
from model.config import ModelSettings
from model.inputs.encode import SampleProblemError
from model.inputs.grids import tile_count
from model.inputs.tokens import ChatTokenizer


def file_sizes(sample: Sample) -> list[tuple[int, int]]:
    """(width, height) of each image by its file's header; no pixel is decoded.

    An image whose bytes stay outside the shard counts with the size in its row. `SampleProblemError`: a broken header.
    """
    try:
        return [
            image_size(image.bytes) if image.bytes is not None else (image.width, image.height)
            for image in sample.images
        ]
    except ImageProblemError as error:
        raise SampleProblemError(error.reason, f"sample {sample.sample_id}: {error}") from error


def check_written_tokens(
    sample: Sample,
    ids: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
) -> int:
    """Compare two independent counts for the written text `ids` and the images that it places; returns their tiles.

    One is counted in the ids, which were written from the sizes in the sample's row; the other follows from the sizes
    of the image files (`file_sizes`). `SampleProblemError`: `image_token_mismatch` when they differ (the reference
    trains on such a sample with zero loss), `image_size_mismatch` when only the sizes do: the loader refuses it.
    """
    tiles = sum(tile_count(*size, settings.tiling) for size in sizes)
    written, given = list(ids).count(tokenizer.image_context_id), settings.tokens_per_tile * tiles
    if written != given:
        raise SampleProblemError(
            "image_token_mismatch",
            f"sample {sample.sample_id}: {written} image tokens in its text, {given} from the tiles of its images",
        )
    for image, size in zip(sample.images, sizes, strict=False):
        if size != (image.width, image.height):
            raise SampleProblemError(
                "image_size_mismatch",
                f"sample {sample.sample_id}: image {image.path} has {size} pixels, its row says "
                f"{(image.width, image.height)}",
            )
    return tiles
