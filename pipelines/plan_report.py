"""Everything that `aerie plan` tells, before it becomes tables or JSON."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from model.costs.cost import Plan
from model.costs.gpus import GIB
from model.costs.stage_cost import StagePlan
from model.recipe import Recipe
from pipelines.curation_hours import CurationHours, curation_hours
from pipelines.paper import PAPER
from pipelines.sample_counts import SampleCounts
from pipelines.scale import row_bytes
from pipelines.scale_limits import Workload

GPU_KEYS = ("name", "peak_flops", "matmul_flops", "memory_bytes", "usable_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """A recipe's plan, where its numbers of samples come from, and the hours of curating them."""

    recipe: Recipe
    plan: Plan
    counts: SampleCounts
    curation: CurationHours

    @property
    def pool(self) -> int | None:
        """Samples of the largest stage."""
        return max((count for count in self.counts.stages.values() if count), default=None)

    @property
    def beside_paper(self) -> bool:
        """Whether the paper's stages say anything about this recipe: not about one that trains in fp32 on a laptop."""
        return all(stage.speed for stage in self.plan.stages.values())

    def all_hours(self) -> tuple[float, float] | None:
        """Hours of the stages one after the other, and GPU-hours; None where a stage's aren't known."""
        hours = [stage.speed.hours for stage in self.plan.stages.values() if stage.speed and stage.speed.hours]
        if len(hours) < len(self.plan.stages):
            return None
        gpus = [stage.placement.gpus for stage in self.plan.stages.values()]
        return sum(hours), sum(each * count for each, count in zip(hours, gpus, strict=True))

    def samples_bytes(self) -> float | None:
        """Bytes of the formatted samples."""
        return None if self.pool is None else self.pool * row_bytes("samples", Workload())

    def packs_bytes(self, stage: StagePlan) -> float | None:
        """Bytes of a stage's pack plan."""
        if stage.samples is None:
            return None
        return stage.samples * stage.settings.epochs * row_bytes("packs", Workload())


def plan_report(recipe: Recipe, plan: Plan, counts: SampleCounts) -> PlanReport:
    """Put the parts together; curation counts with the recipe's pool, or the paper's where none is known."""
    pool = counts.stages["stage_1_5"] or Workload().samples
    return PlanReport(recipe=recipe, plan=plan, counts=counts, curation=curation_hours(pool))


def warnings(report: PlanReport) -> list[str]:
    """What won't work, and what to change, one line each."""
    lines = []
    for name, stage in report.plan.stages.items():
        room = stage.placement.gpu.usable_bytes
        if not stage.fits:
            lines.append(
                f"{name} does not fit: its peak is {stage.memory.peak / GIB:.1f} GiB, "
                f"{stage.placement.gpu.name} has {room / GIB:.1f} GiB for tensors"
            )
            changes = [f"{remedy.change} ({remedy.peak / GIB:.1f} GiB)" for remedy in stage.remedies]
            none = "none of the stage's keys is enough: more GPUs with zero_stage 3, or a larger card"
            lines.append(f"  {name} would fit with " + "; or ".join(changes) if changes else f"  {none}")
        elif stage.fullest_peak > room:
            limit = f"max_tiles_per_pack: {stage.tiles_that_fit}" if stage.tiles_that_fit else "a smaller capacity"
            lines.append(
                f"{name} fits with average packs, but one full of tiles takes {stage.fullest_peak / GIB:.1f} GiB; "
                f"set {limit}"
            )
    return lines


def assumptions(report: PlanReport) -> list[str]:
    """Where the numbers come from, one line each."""
    plan, mix = report.plan, report.plan.mix
    lines = [
        f"Samples: {report.counts.origin}.",
        f"A sample: {mix.tiles:g} tiles and {mix.text_tokens:g} text tokens, {mix.tokens(report.recipe.model):,.0f} "
        f"together, {mix.label_tokens:g} with a loss; all equally long (--tiles, --text-tokens, --label-tokens).",
    ]
    for name, stage in plan.stages.items():
        if stage.speed:
            lines.append(
                f"Speed of {name}: {stage.speed.efficiency.mfu:.2f} of the {plan.gpu.matmul_flops / 1e12:.0f} TFLOP/s "
                f"of one large product ({_measured(report)}); {stage.speed.efficiency.origin}."
            )
    if not report.beside_paper:
        lines.append("Speed: none measured in fp32.")
    else:
        lines.append("Speed: measured on one or two GPUs; what more GPUs lose to each other is not counted.")
    lines += [
        "Recomputed activations, where they differ: of SigLIP, ConvNeXt and the language model.",
        f"Memory: counted from DeepSpeed's code and the layers' geometry; {_reserved(report):.0f} GiB of the card are "
        "left to CUDA, NCCL and holes.",
        f"Storage: {Workload().image_bytes // 1000} kB an image, one image a sample.",
        "Curation: the GPU's work alone, by rates measured on one H100. On a cluster embedding and the gate have one "
        "where AERIE_GPU_TASKS names them at the release; selection has none. infra/README.md has whole steps.",
    ]
    return lines


def _measured(report: PlanReport) -> str:
    return "measured" if report.plan.gpu.measured_matmul else "0.8 of its peak, not measured"


def _reserved(report: PlanReport) -> float:
    return (report.plan.gpu.memory_bytes - report.plan.gpu.usable_bytes) / GIB


def document(report: PlanReport) -> dict[str, Any]:
    """The same as JSON: FLOPs, bytes, hours, samples a second and GPU."""
    plan, recipe = report.plan, report.recipe
    return {
        "recipe": recipe.name,
        "sha256": recipe.sha256,
        "gpu": {key: getattr(plan.gpu, key) for key in GPU_KEYS},
        "parameters": {**plan.parameters, "total": plan.total},
        "pieces": plan.pieces,
        "tokens_per_tile": plan.tokens_per_tile,
        "max_tiles": plan.max_tiles,
        "sample": dataclasses.asdict(plan.mix),
        "stages": {name: _stage_document(report, stage) for name, stage in plan.stages.items()},
        "paper": {
            name: dataclasses.asdict(stage)
            | {"gpu_hours": stage.gpu_hours, "samples_per_second": stage.samples_per_second}
            for name, stage in PAPER.items()
        },
        "formatted_samples_bytes": report.samples_bytes(),
        "curation_hours": {**report.curation.rows(), "together": report.curation.total},
        "assumptions": assumptions(report),
        "warnings": warnings(report),
    }


def _stage_document(report: PlanReport, stage: StagePlan) -> dict[str, Any]:
    settings = stage.settings.model_dump(mode="json")
    shown = (
        "capacity",
        "packs_per_step",
        "epochs",
        "learning_rate",
        "precision",
        "zero_stage",
        "activation_checkpointing",
    )
    speed = stage.speed
    return {
        "trains": stage.trains,
        "trainable_parameters": stage.trainable,
        "gpus": stage.placement.gpus,
        "pods": stage.placement.pods,
        "gpus_per_pod": stage.placement.per_pod,
        **{key: settings[key] for key in shown},
        "packs_per_gpu_and_step": stage.packs_per_gpu,
        "samples_per_pack": stage.samples_per_pack,
        "samples": stage.samples,
        "steps": stage.steps,
        "sample_flops": dataclasses.asdict(stage.flops) | {"total": stage.flops.total},
        "memory_bytes": dataclasses.asdict(stage.memory) | {"peak": stage.memory.peak},
        "memory_bytes_full_of_tiles": stage.fullest_peak,
        "fits": stage.fits,
        "remedies": [dataclasses.asdict(remedy) for remedy in stage.remedies],
        "max_tiles_per_pack_that_fits": stage.tiles_that_fit,
        "mfu": speed and speed.efficiency.mfu,
        "mfu_origin": speed and speed.efficiency.origin,
        "samples_per_second_and_gpu": speed and speed.samples_per_second,
        "hours": speed and speed.hours,
        "gpu_hours": speed and speed.gpu_hours,
        "checkpoint_bytes": stage.checkpoint,
        "checkpoints_bytes": stage.checkpoints,
        "finished_weights_bytes": stage.result,
        "packs_bytes": report.packs_bytes(stage),
    }
