"""What a run at the paper's size is, and the limits it must keep, each with its source."""

from dataclasses import dataclass

from pipelines.paper import PAPER

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Linux MAX_ARG_STRLEN: 32 pages of 4 KiB, less the closing zero byte (kubeflow_facts.md, run locally).
ARGUMENT_BYTES = 131_071
# etcd's default --max-request-bytes: no Kubernetes object may be larger.
ETCD_BYTES = 1_572_864
# Argo's own limit of a Workflow: above it the node status is packed (gzip, base64), and what doesn't fit then fails
# unless a database takes the status (nodeStatusOffLoad), which KFP does not set up.
WORKFLOW_BYTES = 1 * MIB
# metadata.annotations of one object, all together (Kubernetes); a client-side apply puts the whole object there.
ANNOTATION_BYTES = 262_144
# What one step may take (given): a lost pod repeats the step from its start.
STEP_HOURS = 24.0
# The paper's, taken as equally large: the gate compares within one.
CATEGORIES = 9
# The paper's hours of the stages; training here shall be some five times as fast (issue 6), and reading never slower.
STAGE_HOURS = {"stage_1": 4.0, "stage_1_5": 28.0, "stage_2": 6.0}
FASTER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The paper's run. `samples` is the pool, which stage 1.5 trains on whole; `heldout` samples stay out of it.

    image_bytes is the size of one encoded image (given: a JPEG of 1024 x 768); every sample has one.
    nodes and gpus are those of a TrainJob (paper: 256 H100), one process a GPU.
    """

    sources: int = 180
    samples: int = PAPER["stage_1_5"].samples
    stage_1: int = PAPER["stage_1"].samples
    stage_2: int = PAPER["stage_2"].samples
    heldout: int = 50_000
    rows_per_shard: int = 2048
    image_bytes: int = 130_000
    nodes: int = 32
    gpus: int = 8

    @property
    def rows_per_source(self) -> int:
        """Samples of one source when all are equally large."""
        return -(-self.samples // self.sources)
