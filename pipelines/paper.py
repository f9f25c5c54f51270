"""What Eagle 2 (arXiv 2501.14818) says of its own training: samples, H100s and hours of each stage."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperStage:
    """One stage as the paper ran it."""

    samples: int
    gpus: int
    hours: float

    @property
    def gpu_hours(self) -> float:
        """Hours of all GPUs together."""
        return self.gpus * self.hours

    @property
    def samples_per_second(self) -> float:
        """Of one GPU."""
        return self.samples / (self.gpu_hours * 3600)


PAPER = {
    "stage_1": PaperStage(samples=1_200_000, gpus=128, hours=4.0),
    "stage_1_5": PaperStage(samples=21_600_000, gpus=256, hours=28.0),
    "stage_2": PaperStage(samples=4_600_000, gpus=256, hours=6.0),
}
