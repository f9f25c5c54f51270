"""The tokenizer of the run."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def tokenizer(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    formatting_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Train the byte-level BPE on the run's own text, or take the published one that the recipe names.

    Before that, the public benchmarks' files that the recipe names are read once: a broken row ends the run.
    """
    from components.door import open_door
    from model.evaluation.public_benchmarks import check_public_benchmarks
    from model.steps import train_tokenizer

    with open_door("tokenizer", storage_uri, run_id) as door:
        formatting = door.upstream("formatting", formatting_sha256)
        # What would end the evaluation after all training ends the run here, before a GPU is asked for.
        if door.untouched:
            check_public_benchmarks(recipe_uri, recipe_sha256)
        done = train_tokenizer(recipe_uri, recipe_sha256, formatting, door.out)
        return door.finish(done, metrics, manifest)
