"""Lets a checkpoint answer questions, kills it by SIGKILL at every write, and tells what each try had and asked.

    python kill_answers.py PLAN.json RESULT.json

PLAN: `checkpoint`, `folder`, `questions` (how many) for a prediction set; `recipe`, `checkpoint`, `formatting`,
`tokenizer`, `folder` for the evaluation step of the graph.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from killed_child import MOMENTS, doomed, fork, live, outcome
from PIL import Image

from data.files import exists, join
from data.images import encode_png, image_ref
from data.storage import manifest_uri, parquet_table
from model.chat_files import open_checkpoint
from model.evaluation import public_answers, run, step_answers
from model.evaluation.predict import Answerer
from model.evaluation.prediction_store import SetSettings, questions_hash, store_predictions
from model.evaluation.predictions import predicted
from model.evaluation.questions import Question

PER_SHARD = 4
step_answers.QUESTIONS_PER_SHARD = public_answers.QUESTIONS_PER_SHARD = PER_SHARD


def main() -> None:
    """The command line at the head of this file."""
    plan_file, result = sys.argv[1:]
    plan = json.loads(Path(plan_file).read_text())
    gc.freeze()
    whole, killed = join(plan["folder"], "whole"), join(plan["folder"], "killed")
    work = graph_step if "recipe" in plan else prediction_set
    live(lambda: work(plan, whole))
    seen = []
    for number in range(1000):
        before, log = stored(killed), join(plan["folder"], f"asked-{number}.txt")
        write, moment = number // len(MOMENTS), MOMENTS[number % len(MOMENTS)]
        code = outcome(fork(partial(doomed, partial(counted, log, work, plan), killed, write, moment)))
        asked = Path(log).read_text().splitlines() if Path(log).exists() else []
        seen.append({"code": code, "stored": before, "asked": asked, "committed": exists(manifest_uri(killed))})
        if code == 0:
            break
    Path(result).write_text(json.dumps({"whole": whole, "killed": killed, "tries": seen}))


def prediction_set(plan: dict[str, Any], folder: str) -> None:
    """A set of colour questions by the checkpoint."""
    asked = questions(plan["questions"])
    settings = SetSettings(
        benchmark="colours",
        checkpoint="c" * 64,
        tokenizer="t" * 64,
        card="k" * 64,
        questions=len(asked),
        questions_sha256=questions_hash(asked),
        generation={"decoding": "greedy", "max_new_tokens": 4, "dtype": "float32", "torch": torch.__version__},
    )
    opened = open_checkpoint(plan["checkpoint"])
    answerer = Answerer(opened.model, opened.tokenizer, batch_size=3, max_new_tokens=4)

    def ask(first, last, progress):
        chosen = asked[first:last]
        outputs = answerer.answers(chosen, blind=False, within=progress)
        return [predicted(one, text, checkpoint="c" * 64) for one, text in zip(chosen, outputs, strict=True)]

    store_predictions(folder, settings, asked, ask, questions_per_shard=PER_SHARD)


def graph_step(plan: dict[str, Any], folder: str) -> None:
    """The evaluation of a run's last stage."""
    inputs = (plan["checkpoint"], plan["formatting"], plan["tokenizer"])
    run.evaluate_checkpoint(plan["recipe"], "", "stage_2", *inputs, folder)


def questions(count: int) -> list[Question]:
    """Which colour a picture has; every picture is another."""
    made = []
    for number in range(count):
        colour = (255 - number, 0, number) if number % 2 else (number, 0, 255 - number)
        image = image_ref(encode_png(Image.new("RGB", (64, 64), colour)), f"{number}.png")
        made.append(
            Question(
                question_id=f"colours/{number}", sample_id=f"s{number}", source="colours", category="general_vqa",
                task="open", answer_type="open", prompt="<image>\nwhich colour?", answer="red", images=(image,),
                image_key=image.content_hash(), rule="exact", answers=("red",), facts={"number": number},
            )
        )  # fmt: skip
    return made


def check_tries(tries: list[dict[str, Any]], total: int) -> None:
    """Each try asked just what no whole shard held when it began, as far as it came; in the end all was asked."""
    assert [one["code"] for one in tries] == [-9] * (len(tries) - 1) + [0]
    assert not any(one["committed"] for one in tries[:-2]), "only the last kill can have come after the manifest"
    for one in tries:
        assert not set(one["stored"]) & set(one["asked"])
        assert len(set(one["asked"])) == len(one["asked"])
    assert max(len(one["stored"]) for one in tries) == total


def see(folder: Path, **plan: Any) -> dict[str, Any]:
    """This program's result for a plan, in a process of its own."""
    root = Path(__file__).resolve().parents[2]
    names = [str(folder / name) for name in ("plan.json", "result.json")]
    Path(names[0]).write_text(json.dumps({"folder": str(folder / "work"), **plan}))
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, __file__, *names], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(Path(names[1]).read_text())


def counted(log: str, work: Callable[..., Any], plan: dict[str, Any], folder: str) -> None:
    """Work whose questions to the network are written down, one a line."""
    answers = Answerer.answers

    def logged(self, asked, *, blind, **given):
        outputs = answers(self, asked, blind=blind, **given)
        with open(log, "a") as stream:
            stream.writelines(f"{question.question_id} {blind}\n" for question in asked)
        return outputs

    Answerer.answers = logged
    work(plan, folder)


def stored(folder: str) -> list[str]:
    """Questions whose answers lie in whole shards of a set, or of a step's answers so far."""
    found = []
    for path in sorted(Path(folder).rglob("shard-*.parquet")):
        table = parquet_table(path.read_bytes())
        pairs = zip(table["question_id"].to_pylist(), table["blind"].to_pylist(), strict=True)
        found += [f"{question_id} {blind}" for question_id, blind in pairs]
    return found


def files_of(folder: str) -> dict[str, bytes]:
    """What lies in a folder; a write that was killed leaves a temporary file, whose name begins with a dot."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if __name__ == "__main__":
    main()
