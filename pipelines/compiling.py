"""Compiles the pipelines to KFP YAML, byte for byte the same on every machine."""

import os
from pathlib import Path

PIPELINES = ("curate", "post_train", "end_to_end")


def compile_pipelines(folder: Path) -> list[Path]:
    """Write one YAML file a pipeline and return their paths."""
    from kfp import compiler

    from pipelines.curate import curate
    from pipelines.end_to_end import end_to_end
    from pipelines.post_train import post_train

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for pipeline, name in zip((curate, post_train, end_to_end), PIPELINES, strict=True):
        target = folder / f"{name}.yaml"
        # A rename at the end, so that two commands at once never read half a file.
        temporary = folder / f".{name}.{os.getpid()}.yaml"
        compiler.Compiler().compile(pipeline, str(temporary))
        temporary.replace(target)
        paths.append(target)
    return paths
