"""The named networks: Eagle 2 in its published sizes, and the toy of `make run`."""

from data.errors import AerieError
from model.config import ModelSettings
from model.preset_documents import PRESET_DOCUMENTS

PRESETS = tuple(PRESET_DOCUMENTS)


def preset(name: str) -> ModelSettings:
    """The settings of a preset; `AerieError` lists the names when there is none of this one."""
    if name not in PRESET_DOCUMENTS:
        raise AerieError(f"there is no preset {name!r}; choose from {', '.join(PRESETS)}")
    return ModelSettings.model_validate({"preset": name})
