"""What the entry point group `lmms_eval.models` finds: the names of our classes, which are imported when asked for."""

from lmms_eval.models.registry_v2 import ModelManifest

AERIE = ModelManifest(
    model_id="aerie",
    chat_class_path="model.lmms_eval.adapter.AerieChat",
    simple_class_path="model.lmms_eval.adapter.AerieSimple",
)
