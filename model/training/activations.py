"""Memory for time: a layer keeps its input alone and computes the rest again in the backward pass."""

from model.vlm import VisionLanguageModel


def checkpoint_activations(model: VisionLanguageModel) -> None:
    """Switch both towers and the language model to activation checkpointing (Chen et al., 2016), layer by layer.

    Losses and gradients stay what they are. The connector, two matrices, keeps its activations.
    """
    for network in (model.vision.siglip.vision_model, model.language):
        # transformers 5.23 renames it and warns of the old name, which 5.17 has alone
        enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    if model.vision.convnext is not None:
        model.vision.convnext.trunk.set_grad_checkpointing(True)
