"""Data room: a raw source row becomes a formatted conversation.

    registry (cards, adapters) -> sourcing -> validation -> embedding -> gate -> filtering
        -> selection -> augmentation -> formatting -> manifest that the model room packs

Nothing of ours is imported here. `data.steps` has one path-in/path-out function per step.
"""
