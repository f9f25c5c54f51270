"""The `aerie evaluate` and `aerie score` commands: answers once, scores as often as wanted."""

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.chat_cli import checkpoint_place
from pipelines.options import AsJson, Checkpoint, LocalStorage, Tokenizer
from pipelines.people import for_people

if TYPE_CHECKING:
    from model.evaluation.scoring import Scores

scoring = typer.Typer()
DEFAULT_RULES = "eagle2"
Rules = Annotated[
    str, typer.Option("--rules", help="Rule set: eagle2, vlmevalkit or lmms-eval, each as that tool reads answers.")
]
AllRules = Annotated[bool, typer.Option("--all-rules", help="Score by every rule set and show how far they differ.")]
Judge = Annotated[
    str,
    typer.Option("--judge", metavar="FILE", help="YAML of an OpenAI-compatible endpoint (url, model, cache_uri, ...)."),
]
Data = Annotated[str, typer.Option("--data", metavar="FOLDER", help="Folder of the benchmarks' downloaded data.")]


@scoring.command()
def score(
    predictions: Annotated[
        str,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Folder that aerie evaluate wrote, RUN/evaluation/STAGE, RUN/judging (a judge's verdicts in it), or "
            "a file of another tool (Parquet, JSONL, JSON, CSV, TSV, XLSX).",
        ),
    ],
    rules: Rules = DEFAULT_RULES,
    all_rules: AllRules = False,
    benchmark: Annotated[
        str, typer.Option("--benchmark", metavar="NAME", help="The benchmark that a file of another tool answers.")
    ] = "",
    data: Data = "",
    verdicts: Annotated[
        str, typer.Option("--verdicts", metavar="FILE", help="Write each question's verdict there, as JSON lines.")
    ] = "",
    empty_ok: Annotated[
        bool,
        typer.Option("--empty-ok", help="An empty cell of a CSV, TSV or XLSX is an empty answer, not a missing one."),
    ] = False,
    judge: Judge = "",
    as_json: AsJson = False,
) -> None:
    """Score stored predictions, without the network that made them.

    The same predictions and rule set always give the same score. A file that VLMEvalKit (index, prediction) or
    lmms-eval (doc_id, filtered_resps) wrote is joined with its benchmark's questions by --benchmark and --data; every
    question must be answered, once. Answers that only a judge can grade (MM-Vet) stay unjudged without --judge.
    """
    with for_people() as console:
        from model.evaluation.scoring import RULE_SETS, score_predictions, write_verdicts

        names = list(RULE_SETS) if all_rules else [rules]
        scores = score_predictions(predictions, names, benchmark=benchmark, data=data, empty_ok=empty_ok, judge=judge)
        if verdicts:
            write_verdicts(scores, verdicts)
        _print(scores, as_json, console)


@scoring.command()
def evaluate(
    checkpoint: Checkpoint,
    data: Data,
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Folder (or s3://) for a prediction set each.")],
    benchmarks: Annotated[
        list[str] | None, typer.Option("--benchmark", metavar="NAME", help="Repeat for several; without it, all.")
    ] = None,
    tokenizer: Tokenizer = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer.")] = 1024,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Questions at once; only sets the speed.")
    ] = 64,
    precision: Annotated[str, typer.Option("--precision", help="bf16 or fp32, on a GPU; a CPU takes fp32.")] = "bf16",
    wording: Annotated[str, typer.Option("--wording", help="Which of the card's wordings is asked.")] = "direct",
    rules: Rules = DEFAULT_RULES,
    all_rules: AllRules = False,
    judge: Judge = "",
    storage: LocalStorage = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Let a checkpoint answer benchmarks, and score the answers.

    Answers are stored as they come, raw, one folder a benchmark: give the same command again after a crash or a kill,
    and only what is missing is asked. Benchmarks without data in FOLDER are not run. aerie score reads OUT later.
    """
    with for_people(f"Interrupted. Finished answers are kept in {out}; give the same command again.") as console:
        from model.evaluation.benchmark_run import AnswerOptions, evaluate_benchmarks
        from model.evaluation.scoring import RULE_SETS, check_rules, score_predictions

        names = list(RULE_SETS) if all_rules else [rules]
        check_rules(names)  # before hours of answers
        options = AnswerOptions(
            max_new_tokens=max_new_tokens, batch_size=batch_size, precision=precision, wording=wording
        )
        place = checkpoint_place(checkpoint, storage)
        with redirect_stdout(sys.stderr if as_json else sys.stdout):  # progress lines are no JSON
            sets, not_run = evaluate_benchmarks(place, tokenizer, benchmarks or [], data, out, options)
        scores = score_predictions(sets, names, judge=judge)
        _print(scores, as_json, console, {one.benchmark: one.why for one in not_run})


def _print(scores: "Scores", as_json: bool, console: Console, not_run: dict[str, str] | None = None) -> None:
    from pipelines.score_tables import show_scores

    if as_json:
        document = scores.document() | ({"not_run": not_run} if not_run is not None else {})
        console.print_json(json.dumps(document), ensure_ascii=False)
        return
    show_scores(scores.document(), console)
    for name, why in (not_run or {}).items():
        console.print(f"not run: {name} ({why})", highlight=False, markup=False)
