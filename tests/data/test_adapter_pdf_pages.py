"""PDF pages: pictures, text layers, questions, and files that were made to hurt the parser."""

import io
import json
import os
import signal

import pytest
from PIL import Image
from raw_files import CARD, reasons, rows, run_source, samples, source, texts

from data.registry.adapters import pdf_pages
from data.registry.cards import SourceCard
from data.registry.phrasings import TRANSCRIBE
from data.registry.raw import pdfs
from data.registry.raw.problems import BadRowError

pytest.importorskip("pypdfium2")


def pdf(*lines, box="0 0 200 100"):
    """A small PDF of one page for each text."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(lines)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>"]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(lines):
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] {resources} /Contents {5 + 2 * number} 0 R >>"
        content = f"BT /F1 18 Tf 10 40 Td ({text}) Tj ET"
        objects += [page, f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"]
    body, offsets = b"%PDF-1.4\n", []
    for number, entry in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{entry}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return body + f"{trailer}trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF".encode()


def card(folder, **options):
    uri = f"file://{folder}/docs"
    return SourceCard(**{**CARD, "adapter": "pdf_pages", "uri": uri, "options": {"side": 300, **options}})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs" / "test").mkdir(parents=True)
    (tmp_path / "docs" / "a.pdf").write_bytes(pdf("Hello page one", "", "Page three"))
    (tmp_path / "docs" / "test" / "b c.pdf").write_bytes(pdf("Another file"))
    return tmp_path


def test_text_layers_are_read_page_by_page(folder):
    found = samples(card(folder))
    assert [text[1] for text in texts(found)] == ["Hello page one", "Page three", "Another file"]
    assert {text[0].removeprefix("<image>\n") for text in texts(found)} <= set(TRANSCRIBE)
    image = Image.open(io.BytesIO(found[0].images[0].bytes))
    assert (image.size, found[0].images[0].width) == ((300, 150), 300)
    assert image.convert("L").getextrema()[0] < 100  # something is printed
    assert found[0].meta == {"key": "a.pdf:1", "task": "transcription", "tasks": ["transcription"]}
    assert reasons(card(folder)) == [("a.pdf:2", "no_text_layer")]


def test_questions_and_given_texts(folder):
    entries = [
        {"file": "a.pdf", "page": 3, "question": "Which page?", "answer": "three"},
        {"file": "a.pdf", "page": [1, 3], "question": "How many pages?", "answer": 2},
        {"file": "a.pdf", "page": 2, "text": "given"},
        {"file": "a.pdf", "page": 9, "question": "q", "answer": "a"},
        {"file": "../x.pdf", "question": "q", "answer": "a"},
        {"file": "gone.pdf", "question": "q", "answer": "a"},
        {"file": "a.pdf", "page": "1", "question": "q", "answer": "a"},
        {"file": "a.pdf", "page": 1, "question": "q"},
        {"page": 1},
    ]
    (folder / "docs" / "q.jsonl").write_text("\n".join(map(json.dumps, entries)))
    asked = card(folder, questions="q.jsonl")
    found = samples(asked)
    assert texts(found)[0] == ["<image>\nWhich page?", "three"]
    assert [len(sample.images) for sample in found] == [1, 2, 1]
    assert (found[2].conversations[1].content, found[2].meta["task"]) == ("given", "transcription")
    assert reasons(asked) == [
        ("q.jsonl:4", "missing_page"),
        ("q.jsonl:5", "unsafe_path"),
        ("q.jsonl:6", "missing_file"),
        ("q.jsonl:7", "invalid_row"),
        ("q.jsonl:8", "invalid_row"),
        ("q.jsonl:9", "invalid_row"),
    ]


def test_hostile_files_leave_the_others(folder):
    docs, good = folder / "docs", pdf("text")
    (docs / "c-empty.pdf").write_bytes(b"")
    (docs / "d-junk.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(2000))
    (docs / "e-cut.pdf").write_bytes(good[:60])
    (docs / "f-huge.pdf").write_bytes(pdf("text", box="0 0 1e12 1e12"))
    (docs / "g-thin.pdf").write_bytes(pdf("text", box="0 0 14000 1"))
    (docs / "h-self.pdf").write_bytes(good.replace(b"/Kids [4 0 R] /Count 1", b"/Kids [2 0 R] /Count 9"))
    found = {key: reason for key, reason in reasons(card(folder)) if key[0] in "cdefgh"}
    assert {key.partition(":")[0] for key in found} >= {"c-empty.pdf", "d-junk.pdf", "e-cut.pdf", "g-thin.pdf"}
    assert set(found.values()) <= {"corrupt_pdf", "no_text_layer", "missing_page"}
    assert "Another file" in [text[1] for text in texts(samples(card(folder)))]


def test_any_damaged_byte_is_survived(folder):
    whole = pdf("text")
    for position in range(0, len(whole), 37):
        (folder / "docs" / "a.pdf").write_bytes(whole[:position] + b"\xff9" + whole[position + 2 :])
        pages = list(pdf_pages.read(card(folder), source(), 1))
        assert pages[-1].sample.conversations[1].content == "Another file"


def test_a_parser_that_dies_or_hangs_costs_one_page(folder, monkeypatch):
    pages, path = pdfs.Pages(), folder / "docs" / "a.pdf"
    assert pages.count(path) == 3
    pages._process.send_signal(signal.SIGKILL)
    pages._process.wait()
    with pytest.raises(BadRowError) as caught:
        pages.text(path, 0)
    assert caught.value.reason == "corrupt_pdf"
    assert pages.text(path, 0) == "Hello page one"  # by a new process
    pages._process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(pdfs, "PDF_SECONDS", 0.2)
    with pytest.raises(BadRowError, match=r"no answer within 0.2 s"):
        pages.text(path, 0)
    monkeypatch.undo()
    assert pages.count(path) == 3
    process = pages._process
    pages.close()
    assert process.poll() is not None


def test_splits_go_by_file_caps_and_the_ledger(folder):
    found = rows(card(folder, heldout_files="test/*"))
    assert [row.split for row in found] == ["train", "train", "train", "heldout"]
    assert len(rows(card(folder), train=2)) == 2
    first = pdf_pages.identity(card(folder))
    _, heldout, quarantine, count = run_source(folder, card(folder, heldout_files="test/*"))
    assert (count.rows_out, len(heldout), quarantine[0]["reason"]) == (2, 1, "no_text_layer")
    (folder / "docs" / "a.pdf").write_bytes(pdf("changed"))
    assert pdf_pages.identity(card(folder)) != first
