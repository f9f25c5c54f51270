"""The real lmms-eval command over a checkpoint of ours, offline: its answers and scores are our own evaluation's.

lmms-eval has an environment of its own; `make test-lmms` makes it and names its Python in AERIE_LMMS_PYTHON.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.images import encode_png, image_ref
from data.schema import ImageRef
from model.checkpoint import save_checkpoint
from model.evaluation.predict import Answerer
from model.evaluation.questions import Question
from model.evaluation.scorers import exact_match
from model.generation import generate
from model.likelihood import continuation_likelihoods
from model.lmms_eval.messages import encode_chat, read_chat, read_simple

ASK, CHOICES, BATCH = "which colour?", ["red", "green", "blue"], 3
SHOWN = [("red",), ("blue",), ("red", "blue"), (), ("wide blue",), ("green",), ("blue", "red", "wide blue")]
ANSWERS = ["red", "red", "blue", "blue", "blue", "red", "red"]
VALUE = {"dtype": "string", "_type": "Value"}
FEATURES = {"images": {"feature": {"_type": "Image"}, "_type": "List"}, "question": VALUE, "answer": VALUE}
FEATURES |= {"choices": {"feature": VALUE, "_type": "List"}}
SCHEMA = pa.schema(
    [
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("choices", pa.list_(pa.string())),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)

if not os.environ.get("AERIE_LMMS_PYTHON"):
    pytest.skip("lmms-eval's own environment isn't named (AERIE_LMMS_PYTHON): make test-lmms", allow_module_level=True)
pytestmark = pytest.mark.timeout(900)


def picture(name: str) -> ImageRef:
    size = (140, 70) if name.startswith("wide ") else (64, 64)
    return image_ref(encode_png(Image.new("RGB", size, name.removeprefix("wide "))), name)


PICTURES = [tuple(picture(name) for name in names) for names in SHOWN]


@pytest.fixture(scope="module")
def place(colour_checkpoint, tmp_path_factory) -> Path:
    """A folder with a checkpoint, the tasks and their data."""
    folder = tmp_path_factory.mktemp("lmms")
    shutil.copytree(Path(__file__).parent / "lmms_tasks", folder / "tasks")
    rows = [
        {
            "images": [{"bytes": image.bytes, "path": None} for image in images],
            "question": ASK,
            "answer": answer,
            "choices": CHOICES,
        }
        for images, answer in zip(PICTURES, ANSWERS, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "tasks/questions.parquet")
    files = {"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    save_checkpoint(str(folder / "checkpoint"), colour_checkpoint.model, files=files)
    return folder


def python(place: Path, *arguments: str) -> str:
    """What lmms-eval's Python prints."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(place / "hub")}
    done = subprocess.run(
        [os.path.abspath(os.environ["AERIE_LMMS_PYTHON"]), *arguments],
        env={**os.environ, **offline, "OMP_NUM_THREADS": "1"},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def evaluate(place: Path, tasks: str, *options: str, ranks: int = 1) -> SimpleNamespace:
    """The scores by task, and its samples in the documents' order."""
    out = place / f"out_{ranks}"
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    log = python(
        place, *start, "-m", "lmms_eval", "--model", "aerie", "--model_args", f"pretrained={place}/checkpoint",
        "--tasks", tasks, "--include_path", f"{place}/tasks", "--batch_size", str(BATCH), "--output_path", str(out),
        "--log_samples", *options,
    )  # fmt: skip
    (results,) = out.rglob("*_results.json")
    samples = {}
    for task in tasks.split(","):
        (file,) = out.rglob(f"*_samples_{task}.jsonl")
        samples[task] = sorted(map(json.loads, file.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    return SimpleNamespace(scores=json.loads(results.read_text())["results"], samples=samples, log=log)


@pytest.fixture(scope="module")
def ours(colour_checkpoint) -> list[str]:
    """The answers of our own evaluation."""
    answerer = Answerer(colour_checkpoint.model, colour_checkpoint.tokenizer, batch_size=4, max_new_tokens=6)
    questions = [
        Question(
            question_id="q", sample_id="s", source="s", category="general_vqa", task="color", answer_type="open",
            prompt="<image>\n" * len(images) + ASK, answer=answer, images=images, rule="exact", answers=(answer,),
            image_key="+".join(image.content_hash() for image in images),
        )
        for images, answer in zip(PICTURES, ANSWERS, strict=True)
    ]  # fmt: skip
    answers = answerer.answers(questions, blind=False, label="ours")
    assert len(set(answers)) > 2
    return answers


def test_the_chat_interface_answers_and_scores_as_our_own_evaluation(place, ours, colour_checkpoint):
    found = evaluate(place, "aerie_colours,aerie_interleaved")
    assert [sample["filtered_resps"] for sample in found.samples["aerie_colours"]] == ours
    score = np.mean([exact_match(output, answer) for output, answer in zip(ours, ANSWERS, strict=True)])
    assert 0 < score < 1
    assert found.scores["aerie_colours"]["exact_match,none"] == pytest.approx(score)
    for images, sample in zip(PICTURES, found.samples["aerie_interleaved"], strict=True):
        answer, read, written = interleaved(colour_checkpoint, images)
        assert sample["filtered_resps"] == answer
        assert sample["token_counts"] == [{"input_tokens": read, "output_tokens": written}]


def interleaved(checkpoint, images) -> tuple[str, int, int]:
    """By our own generation: the task's messages, an answer up to its first "e", tokens read and written."""
    conversation = read_chat(
        [
            {"role": "system", "content": [{"type": "text", "text": "system user"}]},
            {"role": "user", "content": [{"type": "text", "text": ASK}]},
            {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
            {"role": "user", "content": [{"type": "text", "text": ASK + "<image>is this?" * len(images)}]
             + [{"type": "image", "image": image} for image in images]},
        ]
    )  # fmt: skip
    prompt = encode_chat(conversation, checkpoint)
    (row,) = generate(checkpoint.model, [prompt], end_ids=[checkpoint.tokenizer.im_end_id], max_new_tokens=256)
    return checkpoint.tokenizer.decode(row).split("e")[0].strip(), len(prompt.input_ids), len(row)


def test_the_simple_interface_on_two_ranks_answers_and_compares_choices(place, ours, colour_checkpoint):
    found = evaluate(place, "aerie_colours,aerie_choices", "--force_simple", ranks=2)
    assert [sample["filtered_resps"] for sample in found.samples["aerie_colours"]] == ours
    chosen = []
    for images, sample in zip(PICTURES, found.samples["aerie_choices"], strict=True):
        prompt = encode_chat(read_simple(ASK, images), colour_checkpoint)
        texts = [colour_checkpoint.tokenizer.encode(choice) for choice in CHOICES]
        expected = continuation_likelihoods(colour_checkpoint.model, [prompt] * len(CHOICES), texts)
        losses, greedy = zip(*sample["filtered_resps"], strict=True)
        assert [float(loss) for loss in losses] == pytest.approx(
            [-likelihood.log_probability for likelihood in expected], rel=1e-3, abs=1e-4
        )
        assert [text == "True" for text in greedy] == [likelihood.greedy for likelihood in expected]
        chosen.append(CHOICES[int(np.argmax([likelihood.log_probability for likelihood in expected]))])
    assert found.scores["aerie_choices"]["acc,none"] == pytest.approx(
        np.mean([choice == answer for choice, answer in zip(chosen, ANSWERS, strict=True)])
    )


PROBE = """
import json, sys
from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model, get_model_manifest
from data.errors import AerieError

folder, said = sys.argv[1], {}

def note(name, call):
    try:
        said[name] = call()
    except AerieError as error:
        said[name] = f"refused: {error}"

chat, simple = get_model("aerie"), get_model("aerie", force_simple=True)
manifest = get_model_manifest("aerie")
said["classes"] = [manifest.chat_class_path, manifest.simple_class_path]
note("argument", lambda: chat.create_from_arg_string(f"pretrained={folder},temperature=1", {"batch_size": 1}))
note("dtype", lambda: chat.create_from_arg_string(f"pretrained={folder},dtype=int8"))
note("batch_size", lambda: chat.create_from_arg_string(f"pretrained={folder}", {"batch_size": "auto"}))
note("checkpoint", lambda: chat.create_from_arg_string("pretrained=/nowhere", {"device": "cpu"}))
model = chat.create_from_arg_string(f"pretrained={folder},dtype=bfloat16,tokenizer={folder}", {"batch_size": "2"})
note("likelihood", lambda: model.loglikelihood([]))
note("rounds", lambda: model.generate_until_multi_round([]))
model.task_dict = {"t": {"test": [{}]}}
ask = lambda doc: [{"role": "user", "content": [{"type": "text", "text": "which colour?"}]}]
given = ("", ask, {"temperature": 9.0, "max_new_tokens": 12}, 0, "t", "test")
request = Instance("generate_until", given, 0, {"task": "t", "doc_id": 0, "repeats": 3})
said["sampled"] = [answer.text for answer in model.generate_until([request] * 3)]
said["dtype used"] = str(model.checkpoint.model.language.dtype)
model.clean()
note("cleaned", lambda: model.generate_until([request]))
print("SAID", json.dumps(said))
"""


def test_what_the_model_class_refuses_and_how_it_samples(place):
    said = json.loads(python(place, "-c", PROBE, str(place / "checkpoint")).rpartition("SAID ")[2])
    assert said["classes"] == ["model.lmms_eval.adapter.AerieChat", "model.lmms_eval.adapter.AerieSimple"]
    for name, message in {
        "argument": "unknown model_args ['temperature']",
        "dtype": "dtype is 'int8'; choose from",
        "batch_size": "batch_size is 'auto'",
        "checkpoint": "/nowhere is no checkpoint",
        "likelihood": "run them with --force_simple",
        "rounds": "leave multi-round tasks out",
        "cleaned": "this model was cleaned",
    }.items():
        assert said[name].startswith("refused: "), name
        assert message in said[name], name
    assert len(set(said["sampled"])) == 3, "asked again, a question draws another answer"
    assert said["dtype used"] == "torch.bfloat16"
