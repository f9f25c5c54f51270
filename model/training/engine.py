"""DeepSpeed behind a small typed face: the only file that imports it."""

import math
import os
from typing import Any

import torch
from torch import distributed, nn

from model.new_tokens import token_tables
from model.recipe import StageSettings
from model.training.checkpoints.engine_state import EngineState
from model.training.flat_gradients import keep_gradients_flat
from model.training.freezing import parameter_groups
from model.training.gradient_checks import bind_weights_once, fuse_gradient_checks
from model.training.layers import prepare_layers
from model.vlm import PackTensors, VisionLanguageModel

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
MAX_BUCKET = 500_000_000  # elements that ZeRO reduces or gathers at once; its own default


def engine_config(settings: StageSettings, *, trainable: int, micro_batches: int) -> dict[str, Any]:
    """DeepSpeed's configuration of a stage; `trainable` is the number of parameters that learn.

    ZeRO allocates its buckets in full, so they are no larger than the gradients. Where several packs' gradients
    add up, they do so in fp32 even when the network computes in bf16 (DeepSpeed can't do that without ZeRO, i.e. with
    stage 0).
    """
    bucket, half = min(trainable, MAX_BUCKET), settings.precision == "bf16"
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,  # one pack
        "gradient_accumulation_steps": micro_batches,
        "gradient_clipping": settings.grad_clip,
        "bf16": {"enabled": half},
        "zero_optimization": {
            "stage": settings.zero_stage,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "contiguous_gradients": True,
            "overlap_comm": torch.cuda.is_available(),
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
    }
    if half and settings.zero_stage > 0 and micro_batches > 1:
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def join_processes() -> torch.device:
    """Meet the other processes that torchrun started; returns this one's device."""
    gpu = torch.cuda.is_available()
    if not gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        # DeepSpeed would compile a shared-memory all-reduce with ninja here (a minute at the first start); gloo does.
        deepspeed.ops.__compatible_ops__ = {}
    deepspeed.init_distributed("nccl" if gpu else "gloo", auto_mpi_discovery=False, verbose=False)
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")


def _import_muon_uncompiled() -> None:
    """Spare the seconds in which DeepSpeed loads torch's compiler, only to see that our AdamW is not Muon.

    Its checks import the Muon module, whose functions are decorated with torch.compile; we never call them.
    """
    compiler = torch.compile
    torch.compile = lambda *_, **__: lambda function: function  # type: ignore[assignment]
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        torch.compile = compiler


class TrainingEngine:
    """A network under DeepSpeed: gradients of a global batch, optimizer steps, state to and from disk.

    The loss of a global batch is sum over all packs of all ranks / `denominator`. DeepSpeed averages gradients over the
    ranks, so each rank's share is multiplied by their number; the result doesn't depend on it.
    """

    def __init__(self, model: VisionLanguageModel, settings: StageSettings, device: torch.device) -> None:
        import deepspeed

        self.device, self.settings = device, settings
        self.sample_losses = torch.zeros(0)
        self.rank, self.world = distributed.get_rank(), distributed.get_world_size()
        prepare_layers(model, settings, device)
        undecayed = token_tables(model.language) if settings.only_new_tokens else ()
        groups = parameter_groups(model, settings.weight_decay, undecayed, dict(settings.learning_rate_factors))
        trainable = sum(parameter.numel() for group in groups for parameter in group["params"])
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=ADAM_BETAS, eps=ADAM_EPS, fused=True)
        micro_batches = settings.packs_per_step // self.world
        config = engine_config(settings, trainable=trainable, micro_batches=micro_batches)
        _import_muon_uncompiled()
        self._engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        (keep_gradients_flat if micro_batches == 1 else fuse_gradient_checks)(self._engine.optimizer)
        bind_weights_once(self._engine.optimizer)

    def gradients(
        self, pack: PackTensors, weights: torch.Tensor, denominator: float | torch.Tensor, *, last: bool
    ) -> torch.Tensor:
        """Add one pack's gradients; `last` says that the step's gradients are complete. Returns the weighted loss.

        Neither the loss nor a `denominator` on the device (float64, 0-d) is waited for. `sample_losses` are then the
        pack's, by sample. A loss that isn't finite may have finite gradients; they become NaN here, which the reduction
        carries to every rank, so that one look at the norm in `step` is enough.
        """
        self._engine.set_gradient_accumulation_boundary(last)
        loss, self.sample_losses = self._engine(pack, weights)
        scale = torch.where(loss.detach().isfinite(), self.world / denominator, math.nan)
        self._engine.backward(loss * scale.to(loss.dtype), scale_wrt_gas=False)
        return loss.detach()

    def step(self, learning_rate: float) -> float:
        """Clip, update the weights; returns the norm of the gradient before clipping.

        Where the norm isn't finite, the gradients are dropped on every rank and neither weights nor moments change.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate_factor"]
        plain = self._engine.optimizer.__class__ is torch.optim.AdamW
        norm = float(self._plain_norm()) if plain else 0.0
        if not math.isfinite(norm):
            self._engine.zero_grad()
            return norm
        self._engine.step()  # outside of the plain case DeepSpeed looks at the norm itself
        norm = norm if plain else float(self._engine.get_global_grad_norm())
        if math.isfinite(norm) != self._engine.was_step_applied():
            raise RuntimeError(f"DeepSpeed reports a gradient norm of {norm} and a step that doesn't fit it")
        return norm

    def sum(self, values: list[float]) -> list[float]:
        """Sums over the ranks."""
        if self.world == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def barrier(self) -> None:
        """Wait for every rank."""
        distributed.barrier()

    @property
    def state(self) -> EngineState:
        """What a checkpoint holds of this rank."""
        return EngineState(self._engine, self.rank, self.world)

    def weights(self) -> dict[str, torch.Tensor]:
        """The network's whole state on rank 0, gathered where ZeRO-3 has scattered it; empty on the other ranks."""
        import deepspeed

        module: nn.Module = self._engine.module
        if self.settings.zero_stage < 3:
            return module.state_dict() if self.rank == 0 else {}
        state = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            with deepspeed.zero.GatheredParameters([parameter]):
                if self.rank == 0:
                    state[name] = parameter.detach().cpu().clone()
        if self.rank == 0:
            state |= {name: value for name, value in module.state_dict().items() if name not in state}
        return state

    def _plain_norm(self) -> torch.Tensor:
        """Without ZeRO in fp32 DeepSpeed clips but doesn't tell the norm."""
        gradients = [parameter.grad for parameter in self._engine.module.parameters() if parameter.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)
