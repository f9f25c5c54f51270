"""The names of tensors: ours and the published ones, by a small table of rules that is read both ways."""

import re
from dataclasses import dataclass

SIGLIP, CONVNEXT = "vision.siglip.vision_model.", "vision.convnext.trunk."
CONNECTOR, LANGUAGE = "connector.", "language."
# The reference names ConvNeXt's LayerScale `weight` (its convnext.py), timm `gamma`.
OUR_SCALE = re.compile(r"(stages\.\d+\.blocks\.\d+)\.gamma")
THEIR_SCALE = re.compile(r"(stages\.\d+\.blocks\.\d+)\.weight")
# What a published checkpoint holds and no forward pass of Eagle 2 reads, by the part that it belongs to.
UNUSED = (
    (SIGLIP, r"head\..+", "SigLIP's pooling head: Eagle 2 takes the patches"),
    (SIGLIP, r"embeddings\.position_ids", "a buffer that is computed"),
    (CONVNEXT, r"(norm_pre|head)\..+", "ConvNeXt's classification head: Eagle 2 takes the last stage"),
    (LANGUAGE, r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq", "a buffer that is computed"),
)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """Which prefix of ours is which of theirs."""

    prefixes: tuple[tuple[str, str], ...]

    def to_theirs(self, name: str) -> str:
        """The published name of one of our tensors; ValueError when this layout has no place for it."""
        for ours, theirs in self.prefixes:
            if name.startswith(ours):
                rest = name.removeprefix(ours)
                return theirs + (OUR_SCALE.sub(r"\1.weight", rest) if ours == CONVNEXT else rest)
        raise ValueError(f"{name} has no place in this layout")

    def to_ours(self, name: str) -> str | None:
        """Our name of a published tensor, whether the network has it or not; None when no rule fits."""
        for ours, theirs in self.prefixes:
            if name.startswith(theirs):
                rest = name.removeprefix(theirs)
                if ours == CONVNEXT and OUR_SCALE.fullmatch(rest):
                    return None  # timm's name, which the published layout doesn't use
                return ours + (THEIR_SCALE.sub(r"\1.gamma", rest) if _is_scale(ours, rest) else rest)
        return None

    def why_unused(self, name: str) -> str | None:
        """Why a published tensor is not loaded, when that is by design."""
        ours = self.to_ours(name)
        for prefix, pattern, reason in UNUSED:
            if ours is not None and ours.startswith(prefix) and re.fullmatch(pattern, ours.removeprefix(prefix)):
                return reason
        return None


def key_rules(towers: tuple[str, ...]) -> KeyRules:
    """The rules for SigLIP alone (no towers named) or a mixture whose towers stand in this order.

    The index of a tower follows the order of names in the config's `vision_path`.
    """
    common = ((CONNECTOR, "mlp1."), (LANGUAGE, "language_model."))
    if not towers:
        return KeyRules(((SIGLIP, "vision_model.vision_model."), *common))
    inside = {"siglip": (SIGLIP, "vision_model."), "convnext": (CONVNEXT, "")}
    vision = tuple(
        (inside[tower][0], f"vision_model.vision_model.vision_towers.{number}.vision_tower.{inside[tower][1]}")
        for number, tower in enumerate(towers)
    )
    return KeyRules((*vision, *common))


def _is_scale(ours: str, rest: str) -> bool:
    return ours == CONVNEXT and THEIR_SCALE.fullmatch(rest) is not None
