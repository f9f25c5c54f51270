"""Before training: does the text of a sample hold as many image tokens as its images will give features?"""

from collections.abc import Sequence

from data.images import ImageProblemError, image_size
from data.schema import ImageRef, Sample
from model.config import ModelSettings
from model.inputs.encode import SampleProblemError
from model.inputs.tiling import tile_count
from model.inputs.tokens import ChatTokenizer


def tiles_given(sample: Sample, settings: ModelSettings) -> list[int]:
    """How many tiles each image will give, by the size in its file's header; no pixel is decoded.

    An image whose bytes stay outside the shard counts with the size in its row. `SampleProblemError`: a broken header.
    """
    try:
        return [tile_count(*_size(image), settings.tiling) for image in sample.images]
    except ImageProblemError as error:
        raise SampleProblemError(error.reason, f"sample {sample.sample_id}: {error}") from error


def check_image_tokens(
    sample: Sample, ids: Sequence[int], tiles: Sequence[int], tokenizer: ChatTokenizer, settings: ModelSettings
) -> None:
    """Compare two independent counts for the written text `ids` and the `tiles` of the images that it places.

    One is counted in the ids, which were written from the sizes in the sample's row; the other follows from the image
    files (`tiles_given`). `SampleProblemError`: `image_token_mismatch` when they differ (the reference trains on such a
    sample with zero loss), `image_size_mismatch` when only the sizes do: the loader refuses such an image.
    """
    written, given = list(ids).count(tokenizer.image_context_id), settings.tokens_per_tile * sum(tiles)
    if written != given:
        raise SampleProblemError(
            "image_token_mismatch",
            f"sample {sample.sample_id}: {written} image tokens in its text, {given} from the tiles of its images",
        )
    for image in sample.images[: len(tiles)]:
        if _size(image) != (image.width, image.height):
            raise SampleProblemError(
                "image_size_mismatch",
                f"sample {sample.sample_id}: image {image.path} has {_size(image)} pixels, its row says "
                f"{(image.width, image.height)}",
            )


def _size(image: ImageRef) -> tuple[int, int]:
    return image_size(image.bytes) if image.bytes is not None else (image.width, image.height)
