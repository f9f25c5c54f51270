"""The model room's steps before training, one path-in/path-out function each: what components, DVC and tests call."""

from model.inputs.stage_packs import pack_stage
from model.inputs.vocabulary import train_tokenizer

__all__ = ["pack_stage", "train_tokenizer"]
