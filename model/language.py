"""The language model: Qwen2 by transformers."""

from transformers import Qwen2Config, Qwen2ForCausalLM

from model.config import LanguageSettings


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
    language.set_attn_implementation("sdpa")
    return language
