"""Where image features enter the text: they replace the embeddings of the image tokens, in order."""

import torch


def fuse(embeddings: torch.Tensor, input_ids: torch.Tensor, features: torch.Tensor, image_id: int) -> torch.Tensor:
    """Embeddings [T, D] with the image tokens' rows replaced by `features` [N, D].

    Raises ValueError when the counts differ: the reference silently multiplies such a batch's loss by zero. Only the
    total is compared here; `model.inputs.merge.check_image_tokens` compares sample by sample before the pack leaves
    the CPU. On a GPU the comparison is made there and ends the process: reading the count back would make the CPU wait
    for both towers in every step.
    """
    places = input_ids == image_id
    if places.is_cuda:
        torch._assert_async(places.sum() == len(features), "image tokens in the text and image features differ")
    elif (expected := int(places.sum())) != len(features):
        raise ValueError(f"{expected} image tokens in the text, {len(features)} image features: tiles don't fit text")
    # As many places as features: without a number to ask the device for, neither this nor the backward pass waits.
    rows = torch.nonzero_static(places, size=len(features)).squeeze(1)
    return embeddings.index_copy(0, rows, features.to(embeddings.dtype))
