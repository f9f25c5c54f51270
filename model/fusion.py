"""Where image features enter the text: they replace the embeddings of the image tokens, in order."""

import torch


def fuse(embeddings: torch.Tensor, input_ids: torch.Tensor, features: torch.Tensor, image_id: int) -> torch.Tensor:
    """Embeddings [T, D] with the image tokens' rows replaced by `features` [N, D].

    Raises ValueError when the counts differ: the reference silently multiplies such a batch's loss by zero.
    """
    places = input_ids == image_id
    expected = int(places.sum())
    if expected != len(features):
        raise ValueError(f"{expected} image tokens in the text, {len(features)} image features: tiles don't fit text")
    return embeddings.masked_scatter(places.unsqueeze(-1), features.to(embeddings.dtype))
