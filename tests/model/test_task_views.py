"""What single tasks show in the KFP UI."""

import json
import re

from data.files import join
from model.evaluation.run_folder import RunFolder
from model.evaluation.task_views import scores_markdown, training_page


def test_a_stage_shows_its_own_curves_only(finished_run):
    recipe_uri, recipe_sha256, run_uri = finished_run
    storage_uri, _, run_id = run_uri.rpartition("/")
    page = training_page(recipe_uri, recipe_sha256, storage_uri, run_id, "stage_1_5").decode()
    assert "<svg" in page
    assert re.search(r"<td[^>]*>Stage 1.5</td>", page)
    assert not re.search(r"<td[^>]*>Stage [12]</td>", page)


def test_an_evaluation_shows_a_row_a_source_with_its_own_numbers(finished_run):
    recipe_uri, recipe_sha256, run_uri = finished_run
    run = RunFolder.open(recipe_uri, recipe_sha256, run_uri)
    document = json.loads(run.attachment(join("evaluation", "stage_2"), "scores"))
    text = scores_markdown(document)
    assert text.startswith("# Held-out scores after stage 2, %\n\n| source | kind | asked |")
    wholes = [cell for cell in document["cells"] if cell["level"] == "source" and cell["answer_type"] == "all"]
    for cell in wholes:
        assert f"| {cell['group']} | all | {cell['questions']:,} | {100 * cell['score']:.1f} |" in text
    assert len(wholes) >= 2
