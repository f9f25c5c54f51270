"""The exit handler: no TrainJob of a finished run keeps its GPUs."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def cleanup(storage_uri: str, run_id: str, kfp_run_id: str, training_runtime: str, status: dsl.PipelineTaskFinalStatus):
    """Delete the TrainJobs that this KFP run launched or took over, whatever state it ended in."""
    from components.trainjob_cleanup import end_of_run

    end_of_run(storage_uri, run_id, kfp_run_id, training_runtime, status.state)
