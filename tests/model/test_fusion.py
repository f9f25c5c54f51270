import pytest
import torch

from model.fusion import fuse


def test_features_replace_image_tokens_in_order():
    ids = torch.tensor([1, 9, 9, 2, 9])
    features = torch.arange(6.0).view(3, 2) + 10
    fused = fuse(torch.zeros(5, 2), ids, features, image_id=9)
    assert fused.tolist() == [[0, 0], [10, 11], [12, 13], [0, 0], [14, 15]]


def test_a_count_that_differs_is_an_error_not_a_silent_zero():
    with pytest.raises(ValueError, match=r"3 image tokens in the text, 2 image features"):
        fuse(torch.zeros(5, 2), torch.tensor([1, 9, 9, 2, 9]), torch.zeros(2, 2), image_id=9)
