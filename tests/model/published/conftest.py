"""Tiny checkpoints as they are published, from public modules only, with a forward pass that owes ours nothing."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.convnext import ConvNeXt
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from model.inputs.tokens import train_bpe

TEXTS = ["what is in the picture?", "a red square, 12 blue circles and it's green"] * 3
PIXELS, CONVNEXT_PIXELS, TOKENS = 448, 512, 256
SIGLIP_WIDTH, CONVNEXT_WIDTHS, WIDTH = 16, (8, 8, 16, 24), 32
EXTRA_ROWS = 3  # the published embeddings have more rows than the tokenizer has tokens
ORDERS = {"mixture": ("siglip", "convnext"), "mixture_swapped": ("convnext", "siglip")}
NAMES = {"siglip": "palisiglip", "convnext": "convnext-1024"}


class PublicNetwork(nn.Module):
    """The reference network (NVlabs/Eagle, and the port of Eagle2ChatModel) out of transformers and timm modules."""

    def __init__(self, kind: str, tokenizer, *, tied: bool) -> None:
        super().__init__()
        self.towers = ORDERS.get(kind, ())
        self.siglip = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=SIGLIP_WIDTH,
                intermediate_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                patch_size=14,
                image_size=PIXELS,
            )
        )
        channels = 4 * SIGLIP_WIDTH
        self.convnext = None
        if self.towers:
            self.convnext = ConvNeXt(depths=(1, 1, 2, 1), dims=CONVNEXT_WIDTHS, num_classes=5, norm_eps=1e-5)
            channels += CONVNEXT_WIDTHS[-1]
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
        )
        self.language = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=tokenizer.get_vocab_size() + EXTRA_ROWS,
                hidden_size=WIDTH,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=1024,
                rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
                tie_word_embeddings=tied,
            )
        )
        self.image_id = tokenizer.token_to_id("<IMG_CONTEXT>")
        for name, parameter in self.named_parameters():  # initial values leave biases at 0 and LayerScale at 1e-6
            nn.init.normal_(parameter, std=0.3)
            if "norm" in name and name.endswith("weight"):
                parameter.data += 1.0

    def vision(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [P, H, W, 3] to [P, 256, channels], step by step as the reference goes."""
        pixels = (tiles.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        x = self.siglip(pixels).last_hidden_state
        n, side, c = len(x), 32, SIGLIP_WIDTH
        x = x.reshape(n, side, side, c)
        x = x.view(n, side, side // 2, c * 2).permute(0, 2, 1, 3).contiguous()
        x = x.view(n, side // 2, side // 2, c * 4).permute(0, 2, 1, 3).contiguous()
        features = [x.reshape(n, TOKENS, 4 * c)]
        if self.convnext is not None:
            large = F.interpolate(pixels, size=(CONVNEXT_PIXELS,) * 2, mode="bilinear", align_corners=True)
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.48145466, 0.4578275, 0.40821073],
                                                                 [0.26862954, 0.26130258, 0.27577711]))  # fmt: skip
            y = self.convnext.stem(large * (0.5 / std) + (0.5 - mean) / std)
            for stage in self.convnext.stages:
                y = stage(y)
            features.append(y.flatten(2).transpose(1, 2))
        return torch.cat(features, dim=-1)

    @torch.no_grad()
    def logits(self, input_ids: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """[T] and uint8 [P, H, W, 3] to [T, vocabulary]."""
        embeddings = self.language.get_input_embeddings()(input_ids)
        embeddings[input_ids == self.image_id] = self.mlp1(self.vision(tiles)).flatten(0, 1)
        return self.language(inputs_embeds=embeddings[None]).logits[0]

    def published_state(self, *, stored_head: bool, buffers: bool) -> dict[str, torch.Tensor]:
        """Every tensor under its published name, unused heads included."""
        state = {f"mlp1.{name}": value for name, value in self.mlp1.state_dict().items()}
        state |= {f"language_model.{name}": value for name, value in self.language.state_dict().items()}
        if not stored_head:
            del state["language_model.lm_head.weight"]
        towers = {"siglip": ("vision_model.", self.siglip), "convnext": ("", self.convnext)}
        for number, tower in enumerate(self.towers):
            inside, module = towers[tower]
            prefix = f"vision_model.vision_model.vision_towers.{number}.vision_tower.{inside}"
            state |= {prefix + name.replace(".gamma", ".weight"): v for name, v in module.state_dict().items()}
        if not self.towers:
            prefix = "vision_model.vision_model."
            state |= {prefix + name: value for name, value in self.siglip.state_dict().items()}
        if buffers:
            position = next(name for name in state if name.endswith("position_embedding.weight"))
            state[position.replace("position_embedding.weight", "position_ids")] = torch.arange(1024)[None]
            state["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.rand(4)
        return {name: value.detach().clone() for name, value in state.items()}


@dataclass
class Published:
    """A folder as published, the network behind it, and its tensors."""

    folder: Path
    network: PublicNetwork
    tokenizer: object
    state: dict[str, torch.Tensor]
    config: dict = field(default_factory=dict)

    def write(self, max_tensors: int | None = None) -> None:
        """Config and weights; in shards of `max_tensors` when given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(self.config))
        names = sorted(self.state)
        if max_tensors is None:
            save_file(self.state, self.folder / "model.safetensors", metadata={"format": "pt"})
            return
        chunks = [names[i : i + max_tensors] for i in range(0, len(names), max_tensors)]
        weight_map = {}
        for number, chunk in enumerate(chunks, 1):
            file = f"model-{number:05d}-of-{len(chunks):05d}.safetensors"
            save_file({name: self.state[name] for name in chunk}, self.folder / file)
            weight_map |= dict.fromkeys(chunk, file)
        index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index))

    def question(self, tiles: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids [T] with the image tokens of `tiles` random tiles, and these."""
        words = self.tokenizer.encode("what is in the picture? a red square").ids
        ids = [*words[:4], *[self.network.image_id] * (tiles * TOKENS), *words[4:]]
        pixels = np.random.default_rng(5).integers(0, 256, (tiles, PIXELS, PIXELS, 3), dtype=np.uint8)
        return torch.tensor(ids), torch.from_numpy(pixels)


def siglip_config(network: PublicNetwork) -> dict:
    return {**network.siglip.config.to_dict(), "torch_dtype": "bfloat16"}


def language_config(network: PublicNetwork) -> dict:
    """As transformers 4 wrote it."""
    config = network.language.config.to_dict()
    theta = config.pop("rope_parameters")["rope_theta"]
    return {**config, "architectures": ["Qwen2ForCausalLM"], "rope_theta": theta, "rope_scaling": None}


def published_config(kind: str, network: PublicNetwork) -> dict:
    """config.json as the published classes write it, with fields that say nothing to us."""
    common = {"downsample_ratio": 0.5, "dynamic_image_size": True, "force_image_size": PIXELS, "select_layer": -1}
    common |= {"template": "qwen2-chat", "use_thumbnail": True, "use_backbone_lora": 0, "use_llm_lora": 0}
    common |= {"_name_or_path": "", "transformers_version": None, "torch_dtype": "bfloat16", "mlp_checkpoint": True}
    language = language_config(network)
    if kind == "eagle2_5":
        names = {"model_type": "eagle_2_5_vl", "architectures": ["Eagle2_5_VLForConditionalGeneration"]}
        tiles = {"min_dynamic_tiles": 1, "max_dynamic_tiles": 12, "pad2square": False, "use_pixel_shuffle": True}
        more = {"image_token_index": network.image_id, "loss_version": "efficient_v2_cp_head"}
        return common | names | tiles | more | {"vision_config": siglip_config(network), "text_config": language}
    vision = siglip_config(network)
    if network.towers:
        path = "MOB:" + ";".join(NAMES[tower] for tower in network.towers)
        sizes = {"grid_size": 32, "convnext_img_size": CONVNEXT_PIXELS, "siglip_img_size": PIXELS}
        vision = {"model_type": "MOB", "vision_path": path, "hidden_size": "lazy_calculation", **sizes,
                  "moe_version_type": "convnext_512_siglip_448", "normalize_type": "siglip", "delay_load": True,
                  "freeze_backbones": None, "siglip_vision_config": vision,
                  "vision_tower_convnext_path": "convnext_xxlarge.clip_laion2b_soup"}  # fmt: skip
    names = {"model_type": "eagle_chat", "architectures": ["Eagle2ChatModel"], "efficient_loss": True}
    tiles = {"min_dynamic_patch": 1, "max_dynamic_patch": 12, "pre_feature_reduction": False}
    return common | names | tiles | {"keep_aspect_ratio": False, "vision_config": vision, "llm_config": language}


def write_slow_tokenizer(folder: Path, tokenizer) -> None:
    """vocab.json, merges.txt and what goes with them, as the published folders have; no tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.loads(tokenizer.to_str())
    added = {entry["id"]: entry for entry in document["added_tokens"]}
    vocabulary = {token: number for token, number in document["model"]["vocab"].items() if number not in added}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in document["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "added_tokens.json").write_text(json.dumps({entry["content"]: i for i, entry in added.items()}))
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    decoder = {str(i): {name: entry[name] for name in names} for i, entry in added.items()}
    config = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": decoder, "model_max_length": 16384,
              "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def bpe():
    return train_bpe(TEXTS, 330)


@pytest.fixture
def publish(tmp_path, bpe):
    """(kind, options) -> Published: kinds are eagle2_5, eagle2 (SigLIP alone), mixture and mixture_swapped."""

    def make(
        kind: str, *, tied=True, stored_head=False, buffers=False, dtype=torch.float32, max_tensors=None
    ) -> Published:
        torch.manual_seed(11)
        network = PublicNetwork(kind, bpe, tied=tied).eval()
        state = network.published_state(stored_head=stored_head or not tied, buffers=buffers)
        state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
        published = Published(tmp_path / "published", network, bpe, state, published_config(kind, network))
        write_slow_tokenizer(published.folder, bpe)
        published.write(max_tensors)
        return published

    return make
