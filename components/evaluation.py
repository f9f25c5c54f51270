"""Held-out questions answered by a stage's checkpoint, and the same with blank images."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
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
    table: dsl.Output[dsl.Markdown],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Predict and score the held-out set after one stage."""
    import json

    from components.artifacts import fill
    from components.door import flat_numbers, log_metrics, open_door
    from model.evaluation.run import evaluate_checkpoint
    from model.evaluation.task_views import scores_markdown

    with open_door(f"evaluation/{stage}", storage_uri, run_id) as door:
        checkpoint = door.upstream(stage, checkpoint_sha256)
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        done = evaluate_checkpoint(recipe_uri, recipe_sha256, stage, checkpoint, formatting, tokenizer, door.out)
        scores = json.loads(door.attachment(done, "scores") or b"{}")
        log_metrics(metrics, flat_numbers(scores, f"evaluation.{stage}"))
        fill(table, scores_markdown(scores))
        return door.finish(done, metrics, manifest)
