"""A stage in the processes that torchrun started: from the recipe to the finished files."""

from torch import distributed

from model.checkpoint import load_weights
from model.inputs.loader import PackLoader
from model.pretrained import load_pretrained
from model.recipe import Recipe, load_recipe
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.training.job import TrainingJob
from model.training.loop import Trainer
from model.training.result import write_result
from model.training.stopping import StopRequest
from model.vlm import VisionLanguageModel, build_model


def train(job: TrainingJob, stop: StopRequest) -> bool:
    """Train a stage and write its files; every process calls this. False when asked to stop midway."""
    recipe = load_recipe(job.recipe_uri, job.recipe_sha256)
    settings = recipe.stages[job.stage]
    loader = PackLoader.open(recipe, job.stage, job.packing_uri, job.formatting_uri, job.tokenizer_uri)
    device = join_processes()
    model = initial_network(job, recipe, loader)
    freeze(model, settings.trainable, loader.tokenizer.new_token_ids if settings.only_new_tokens else ())
    engine = TrainingEngine(model, settings, device)
    trainer = Trainer(job, recipe, loader, engine)
    trainer.resume()
    finished = trainer.run(stop)
    if finished:
        engine.barrier()  # every rank's quarantined samples are written
        write_result(job, model, engine, trainer.log)
    return finished


def initial_network(job: TrainingJob, recipe: Recipe, loader: PackLoader) -> VisionLanguageModel:
    """The parent stage's network, or a fresh one with the published parts that the recipe names."""
    tokenizer = loader.tokenizer
    rows = recipe.model.language.rows(tokenizer.vocab_size)
    model = build_model(recipe.model, rows, tokenizer.image_context_id, recipe.seed)
    if job.parent_uri:
        load_weights(model, job.parent_uri)
        return model
    for line in load_pretrained(model, recipe.model.pretrained, tokenizer, job.recipe_uri):
        if distributed.get_rank() == 0:
            print(f"{job.stage}  {line}", flush=True)
    return model
