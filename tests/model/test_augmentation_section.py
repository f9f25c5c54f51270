"""What the report says of an augmentation step that asked a real server process, and of one that had none."""

import io
from contextlib import redirect_stdout

import yaml
from openai_server import KEY, KEY_NAME

from data.curation.augmentation import augment_samples
from data.ledger import Tally
from data.reporting.html import Badge, Details, KeyValues, Page, Table, render_page
from data.schema import Turn, make_sample
from data.storage import Manifest, commit, write_samples
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.augmentation import augmentation_section

MODEL = """
model:
  tiling: {tile_size: 64, max_tiles: 2}
  siglip: {hidden_size: 16, intermediate_size: 32, num_layers: 1, num_heads: 2, patch_size: 8}
  language: {hidden_size: 32, intermediate_size: 64, num_layers: 1, num_heads: 4, num_kv_heads: 2}
  tokenizer: {vocab_size: 400}
stages:
  stage_1: {trainable: [connector], capacity: 1024, learning_rate: 1.0e-3}
  stage_1_5: {capacity: 1024, learning_rate: 1.0e-3}
  stage_2: {capacity: 1024, learning_rate: 5.0e-4}
"""


def section_of(folder, augmentation):
    """The section of a run whose samples are ten sums with the table they come from."""
    samples, tally = [], Tally("selection")
    for number in range(10):
        pair = (Turn(role="user", content=f"What is {number} + 3?"), Turn(role="assistant", content=str(number + 3)))
        table = {"columns": ["Name", "Size"], "rows": [["one", number], ["two", 100]]}
        meta = {"task": "sum", "table": table}
        samples.append(
            make_sample(source="vega-charts", category="chart_table", images=(), conversations=pair, meta=meta)
        )
        tally.take("vega-charts")
        tally.keep("vega-charts")
    shards, counts = write_samples(str(folder / "selection"), samples), tally.counts()
    commit(
        str(folder / "selection"),
        Manifest(step="s", fingerprint="s", recipe_sha256="", rows=10, shards=shards, counts=counts),
    )
    recipe = folder / "recipe.yaml"
    data = {"sources": [{"name": "vega-charts"}], "augmentation": augmentation}
    recipe.write_text(yaml.safe_dump({"name": "t", "seed": 7, "data": data, **yaml.safe_load(MODEL)}))
    with redirect_stdout(io.StringIO()):
        augment_samples(str(recipe), "", str(folder / "selection"), str(folder / "augmentation"))
    return augmentation_section(RunFolder.open(str(recipe), "", str(folder)))


def text_of(section):
    found = []
    for block in section.blocks:
        for inner in (block, *(block.blocks if isinstance(block, Details) else ())):
            rows = inner.rows if isinstance(inner, Table) else inner.items if isinstance(inner, KeyValues) else ()
            found += [tuple(cell.text if isinstance(cell, Badge) else cell for cell in row) for row in rows]
    return found


def test_an_endpoint_with_its_rejects_its_cost_and_its_traffic(llm, tmp_path):
    llm.reset(["busy"], {"What is 4 +": "wrong", "What is 5 +": "refusal", "What is 6 +": "refuse"})
    endpoint = {"url": llm.url, "model": "m", "api_key_env": KEY_NAME, "cache_uri": str(tmp_path / "cache")}
    endpoint |= {"prompt_price": 1.0, "completion_price": 2.0, "max_cost": 5.0}
    section = section_of(tmp_path, {"endpoint": endpoint, "cot": {}, "rules": {"table_max": 1.0}})
    rows = text_of(section)
    assert ("table_max", "1", "10", "10") in rows
    assert ("cot", "done", "10", "10", "7", "2", "1") in rows
    assert ("cot", "rejected", "wrong_answer", "1") in rows
    assert ("cot", "rejected", "refusal", "1") in rows
    assert ("cot", "skipped", "refused with status 400", "1") in rows
    assert ("Requests sent, repeats included", "11") in rows
    assert ("Answers", "9") in rows
    assert any(row[0] == "Cost at the recipe's prices" and row[1].endswith("of at most 5.00") for row in rows)
    before_after = [row for row in rows if row[0] == "cot" and row[-1].endswith("Answer: 3")]
    assert before_after[0][2:4] == ("What is 0 + 3?", "3")
    page = render_page(Page(title="t", subtitle="s", sections=(section,), footer="f"))
    assert KEY.encode() not in page
    assert b"wrong_answer" in page


def test_without_an_endpoint_the_report_says_so(tmp_path):
    rows = text_of(section_of(tmp_path, {"cot": {}, "long_answer": {"share": 0.0}}))
    assert ("cot", "skipped: no endpoint configured", "10", "10", "0", "0", "0") in rows
    assert ("long_answer", "skipped: no endpoint configured", "10", "0", "0", "0", "0") in rows
    assert not any("Requests" in row[0] for row in rows)


def test_rules_alone_say_nothing_of_endpoints(tmp_path):
    section = section_of(tmp_path, {"rules": {"table_sum": 0.5}})
    assert len(section.blocks) == 3
