"""The layout of Eagle2-1B and -2B as they are published now: SigLIP alone, `Eagle2_5_VLForConditionalGeneration`."""

import json
from typing import Any

from data.errors import AerieError
from model.config import ModelSettings, TilingSettings
from model.inputs.tokens import ChatTokenizer
from model.published.fields import Fields
from model.published.parts import (
    Exported,
    NetworkShape,
    check_shared,
    language_fields,
    read_language,
    read_siglip,
    refuse_habits,
    shared_fields,
    siglip_fields,
)

NAME, MODEL_TYPE, CLASS = "eagle2_5", "eagle_2_5_vl", "Eagle2_5_VLForConditionalGeneration"
# The published code, by repository: an exported folder holds none. The names are those of nvidia/Eagle2-1B's files;
# that transformers finds them this way is not tested here, for want of a network.
CODE = "nvidia/Eagle2-1B"


def read(document: dict[str, Any], where: str, prompt: str) -> NetworkShape:
    """The network that a config describes; `AerieError` names a field that is missing or can't be computed."""
    fields = Fields(document, where)
    siglip, image_size = read_siglip(fields.sub("vision_config"))
    language, vocab_size = read_language(fields.sub("llm_config" if "llm_config" in document else "text_config"))
    check_shared(fields, image_size)
    fields.must_be("use_pixel_shuffle", True, absent=False)
    fields.must_be("mlp_connector_layers", 2, absent=2)
    fields.must_be("pad2square", False, absent=False)
    fields.must_be("min_dynamic_tiles", 1, absent=1)
    dynamic = fields.flag("dynamic_image_size", False)
    tiling = TilingSettings(
        tile_size=image_size,
        max_tiles=fields.number("max_dynamic_tiles", 6) if dynamic else 1,
        strategy="area",
        thumbnail=fields.flag("use_thumbnail", False),
    )
    settings = ModelSettings(tiling=tiling, siglip=siglip, language=language, system_prompt=prompt)
    return NetworkShape(settings=settings, vocab_size=vocab_size)


def write(exported: Exported) -> dict[str, Any]:
    """The config of a network; `AerieError` says what this layout can't hold."""
    settings = exported.settings
    if settings.convnext is not None:
        raise AerieError(
            "the eagle2_5 layout holds SigLIP alone; this network has ConvNeXt too: export as eagle2 or hf"
        )
    refuse_habits(settings, NAME)
    vision, text = siglip_fields(exported), language_fields(exported)
    return {
        "architectures": [CLASS],
        "auto_map": {
            "AutoConfig": f"{CODE}--configuration_eagle2_5_vl.Eagle2_5_VLConfig",
            "AutoModel": f"{CODE}--modeling_eagle2_5_vl.{CLASS}",
            "AutoModelForCausalLM": f"{CODE}--modeling_eagle2_5_vl.{CLASS}",
        },
        "image_token_index": exported.tokenizer.image_context_id,
        "initializer_range": 0.02,
        "loss_version": "efficient_v2_cp_head",  # a label only: the published code searches it for one other word
        "max_dynamic_tiles": settings.tiling.max_tiles,
        "min_dynamic_tiles": 1,
        "mlp_checkpoint": False,
        "mlp_connector_layers": 2,
        "model_type": MODEL_TYPE,
        "pad2square": False,
        "text_config": text,
        "tie_word_embeddings": settings.language.tie_embeddings,
        "torch_dtype": text["torch_dtype"],
        "use_pixel_shuffle": True,
        "vision_config": vision,
        **shared_fields(settings),
    }


def check_tokens(document: dict[str, Any], where: str, tokenizer: ChatTokenizer) -> None:
    """`image_token_index` must be the tokenizer's `<IMG_CONTEXT>`."""
    Fields(document, where).must_be(
        "image_token_index", tokenizer.image_context_id, None, absent=tokenizer.image_context_id
    )


def processor_files(settings: ModelSettings) -> dict[str, bytes]:
    """preprocessor_config.json and processor_config.json, in the fields of the published ones (448 px, 12 tiles)."""
    auto_map = {
        "AutoImageProcessor": f"{CODE}--image_processing_eagle2_5_vl_fast.Eagle2_5_VLImageProcessorFast",
        "AutoProcessor": f"{CODE}--processing_eagle2_5_vl.Eagle2_5_VLProcessor",
    }
    tiling = settings.tiling
    image = {
        "auto_map": auto_map,
        "data_format": "channels_first",
        "default_to_square": False,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_pad": False,
        "do_rescale": True,
        "do_resize": False,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Eagle2_5_VLImageProcessorFast",
        "image_std": [0.5, 0.5, 0.5],
        "max_dynamic_tiles": tiling.max_tiles,
        "min_dynamic_tiles": 1,
        "pad_during_tiling": False,
        "processor_class": "Eagle2_5_VLProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": tiling.tile_size, "width": tiling.tile_size},
        "tokens_per_tile": settings.tokens_per_tile,
        "use_thumbnail": tiling.thumbnail,
    }
    processor = {
        "auto_map": auto_map,
        "image_end_token": "</img>",
        "image_placeholder": "image",
        "image_start_token": "<img>",
        "image_token": "<IMG_CONTEXT>",
        "processor_class": "Eagle2_5_VLProcessor",
        "tokens_per_tile": settings.tokens_per_tile,
        "video_placeholder": "video",
        "video_token": "<IMG_CONTEXT>",
        "vision_feature_select_strategy": None,
    }
    files = {"preprocessor_config.json": image, "processor_config.json": processor}
    return {name: json.dumps(document, indent=2).encode() for name, document in files.items()}
