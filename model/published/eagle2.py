"""The layout of Eagle2-9B (and of 1B and 2B as first published): `Eagle2ChatModel`, a mixture or SigLIP alone."""

from collections.abc import Mapping
from typing import Any

from data.errors import AerieError
from model.config import ConvNextSettings, ModelSettings, TilingSettings
from model.published.fields import Fields
from model.published.parts import (
    SIGLIP_TYPE,
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
from model.tensor_files import TensorHeader

NAME, MODEL_TYPE, CLASS = "eagle2", "eagle_chat", "Eagle2ChatModel"
CODE = "nvidia/Eagle2-9B"  # as in eagle2_5: the code stays where it is published
MIXTURE_TYPE, MIXTURE_VERSION = "MOB", "convnext_512_siglip_448"
NORM_EPS = 1e-5  # of the published convnext.py, in no field
SIGLIP_PIXELS, CONVNEXT_PIXELS = 448, 512  # the version's name fixes them, and the published code has them as numbers
# The names that the published code knows. Their order in Eagle2-9B's own config is inferred: GR00T N1's backbone takes
# tower 0 for SigLIP and tower 1 for ConvNeXt.
TOWER_NAMES = {"siglip": "palisiglip", "convnext": "convnext-1024"}
XXLARGE = "convnext_xxlarge.clip_laion2b_soup"


def read(document: dict[str, Any], where: str, prompt: str, headers: Mapping[str, TensorHeader]) -> NetworkShape:
    """The network that a config describes; `AerieError` names a field that is missing or can't be computed.

    ConvNeXt's depths and widths stand in no field (the config names a timm model): `headers` give them.
    """
    fields = Fields(document, where)
    vision = fields.sub("vision_config")
    towers: tuple[str, ...] = ()
    language, vocab_size = read_language(fields.sub("llm_config"))
    convnext = None
    if vision.text("model_type") == SIGLIP_TYPE:
        siglip, image_size = read_siglip(vision)
    else:
        towers = _towers(vision)
        siglip, image_size = read_siglip(vision.sub("siglip_vision_config"))
        convnext = _convnext(vision, image_size // siglip.patch_size, headers, towers.index("convnext"))
        vision.must_be("siglip_img_size", SIGLIP_PIXELS, absent=SIGLIP_PIXELS)
        fields.must_be("force_image_size", SIGLIP_PIXELS)
    check_shared(fields, image_size)
    for name in ("pre_feature_reduction", "keep_aspect_ratio", "pad2square"):
        fields.must_be(name, False, absent=False)
    fields.must_be("min_dynamic_patch", 1, absent=1)
    tiling = TilingSettings(
        tile_size=image_size,
        max_tiles=fields.number("max_dynamic_patch", 6) if fields.flag("dynamic_image_size", False) else 1,
        strategy="area",
        thumbnail=fields.flag("use_thumbnail", False),
    )
    settings = ModelSettings(tiling=tiling, siglip=siglip, convnext=convnext, language=language, system_prompt=prompt)
    return NetworkShape(settings=settings, vocab_size=vocab_size, towers=towers)


def write(exported: Exported) -> dict[str, Any]:
    """The config of a network; `AerieError` says what this layout can't hold."""
    settings = exported.settings
    refuse_habits(settings, NAME)
    llm = language_fields(exported)
    return {
        "architectures": [CLASS],
        "auto_map": {
            "AutoConfig": f"{CODE}--configuration_eagle_chat.Eagle2ChatConfig",
            "AutoModel": f"{CODE}--modeling_eagle_chat.{CLASS}",
            "AutoModelForCausalLM": f"{CODE}--modeling_eagle_chat.{CLASS}",
        },
        "keep_aspect_ratio": False,
        "llm_config": llm,
        "max_dynamic_patch": settings.tiling.max_tiles,
        "min_dynamic_patch": 1,
        "mlp_checkpoint": True,
        "model_type": MODEL_TYPE,
        "pad2square": False,
        "pre_feature_reduction": False,
        "torch_dtype": llm["torch_dtype"],
        "vision_config": siglip_fields(exported) if settings.convnext is None else _mixture_fields(exported),
        **shared_fields(settings),
    }


def _mixture_fields(exported: Exported) -> dict[str, Any]:
    """The config of `MultiBackboneChannelConcatenationVisionModel`; the towers in the order [SigLIP, ConvNeXt]."""
    settings = exported.settings
    convnext, pixels = settings.convnext or ConvNextSettings(), settings.tiling.tile_size
    if (pixels, convnext.image_size) != (SIGLIP_PIXELS, CONVNEXT_PIXELS):
        raise AerieError(
            f"the eagle2 layout's mixture is fixed at tiles of {SIGLIP_PIXELS} px and ConvNeXt at {CONVNEXT_PIXELS}; "
            f"this network has {pixels} and {convnext.image_size}: export as hf"
        )
    if convnext.norm_eps != NORM_EPS:
        raise AerieError(f"the eagle2 layout's ConvNeXt has norm_eps {NORM_EPS}, not {convnext.norm_eps}: export as hf")
    return {
        "convnext_img_size": convnext.image_size,
        "delay_load": True,  # the weights come from this folder, not from the towers' own
        "freeze_backbones": None,
        "grid_size": pixels // settings.siglip.patch_size,
        "hidden_size": "lazy_calculation",
        "image_size": 1024,  # the published class's default, checked against input_image_size and read nowhere else
        "input_image_size": 1024,
        "mm_vision_select_layer": -1,
        "model_type": MIXTURE_TYPE,
        "moe_version_type": MIXTURE_VERSION,
        "normalize_type": "siglip",
        "siglip_img_size": pixels,
        "siglip_vision_config": siglip_fields(exported),
        "vision_path": f"{MIXTURE_TYPE}:{TOWER_NAMES['siglip']};{TOWER_NAMES['convnext']}",
        # The published code builds an XXLarge from this name and knows no other geometry.
        "vision_tower_convnext_path": XXLARGE if _is_xxlarge(convnext) else "convnext",
        "vision_tower_siglip_path": "",
    }


def _is_xxlarge(convnext: ConvNextSettings) -> bool:
    reference = ConvNextSettings()
    return (convnext.depths, convnext.dims) == (reference.depths, reference.dims)


def _towers(vision: Fields) -> tuple[str, ...]:
    """The towers in the order of `vision_path`, e.g. "MOB:palisiglip;convnext-1024"."""
    vision.must_be("model_type", MIXTURE_TYPE)
    vision.must_be("moe_version_type", MIXTURE_VERSION)
    vision.must_be("normalize_type", "siglip", absent="siglip")
    path = vision.text("vision_path")
    known = {name: tower for tower, name in TOWER_NAMES.items()}
    towers = tuple(known.get(name, "") for name in path.removeprefix(f"{MIXTURE_TYPE}:").split(";"))
    if sorted(towers) != sorted(TOWER_NAMES):
        raise AerieError(
            f"{vision.where}: vision_config.vision_path is {path!r}; this network has the towers "
            f"{' and '.join(TOWER_NAMES.values())}, each once, in any order"
        )
    return towers


def _convnext(vision: Fields, grid: int, headers: Mapping[str, TensorHeader], number: int) -> ConvNextSettings:
    """ConvNeXt's settings: sizes in pixels from the config, the rest from the shapes of its tensors."""
    vision.must_be("convnext_img_size", CONVNEXT_PIXELS)
    vision.must_be("grid_size", grid)
    prefix = f"vision_model.vision_model.vision_towers.{number}.vision_tower."
    names = [name.removeprefix(prefix).split(".") for name in headers if name.startswith(prefix)]
    blocks = [{int(name[3]) for name in names if name[:3] == ["stages", str(stage), "blocks"]} for stage in range(4)]
    widths = [
        headers.get(f"{prefix}{layer}.weight") for layer in ("stem.0", *(f"stages.{s}.downsample.1" for s in (1, 2, 3)))
    ]
    if not all(blocks) or any(header is None or len(header.shape) != 4 for header in widths):
        raise AerieError(
            f"{vision.where}: tower {number} is ConvNeXt by vision_config.vision_path, but the tensors "
            f"{prefix}stem.* and stages.0 to 3 are not those of one"
        )
    return ConvNextSettings(
        depths=tuple(max(stage) + 1 for stage in blocks),
        dims=tuple(header.shape[0] for header in widths if header is not None),
        image_size=CONVNEXT_PIXELS,
        norm_eps=NORM_EPS,
    )
