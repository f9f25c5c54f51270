"""The parts that both layouts share: SigLIP's and Qwen2's configs as settings, and back."""

from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from model.config import LanguageSettings, ModelSettings, SiglipSettings
from model.inputs.tokens import END_OF_TEXT, TURN_END, ChatTokenizer
from model.published.fields import Fields

SIGLIP_TYPE, QWEN2_CLASS = "siglip_vision_model", "Qwen2ForCausalLM"
DTYPE_WORDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """What a published config says: the settings, the embedding's rows, and the towers' order (none: SigLIP alone)."""

    settings: ModelSettings
    vocab_size: int
    towers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a published config is written from."""

    settings: ModelSettings
    vocab_size: int
    tokenizer: ChatTokenizer
    dtype: str  # safetensors' name of the weights' type


def read_siglip(fields: Fields) -> tuple[SiglipSettings, int]:
    """SigLIP's settings and its image size in pixels; a tower that computes otherwise is refused."""
    fields.must_be("model_type", SIGLIP_TYPE)
    fields.must_be("num_channels", 3, absent=3)
    settings = SiglipSettings(
        hidden_size=fields.number("hidden_size"),
        intermediate_size=fields.number("intermediate_size"),
        num_layers=fields.number("num_hidden_layers"),
        num_heads=fields.number("num_attention_heads"),
        patch_size=fields.number("patch_size"),
        layer_norm_eps=fields.optional("layer_norm_eps", 1e-6),
        hidden_act=fields.optional("hidden_act", "gelu_pytorch_tanh"),
    )
    return settings, fields.number("image_size")


def siglip_fields(exported: Exported) -> dict[str, Any]:
    """SigLIP's config; `vision_use_head` false, since our network never has its pooling head."""
    siglip = exported.settings.siglip
    return {
        "architectures": ["SiglipVisionModel"],
        "attention_dropout": 0.0,
        "hidden_act": siglip.hidden_act,
        "hidden_size": siglip.hidden_size,
        "image_size": exported.settings.tiling.tile_size,
        "intermediate_size": siglip.intermediate_size,
        "layer_norm_eps": siglip.layer_norm_eps,
        "model_type": SIGLIP_TYPE,
        "num_attention_heads": siglip.num_heads,
        "num_channels": 3,
        "num_hidden_layers": siglip.num_layers,
        "patch_size": siglip.patch_size,
        "torch_dtype": DTYPE_WORDS[exported.dtype],
        "vision_use_head": False,
    }


def read_language(fields: Fields) -> tuple[LanguageSettings, int]:
    """Qwen2's settings and the rows of its embedding; a decoder that computes otherwise is refused."""
    fields.must_be("architectures", [QWEN2_CLASS])
    fields.must_be("rope_scaling", None, absent=None)
    fields.must_be("use_sliding_window", False, absent=False)
    vocab_size = fields.number("vocab_size")
    settings = LanguageSettings(
        hidden_size=fields.number("hidden_size"),
        intermediate_size=fields.number("intermediate_size"),
        num_layers=fields.number("num_hidden_layers"),
        num_heads=fields.number("num_attention_heads"),
        num_kv_heads=fields.number("num_key_value_heads"),
        rope_theta=_rope_theta(fields),
        max_positions=fields.number("max_position_embeddings", 32768),
        rms_norm_eps=fields.optional("rms_norm_eps", 1e-6),
        hidden_act=fields.optional("hidden_act", "silu"),
        tie_embeddings=fields.flag("tie_word_embeddings", False),
        embedding_rows=vocab_size,
    )
    return settings, vocab_size


def language_fields(exported: Exported) -> dict[str, Any]:
    """Qwen2's config, in the fields of transformers 4, which the published code asks for."""
    language, tokenizer = exported.settings.language, exported.tokenizer
    return {
        "_attn_implementation": "flash_attention_2",  # the reference asserts it
        "architectures": [QWEN2_CLASS],
        "attention_dropout": 0.0,
        "attn_implementation": "flash_attention_2",
        "bos_token_id": tokenizer.token_id(END_OF_TEXT),
        "eos_token_id": tokenizer.token_id(TURN_END),
        "hidden_act": language.hidden_act,
        "hidden_size": language.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": language.intermediate_size,
        "max_position_embeddings": language.max_positions,
        "max_window_layers": language.num_layers,
        "model_type": "qwen2",
        "num_attention_heads": language.num_heads,
        "num_hidden_layers": language.num_layers,
        "num_key_value_heads": language.num_kv_heads,
        "rms_norm_eps": language.rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": language.rope_theta,
        "sliding_window": language.max_positions,
        "tie_word_embeddings": language.tie_embeddings,
        "torch_dtype": DTYPE_WORDS[exported.dtype],
        "use_cache": False,
        "use_sliding_window": False,
        "vocab_size": exported.vocab_size,
    }


def shared_fields(settings: ModelSettings) -> dict[str, Any]:
    """The top-level fields that both layouts have and that our settings decide."""
    return {
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": settings.tiling.tile_size,
        "select_layer": -1,
        "template": "qwen2-chat",
        "tiling_strategy": settings.tiling.strategy,  # ours: the published code knows one rule only
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": settings.tiling.thumbnail,
    }


def check_shared(fields: Fields, image_size: int) -> None:
    """What both layouts can say and this network can't compute."""
    fields.must_be("downsample_ratio", 0.5, absent=0.5)
    fields.must_be("select_layer", -1)
    fields.must_be("use_backbone_lora", 0, absent=0)
    fields.must_be("use_llm_lora", 0, absent=0)
    fields.must_be("force_image_size", image_size, None, absent=None)
    fields.must_be("tiling_strategy", "area", absent="area")


def refuse_habits(settings: ModelSettings, layout: str) -> None:
    """`AerieError` where the published readers would show the network something else than it saw in training.

    They choose grids by covered area, and number the images of a conversation with several.
    """
    if settings.tiling.strategy != "area":
        raise AerieError(
            f"the {layout} layout can't hold model.tiling.strategy {settings.tiling.strategy!r}: its readers tile by "
            "'area', and would show the network other tiles than in training; export as hf"
        )
    if not settings.number_images:
        raise AerieError(
            f"the {layout} layout can't hold model.number_images false: its readers write <image 1>, <image 2>, ... "
            "before several images; export as hf"
        )


def _rope_theta(fields: Fields) -> float:
    """transformers 4 has a field of its own for it, transformers 5 keeps it in `rope_parameters`."""
    holder = fields if "rope_theta" in fields.document else fields.sub("rope_parameters")
    if holder is not fields:
        holder.must_be("rope_type", "default", absent="default")
    value = holder.document.get("rope_theta")
    if not isinstance(value, int | float) or value <= 0:
        raise AerieError(f"{fields.where} has no usable {fields.path}rope_theta ({value!r})")
    return float(value)
