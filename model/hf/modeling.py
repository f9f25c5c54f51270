"""Our network under transformers' interface: loading, saving and `generate`. No layer is defined here."""

from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from data.errors import AerieError
from model.hf.configuration import AerieConfig
from model.vlm import VisionLanguageModel


class AerieForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[misc]  # as in configuration.py
    """`model` is the `VisionLanguageModel`; its keys have the prefix `model.` in the state dict."""

    config_class = AerieConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")  # type: ignore[assignment]
    _tied_weights_keys = {"model.language.lm_head.weight": "model.language.model.embed_tokens.weight"}  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: AerieConfig) -> None:
        super().__init__(config)
        self.model = VisionLanguageModel(config.model_settings, config.vocab_size, config.image_context_id)
        self.model.language.set_attn_implementation(config._attn_implementation)
        config.text_config = self.model.language.config
        self.post_init()

    @classmethod
    def of(cls, network: VisionLanguageModel) -> "AerieForConditionalGeneration":
        """The interface around an existing network, whose weights it shares."""
        with torch.device("meta"):
            shell = cls(AerieConfig.of(network))
        network.language.set_attn_implementation(shell.config._attn_implementation)
        shell.model, shell.config.text_config = network, network.language.config
        return shell.eval()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.model.language.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The output head."""
        return self.model.language.get_output_embeddings()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Token ids [B, T] and the uint8 tiles [P, H, W, 3] of all rows, in order, to logits [B, T, vocabulary].

        `labels` [B, T] (-100: none) add transformers' loss, the mean over tokens: `token` among our reductions.
        AerieError: the image tokens of a prompt and the tiles differ in number.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise AerieError("give the network input_ids or inputs_embeds")
            starts = past_key_values is None or past_key_values.get_seq_length() == 0
            inputs_embeds = self._embedded(input_ids, pixel_values, starts)
        return self.model.language(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def _embedded(self, input_ids: torch.Tensor, tiles: torch.Tensor | None, starts: bool) -> torch.Tensor:
        """[B, T, D]. Rows are joined for the fusion: tiles belong to image tokens by their order alone."""
        given = 0 if tiles is None else len(tiles) * self.model.settings.tokens_per_tile
        if starts or given:
            wanted = int((input_ids == self.config.image_context_id).sum())
            if wanted != given:
                raise AerieError(f"{wanted} image tokens in input_ids, but pixel_values has tiles for {given}")
        if tiles is None or not given:
            return self.get_input_embeddings()(input_ids)
        return self.model.embed(input_ids.flatten(), tiles).unflatten(0, input_ids.shape)

    def prepare_inputs_for_generation(  # type: ignore[override]  # adds pixel_values
        self, *args: Any, pixel_values: torch.Tensor | None = None, is_first_iteration: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """transformers' own inputs of a step. Tiles come with the first alone: then the cache holds what they say."""
        prepare: Any = super().prepare_inputs_for_generation  # type: ignore[misc]
        inputs: dict[str, Any] = prepare(*args, is_first_iteration=is_first_iteration, **kwargs)
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs["pixel_values"] = pixel_values
        return inputs

    def _expand_inputs_for_generation(  # type: ignore[override]  # adds pixel_values
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Each row `expand_size` times in a row, for beams and several answers; a row takes its tiles along."""
        if pixel_values is not None and input_ids is not None and expand_size > 1:
            image_tokens = (input_ids == self.config.image_context_id).sum(1)
            tiles = (image_tokens // self.model.settings.tokens_per_tile).tolist()
            pixel_values = torch.cat([row.repeat(expand_size, 1, 1, 1) for row in pixel_values.split(tiles)])
        expand: Any = super()._expand_inputs_for_generation  # type: ignore[misc]
        ids, rest = expand(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        return ids, rest if pixel_values is None else {**rest, "pixel_values": pixel_values}
