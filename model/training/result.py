"""A finished stage's files: the checkpoint, the metrics, and what tells `train_stage` their hashes."""

import json

from data.files import join, read_bytes, write_bytes
from data.storage import attach, read_attachment, read_manifest
from model.checkpoint import RECIPE_FILE, TOKENIZER_FILE, save_checkpoint
from model.checkpoint_files import CONFIG_FILE
from model.tensor_files import WEIGHTS_FILE
from model.training.engine import TrainingEngine
from model.training.job import FINISHED_NAME, TrainingJob
from model.training.metrics import METRICS_NAME, STEPS_NAME, MetricsLog
from model.training.quarantine_log import QUARANTINE_NAME, merged_events
from model.vlm import VisionLanguageModel

# Names of a checkpoint's files in the manifest; shards keep theirs.
ATTACHMENTS = {
    WEIGHTS_FILE: "weights",
    CONFIG_FILE: "config",
    TOKENIZER_FILE: "tokenizer",
    RECIPE_FILE: "recipe",
}


def write_result(job: TrainingJob, model: VisionLanguageModel, engine: TrainingEngine, log: MetricsLog | None) -> None:
    """Write checkpoint and metrics, and last the file that says so; every rank calls this, `log` is rank 0's."""
    state = engine.weights()
    if log is None:
        return
    write_bytes(join(job.out_uri, METRICS_NAME), log.payload())
    files = {
        TOKENIZER_FILE: read_attachment(job.tokenizer_uri, read_manifest(job.tokenizer_uri), "tokenizer"),
        RECIPE_FILE: read_bytes(job.recipe_uri),
    }
    hashes = save_checkpoint(job.out_uri, model, state=state, files=files)
    attachments = {
        ATTACHMENTS.get(name, name): {"path": name, "sha256": sha256} for name, sha256 in sorted(hashes.items())
    }
    attachments["metrics"] = attach(job.out_uri, STEPS_NAME, log.payload(times=False))
    if payload := merged_events(job.out_uri, job.fingerprint):
        attachments["quarantine"] = attach(job.out_uri, QUARANTINE_NAME, payload)
    document = {"fingerprint": job.fingerprint, "attachments": attachments}
    write_bytes(join(job.out_uri, FINISHED_NAME), json.dumps(document, indent=1).encode())
