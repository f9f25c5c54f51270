"""Held-out questions answered by a stage's checkpoint, and the same with blank images."""

from kfp import dsl

from components.images import MODEL_IMAGE


@dsl.component(base_image=MODEL_IMAGE, install_kfp_package=False)
def evaluation(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    stage: str,
    checkpoint_sha256: str,
    formatting_sha256: str,
    tokenizer_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Predict and score the held-out set after one stage."""
    import json

    from components.door import flat_numbers, log_metrics, open_door
    from model.evaluation.run import evaluate_checkpoint

    with open_door(f"evaluation/{stage}", storage_uri, run_id) as door:
        checkpoint = door.upstream(stage, checkpoint_sha256)
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        done = evaluate_checkpoint(recipe_uri, recipe_sha256, stage, checkpoint, formatting, tokenizer, door.out)
        log_metrics(metrics, flat_numbers(json.loads(door.attachment(done, "scores") or b"{}"), f"evaluation.{stage}"))
        return door.finish(done, metrics, manifest)
