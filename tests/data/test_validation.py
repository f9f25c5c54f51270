import dataclasses
import io
import json

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.errors import AerieError
from data.expectations import validation
from data.expectations.canonical import SUITE, CanonicalFacts, canonical_expectations, sample_facts
from data.expectations.checks import image_hashes, structure_problem
from data.expectations.docs import offline
from data.expectations.suites import run_suite, summary
from data.expectations.validation import enforce_validation, validate_samples
from data.images import decode_image, encode_png, pixel_hash
from data.registry.sourcing import source_samples
from data.schema import ImageRef, Turn, make_sample, table_to_samples
from data.storage import parquet_table, read_attachment, read_samples


def png(shade, **options):
    sink = io.BytesIO()
    Image.new("RGB", (20, 10), (shade, 0, 0)).save(sink, format="PNG", **options)
    return sink.getvalue()


def turns(*contents):
    return tuple(Turn(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(contents))


def sample(*contents, image=None, category="general_vqa"):
    images = () if image is None else (ImageRef(bytes=image, path="x.png", width=20, height=10),)
    return make_sample(source="s", category=category, images=images, conversations=turns(*contents), meta={})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sample("q"), "too_few_turns"),
        (sample("q", "a", "q"), "no_final_answer"),
        (sample("q", " \n"), "empty_answer"),
        (sample("<image>\n", "a", image=png(1)), "empty_question"),
        (sample("q", "a", image=png(1)), "placeholder_mismatch"),
        (sample("<image> q", "a"), "placeholder_mismatch"),
        (sample("q", "<image>", image=png(1)), "empty_answer"),
        (sample("q", "a <image>", image=png(1)), "placeholder_mismatch"),
        (sample("q", "a", category="poetry"), "unknown_category"),
        (dataclasses.replace(sample("q", "a"), conversations=turns("q", "a")[::-1]), "broken_alternation"),
    ],
)
def test_structure_problems(bad, reason):
    assert structure_problem(bad).reason == reason


def test_image_problems():
    good = sample("<image> q", "a", image=png(1))
    assert len(image_hashes(good)) == 1
    for image, reason in (
        (ImageRef(bytes=png(1)[:-20], path="x", width=20, height=10), "corrupt_image"),
        (ImageRef(bytes=png(1), path="x", width=21, height=10), "wrong_image_size"),
        (ImageRef(bytes=None, path="/no/such/file.png", width=1, height=1), "missing_file"),
        (ImageRef(bytes=None, path=None, width=1, height=1), "missing_file"),
    ):
        assert image_hashes(dataclasses.replace(good, images=(image,))).reason == reason


def test_kept_samples_carry_the_hash_of_their_pixels(project):
    recipe, sources, out = project(
        ("train", png(1), "<image>\nq", "a", "train"), ("held", png(2, compress_level=0), "<image>\nq", "b", "heldout")
    )
    manifest = validate_samples(recipe, "", sources, out)
    kept = [*read_samples(out, manifest), *table_to_samples(parquet_table(read_attachment(out, manifest, "heldout")))]
    assert [image.pixels for found in kept for image in found.images] == [
        pixel_hash(decode_image(png(seed))) for seed in (1, 2)
    ]


@pytest.fixture
def project(tmp_path):
    """Writes JSONL rows (name, image bytes or None, question, answer, split) as one source and sources it."""

    def make(*entries):
        lines = []
        for name, image, question, answer, split in entries:
            if image is not None:
                (tmp_path / f"{name}.png").write_bytes(image)
            row = {"id": name, "image": f"{name}.png" if image is not None else None, "split": split}
            row["conversations"] = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
            lines.append(json.dumps(row))
        (tmp_path / "data.jsonl").write_text("\n".join(lines))
        card = {"name": "mine", "uri": "file://data.jsonl", "version": "1", "licence": "CC0-1.0", "adapter": "jsonl"}
        card |= {"category": "general_vqa", "split_key": "id", "description": "Rows written by a test."}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card))
        recipe = {"name": "t", "seed": 3, "data": {"cards": "..", "sources": [{"name": "mine"}]}}
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / "r.yaml").write_text(yaml.safe_dump(recipe))
        uri = str(tmp_path / "recipes" / "r.yaml")
        source_samples(uri, "", "mine", str(tmp_path / "source"))
        return uri, [str(tmp_path / "source")], str(tmp_path / "validation")

    return make


def read(out, manifest, name):
    return pq.read_table(io.BytesIO(read_attachment(out, manifest, name))).to_pylist()


def test_bad_rows_and_planted_leaks_are_dropped_with_their_reason(project):
    recipe, sources, out = project(
        ("good", png(1), "<image>\nq", "a", "train"),
        ("truncated", png(2)[:-20], "<image>\nq", "a", "train"),  # its header is whole: only decoding finds it
        ("gone", None, "<image>\nq", "a", "train"),
        ("empty", png(3), "<image>\nq", "", "train"),
        ("again", png(1), "<image>\nq", "a", "train"),
        ("leak", png(4, compress_level=0), "<image>\nanother question", "b", "train"),  # the same pixels, re-encoded
        ("same", png(4), "<image>\nq", "a", "train"),
        ("text-leak", None, "How are  YOU?", "fine", "train"),
        ("text-good", None, "how are you?", "bad", "train"),
        ("held", png(4), "<image>\nq", "a", "heldout"),
        ("held-text", None, "How are you?", "Fine", "heldout"),
        ("held-bad", png(5), "no placeholder", "a", "heldout"),
    )
    manifest = validate_samples(recipe, "", sources, out)
    (count,) = manifest.counts
    assert count.dropped == {
        "corrupt_image": 1,
        "duplicate_id": 1,
        "empty_answer": 1,
        "heldout_leak": 3,
        "placeholder_mismatch": 1,
    }
    assert [s.meta["key"] for s in read_samples(out, manifest)] == ["good", "text-good"]
    assert [json.loads(row["meta"])["key"] for row in read(out, manifest, "heldout")] == ["held", "held-text"]
    quarantine = read(out, manifest, "quarantine")
    assert sum(row["split"] == "train" for row in quarantine) == 7
    assert [row["reason"] for row in quarantine if row["split"] == "heldout"] == ["placeholder_mismatch"]
    report = json.loads(read_attachment(out, manifest, "report"))
    leak = report["checks"]["heldout_leak"]
    assert (leak["training_rows_compared"], leak["heldout_images"], leak["matches_found"]) == (5, 1, 3)
    assert report["success"]
    enforce_validation(out)


def test_any_number_of_threads_gives_the_same_bytes(project, tmp_path, monkeypatch):
    rows = [
        (f"r{n}", png(n % 40)[: -20 if n % 7 == 3 else None], "<image>\nq", f"{n % 50}", "train") for n in range(200)
    ]
    recipe, sources, _ = project(*rows, *((f"h{n}", png(60 + n), "<image>\nq", "a", "heldout") for n in range(20)))
    hashes = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(validation, "usable_cores", lambda threads=threads: threads)
        manifest = validate_samples(recipe, "", sources, str(tmp_path / f"by {threads}"))
        hashes.add(manifest.sha256())
    assert len(hashes) == 1
    assert 100 < manifest.rows < 200


def test_a_failed_suite_writes_its_report_and_enforcement_names_the_expectations(project):
    recipe, sources, out = project(("empty", png(3), "<image>\nq", "", "train"))
    manifest = validate_samples(recipe, "", sources, out)
    assert not json.loads(read_attachment(out, manifest, "report"))["success"]
    with pytest.raises(
        AerieError, match=r"(?s)validation failed.*table_not_empty.*every_source_has_rows.*report\.json"
    ):
        enforce_validation(out)


def test_docs_open_offline_and_a_second_run_agrees(project, tmp_path, caplog):
    recipe, sources, out = project(("good", png(1), "<image>\nq", "a", "train"))
    manifest = validate_samples(recipe, "", sources, out)
    page = read_attachment(out, manifest, "docs").decode()
    for pattern in ("<script", "<link", "<img", "http://", "https://", "onclick"):
        assert pattern not in page
    assert "repeated_ids" in page
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # the page shows every result
    assert validate_samples(recipe, "", sources, out) == manifest
    assert validate_samples(recipe, "", sources, str(tmp_path / "other")).sha256() == manifest.sha256()


def test_a_truncated_shard_is_a_user_error_that_names_it(project, tmp_path):
    recipe, sources, out = project(("good", png(1), "<image>\nq", "a", "train"))
    shard = tmp_path / "source" / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(AerieError, match=r"shard-00000\.parquet is truncated or changed"):
        validate_samples(recipe, "", sources, out)


def test_missing_and_repeated_sources_are_user_errors(project):
    recipe, sources, out = project(("good", png(1), "<image>\nq", "a", "train"))
    with pytest.raises(AerieError, match="comes twice"):
        validate_samples(recipe, "", sources * 2, out)
    with pytest.raises(AerieError, match=r"got the sources \[\]"):
        validate_samples(recipe, "", [], out)


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("sample_id", "f" * 32, "sample_id_unique"),
        ("category", "poetry", "category_known"),
        ("source", "other", "source_known"),
        ("turns", 1, "turns_at_least_two"),
        ("shortest_answer", 0, "answers_not_empty"),
        ("min_width", 0, "width_positive"),
        ("placeholders", 2, "placeholders_equal_images"),
        ("last_role", "user", "ends_with_assistant"),
        ("sample_id", "F" * 32, "sample_id_form"),
        ("images", 65, "images_count"),
        ("turns", 401, "turns_reasonable"),
    ],
)
def test_each_expectation_catches_its_fault(column, value, name):
    facts = [sample_facts(sample("<image> q", str(i), image=png(i))) for i in range(3)]
    if name == "sample_id_unique":
        facts[1][column] = value
    if column == "images":
        facts[0]["placeholders"] = value
    facts[0][column] = value
    seen = CanonicalFacts()
    for part in (facts[:2], facts[2:], []):
        seen.see(part)
    entries = summary(run_suite(SUITE, canonical_expectations(["s"]), seen.frame(["s"]), "source"), "source")
    failed = {entry["name"]: entry["examples"] for entry in entries if not entry["success"]}
    assert list(failed) == [name]
    assert failed[name][0].startswith("other: " if column == "source" else "s: ")


def test_offline_takes_out_what_loads_or_runs():
    page = (
        '<head><script src="//x"></script></head><a href="https://x.org">word</a><b onclick="y()">z</b><img src="//x">'
    )
    assert "//x" not in offline(page)
    assert ">z</b>" in offline(page)
    assert "word" in offline(page)


def test_encode_png_is_stable():
    image = Image.new("RGB", (3, 3))
    assert encode_png(image) == encode_png(image)
