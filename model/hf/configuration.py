"""A network's settings as a transformers configuration."""

from typing import Any

from transformers import PreTrainedConfig, Qwen2Config

from model.config import ModelSettings
from model.vlm import VisionLanguageModel


class AerieConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers decides its base classes at run time
    """What rebuilds the empty network; the names are those of our own `config.json`.

    `settings` is `ModelSettings` as JSON, `vocab_size` the embedding's rows, `image_context_id` the id of
    `<IMG_CONTEXT>`. `text_config` is the language model's own configuration for whoever needs one (caches, tools): the
    network is built from `settings` alone and replaces it.
    """

    model_type = "aerie_eagle2"

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        vocab_size: int = 151_936,  # as Qwen2.5-0.5B, the language model of the default settings
        image_context_id: int = 151_665,  # the first id after the tokens of Qwen2.5
        text_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        checked = ModelSettings.model_validate(settings or {})
        self.settings = checked.model_dump(mode="json")
        self.vocab_size, self.image_context_id = vocab_size, image_context_id
        self.text_config = Qwen2Config(**text_config) if text_config is not None else None
        kwargs["tie_word_embeddings"] = checked.language.tie_embeddings
        super().__init__(**kwargs)

    @classmethod
    def of(cls, network: VisionLanguageModel) -> "AerieConfig":
        """The configuration of a network."""
        settings = network.settings.model_dump(mode="json")
        return cls(settings, network.vocab_size, network.image_context_id)

    @property
    def model_settings(self) -> ModelSettings:
        """The typed settings; pydantic's ValidationError names a wrong key."""
        return ModelSettings.model_validate(self.settings)
