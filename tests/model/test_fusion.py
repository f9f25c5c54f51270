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


def test_gradients_go_to_the_features_and_to_the_other_words():
    words, features = torch.ones(5, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    slope = torch.arange(10.0).view(5, 2)
    fuse(words, torch.tensor([1, 9, 9, 2, 9]), features, image_id=9).backward(slope)
    assert features.grad.tolist() == [[2, 3], [4, 5], [8, 9]]
    assert words.grad.tolist() == [[0, 1], [0, 0], [0, 0], [6, 7], [0, 0]]


def test_without_images_the_words_stay_and_the_features_gradients_are_zeros():
    words, features = torch.randn(2, 3), torch.randn(4, 3, requires_grad=True)
    fused = fuse(words, torch.tensor([1, 2]), features[:0], image_id=9)
    assert torch.equal(fused, words)
    fused.sum().backward()
    assert not features.grad.any()
