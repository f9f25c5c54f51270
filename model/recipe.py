"""The whole recipe: data, model, three stages, evaluation, in one YAML file."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from data.recipe import DataSettings, recipe_document
from data.settings.base import Strict, validated
from model.config import ModelSettings
from model.evaluation.promotion.settings import PromotionSettings, benchmark_of
from model.evaluation.settings import EvaluationSettings

STAGES: tuple[str, ...] = ("stage_1", "stage_1_5", "stage_2")
Part = Literal["connector", "vision", "language"]


class RecomputeSettings(Strict):
    """Shares of the activations that are computed again, not kept: less memory, more time. 1: all but layers' inputs.

    Compiled layers each make that share of their memory again, where it costs least; otherwise so many of the layers
    make all of theirs.
    """

    siglip: float = Field(default=0.0, ge=0, le=1)
    convnext: float = Field(default=0.0, ge=0, le=1)
    language: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _all_or_none(cls, document: Any) -> Any:
        """`true` and `false` stand for all layers and none."""
        return dict.fromkeys(cls.model_fields, float(document)) if isinstance(document, bool) else document


class StageSettings(Strict):
    """One training stage."""

    trainable: tuple[Part, ...] = Field(default=("connector", "vision", "language"), min_length=1)
    train_new_tokens: bool = Field(
        default=False, description="where language is frozen, the rows of Eagle's 11 tokens learn all the same"
    )
    capacity: int = Field(default=16384, ge=64, description="tokens per pack")
    max_tiles_per_pack: int | None = Field(default=None, ge=1)
    too_long: Literal["drop", "truncate"] = Field(
        default="drop", description="a sample of more tokens than a pack: leave it out, or cut turns and answers"
    )
    packing: Literal["balanced", "best_fit", "first_fit", "reference"] = "balanced"
    packs_per_step: int = Field(default=1, ge=1, description="global batch in packs, over all ranks")
    epochs: int = Field(default=1, ge=1)
    turns_per_sample: int | None = Field(
        default=None, ge=1, description="question-answer pairs drawn from a conversation anew each epoch; None: all"
    )
    learning_rate: float = Field(gt=0, le=1)
    learning_rate_factors: dict[Part, PositiveFloat] = Field(
        default={}, description="of a part's learning rate over the stage's, e.g. {vision: 0.1}"
    )
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    min_learning_rate_ratio: float = Field(default=0.0, ge=0, le=1, description="floor of the cosine, of the peak")
    weight_decay: float = Field(default=0.05, ge=0)
    grad_clip: float = Field(default=1.0, gt=0)
    zero_stage: Literal[0, 1, 2, 3] = 1
    precision: Literal["fp32", "bf16"] = "bf16"
    activation_checkpointing: RecomputeSettings = Field(
        default=RecomputeSettings(),
        description="true, false, or the share of each part's activations that the backward pass makes again",
    )
    compile: bool = Field(default=True, description="torch.compile each layer; on a GPU and below ZeRO-3 only")
    float8: Literal["off", "tensorwise"] = Field(
        default="off",
        description="large linear layers multiply in FP8, one scale a tensor; needs torchao and a Hopper or newer GPU",
    )
    flash_attention: Literal["torch", "fa3"] = Field(
        default="torch",
        description="fa3: FlashAttention 3; needs the package flash_attn_3 (PyTorch's package index) and a Hopper GPU",
    )
    fused_mlp: Literal["off", "quack"] = Field(
        default="off",
        description="quack: SigLIP's GELU and its gradient inside the matrix products; needs the package "
        "quack-kernels (`aerie[hopper]`) and a Hopper GPU",
    )
    loss_reduction: Literal["sqrt", "token", "sample"] = "sqrt"
    checkpoint_every: int = Field(default=100, ge=1, description="optimizer steps")
    keep_checkpoints: int = Field(default=2, ge=1)
    max_skipped_steps: int = Field(
        default=3,
        ge=1,
        description="steps in a row whose loss or gradient isn't finite; each changes nothing, these end",
    )
    nodes: int = Field(default=1, ge=1, le=9999, description="machines of a TrainJob; a laptop is one")

    @model_validator(mode="after")
    def _float8_fits(self) -> "StageSettings":
        if self.float8 != "off" and self.precision != "bf16":
            raise ValueError(f"float8: {self.float8} needs precision: bf16 (its copies are made from bfloat16)")
        if self.float8 != "off" and self.zero_stage == 3:
            raise ValueError(
                f"float8: {self.float8} needs zero_stage 2 or lower: every layer would keep its gathered weights until "
                "the backward pass"
            )
        return self

    @model_validator(mode="after")
    def _fused_mlp_fits(self) -> "StageSettings":
        if self.fused_mlp != "off" and (self.precision != "bf16" or self.zero_stage == 3):
            raise ValueError(
                f"fused_mlp: {self.fused_mlp} needs precision: bf16 and zero_stage 2 or lower (it reads the weights of "
                "layers that it doesn't call, which ZeRO-3 would not have gathered)"
            )
        return self

    @property
    def only_new_tokens(self) -> bool:
        """True where of the language model only the new tokens' rows learn."""
        return self.train_new_tokens and "language" not in self.trainable


class Recipe(Strict):
    """Everything that determines a run besides the code and the source packages."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = Field(ge=0, lt=1 << 32)
    data: DataSettings
    model: ModelSettings
    stages: dict[str, StageSettings]
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings | None = Field(default=None, description="None: no checkpoint is accepted or refused")
    processes: int = Field(default=1, ge=1, description="torchrun processes per node")
    sha256: str = ""

    def endpoint_keys(self) -> dict[str, str]:
        """Environment variables with keys of endpoints that steps will ask, and where the recipe names each."""
        asked = {
            "data.augmentation.endpoint": self.data.augmentation.asked(),
            "evaluation.judge": self.evaluation.judge,
        }
        return {one.api_key_env: place for place, one in asked.items() if one is not None and one.api_key_env}

    @model_validator(mode="after")
    def _three_stages(self) -> "Recipe":
        if tuple(self.stages) != STAGES:
            raise ValueError(f"stages must be exactly {list(STAGES)} in this order")
        return self

    @model_validator(mode="after")
    def _divisible_batches(self) -> "Recipe":
        for name, stage in self.stages.items():
            if stage.packs_per_step % (stage.nodes * self.processes):
                ranks = f"nodes ({stage.nodes}) × " if stage.nodes > 1 else ""
                message = f"must be a multiple of {ranks}processes ({self.processes})"
                raise ValueError(f"stages.{name}.packs_per_step {message}")
        return self

    @model_validator(mode="after")
    def _limits_concern_what_is_asked(self) -> "Recipe":
        """A required score of something that is never asked would refuse a checkpoint after all its training."""
        for name in self.promotion.benchmarks if self.promotion else ():
            if not self.evaluation.asks(benchmark_of(name)):
                raise ValueError(f"promotion.benchmarks has limits for {name}, so {_what_asks(name, self.evaluation)}")
        return self


def _what_asks(benchmark: str, settings: EvaluationSettings) -> str:
    if benchmark.startswith("local-"):
        return "evaluation.local_benchmarks must be true"
    if settings.benchmark_data is None:
        return "evaluation.benchmark_data must say where its files are"
    return f"evaluation.benchmarks must name {benchmark_of(benchmark)}"


def load_recipe(uri: str, sha256: str = "") -> Recipe:
    """The validated recipe; `AerieError` names file and key of each mistake."""
    document, actual = recipe_document(uri, sha256)
    document.pop("sha256", None)
    return validated(Recipe, {**document, "sha256": actual}, uri)
