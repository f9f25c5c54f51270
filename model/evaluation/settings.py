"""The recipe's section `evaluation`: what each stage's checkpoint is asked, and how."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from data.errors import AerieError
from data.settings.base import Strict
from data.settings.endpoint import EndpointSettings


class EvaluationSettings(Strict):
    """Held-out questions; `max_samples` caps each source per stage, the last stage always takes all.

    After the last stage two kinds of benchmarks are asked as well, if the recipe wants them. Local ones are made of
    held-out samples. Public ones (`model/evaluation/benchmarks/cards`) are read from files; the published figures are
    over all their questions, so none is left out unless the recipe says so.
    """

    max_samples_early_stages: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)
    max_new_tokens: int = Field(default=32, ge=1, description="of an answer to a held-out or local question")
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="on a GPU; a CPU computes in float32")
    local_benchmarks: bool = Field(
        default=False, description="after the last stage, also ask held-out data in the shapes of public benchmarks"
    )
    max_questions_per_benchmark: int | None = Field(
        default=200, ge=4, description="of each local benchmark, evenly over sources and tasks; null: all"
    )
    benchmark_data: str | None = Field(
        default=None,
        min_length=1,
        description="folder or s3:// prefix with files of public benchmarks, asked after the last stage; a relative "
        "path counts from the recipe's folder",
    )
    benchmarks: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names of the public benchmarks to ask; null: all that have a card"
    )
    max_questions_per_public_benchmark: int | None = Field(
        default=None,
        ge=1,
        description="a seeded choice, with all rotations or figures of a chosen question; null: all questions. A "
        "benchmark asked in part counts in no average",
    )
    public_max_new_tokens: int = Field(
        default=1024, ge=1, description="of an answer to a public benchmark's question, as in aerie evaluate"
    )

    judge: EndpointSettings | None = Field(
        default=None,
        description="OpenAI-compatible endpoint that grades answers to MM-Vet and reads those to MathVista",
    )

    @field_validator("benchmarks")
    @classmethod
    def _known_benchmarks(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        from model.evaluation.benchmarks.cards import benchmark_card  # it reads all cards

        try:
            return None if names is None else tuple(benchmark_card(name).name for name in dict.fromkeys(names))
        except AerieError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _benchmarks_have_data(self) -> "EvaluationSettings":
        if self.benchmarks is not None and self.benchmark_data is None:
            raise ValueError("benchmarks names public benchmarks, so benchmark_data must say where their files are")
        return self

    @model_validator(mode="after")
    def _judge_has_work(self) -> "EvaluationSettings":
        if self.judge is None or self.local_benchmarks:
            return self
        from model.evaluation.benchmarks.cards import benchmark_cards  # it reads all cards

        of_a_judge = [card.name for card in benchmark_cards().values() if card.judge != "none"]
        if not any(map(self.asks, of_a_judge)):
            names, missing = " or ".join(of_a_judge), "benchmarks must name one of them"
            if self.benchmark_data is None:
                missing = "benchmark_data must say where their files are"
            raise ValueError(f"judge is for answers to {names}, so {missing}")
        return self

    def asks(self, benchmark: str) -> bool:
        """True when the last stage is asked this benchmark, a public one if its files are there."""
        if benchmark.startswith("local-"):
            return self.local_benchmarks
        return self.benchmark_data is not None and (self.benchmarks is None or benchmark in self.benchmarks)
