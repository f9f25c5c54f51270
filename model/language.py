"""The language model: Qwen2 by transformers."""

from collections.abc import Callable
from typing import Any

from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from model.config import LanguageSettings


class Float32RotaryEmbedding(Qwen2RotaryEmbedding):
    """Rotary positions whose frequencies follow the network's device, never its precision.

    Rounded to bfloat16, as `module.to(bfloat16)` and DeepSpeed's engine do with every buffer, they are wrong by up to
    15 radians at position 16,383; whoever loads a checkpoint for serving keeps float32 and would see other positions.
    transformers renews them after loading by the class's name, which must hold RotaryEmbedding.
    """

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Float32RotaryEmbedding":
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = getattr(self, name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self


def build_language(settings: LanguageSettings, vocab_size: int) -> Qwen2ForCausalLM:
    """A freshly initialised Qwen2 (Qwen2.5 has the same architecture)."""
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        num_key_value_heads=settings.num_kv_heads,
        max_position_embeddings=settings.max_positions,
        rms_norm_eps=settings.rms_norm_eps,
        hidden_act=settings.hidden_act,
        attention_dropout=0.0,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        tie_word_embeddings=settings.tie_embeddings,
    )
    language = Qwen2ForCausalLM(config)
    language.model.rotary_emb = Float32RotaryEmbedding(config)
    language.set_attn_implementation("sdpa")
    return language
