"""Checks of sources against real servers and files: what is good, bad, unknown, and what nobody could reach."""

import importlib.util
import json
import socket
import struct
import zlib

import hub_api
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from data.registry import asking
from data.registry.cards import SourceCard, load_cards
from data.registry.checking import check_source

SHA = "0123456789abcdef0123456789abcdef01234567"
SET = {"owner/name": {"sha": SHA, "licence": "mit"}}
CARDS = load_cards()


def needs(adapter):
    there = importlib.util.find_spec(f"data.registry.adapters.{adapter}") is not None
    return pytest.mark.skipif(not there, reason=f"no adapter {adapter!r} in this build")


def card(**changes):
    values = {"name": "x", "licence": "MIT", "category": "science", "adapter": "jsonl", "split_key": "image"}
    return SourceCard(**{**values, "description": "A source for a test.", **changes})


def hub_card(path="", **changes):
    return card(**{"uri": f"hf://datasets/owner/name{path}", "revision": SHA, "adapter": "llava_json", **changes})


def findings(check):
    return {finding.what: (finding.outcome, finding.detail) for finding in check.findings}


def outcomes(check):
    return {finding.what: finding.outcome for finding in check.findings}


def png(width=8, height=8):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x40\x80\xc0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def line(key, image=None, answer="Yes."):
    question = "<image>\nIs it blue?" if image else "Is water wet?"
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return json.dumps({"id": key, "conversations": turns, **({"image": image} if image else {})})


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    running = hub_api.Hub(tmp_path_factory.mktemp("hub"))
    yield running
    running.stop()


@pytest.fixture
def on_hub(hub, monkeypatch, tmp_path):
    """A fresh set `owner/name` on the hub that HF_ENDPOINT names."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = hub.folder / "owner/name"
    (folder / "part").mkdir(parents=True, exist_ok=True)
    (folder / "part/rows.jsonl").write_text("\n".join(line(n) for n in range(9)))
    (folder / "README.md").write_text("A set.")
    hub.describe(SET)
    return hub


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    (folder / "plain").mkdir()
    (folder / "plain/rows.jsonl").write_text("\n".join(line(n) for n in range(200)))
    running = hub_api.Hub(folder, hub_api.certificate(folder))
    yield running
    running.stop()


@pytest.fixture
def on_web(secure, monkeypatch, tmp_path):
    """An https server whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.folder / "cert.pem"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    secure.describe({})
    return secure


@pytest.fixture
def quick(monkeypatch):
    """Patience for tests: a silent server is given up after a moment."""
    monkeypatch.setattr(asking, "_TIMES", asking.urllib3.Timeout(connect=1.0, read=0.3))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("name", sorted(name for name, one in CARDS.items() if one.status == "verified"))
def test_every_verified_card_of_the_registry_is_ok(name):
    found = check_source(CARDS[name], rows=3)
    assert found.outcome == "ok", found.findings
    assert {"place", "version", "licence", "rows"} <= set(outcomes(found))


def test_a_package_that_is_missing_or_another_version_is_failed_and_no_row_is_read():
    missing = check_source(card(uri="pypi://no-such-package-of-aerie", adapter="easy_vqa"))
    assert outcomes(missing) == {"place": "failed"}
    assert "pip install no-such-package-of-aerie" in missing.findings[0].detail
    other = check_source(card(uri="pypi://easy-vqa@0.1", adapter="easy_vqa"))
    assert outcomes(other) == {"place": "failed"}
    assert "installed is 1.0" in other.findings[0].detail
    split = check_source(card(uri="pypi://easy-vqa@1.0", version="2.0", adapter="easy_vqa"))
    assert findings(split)["version"] == ("failed", "the card's version is '2.0', its uri asks for 1.0")


@pytest.mark.parametrize("name", ["textbooks-qa", "mtwi"])
def test_a_card_without_a_place_is_unknown_and_not_offline(name):
    found = check_source(CARDS[name])
    assert (found.outcome, found.offline, outcomes(found)) == ("unknown", False, {"place": "unknown"})


def file_card(folder, *lines, **changes):
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "pictures/blue.png").write_bytes(png())
    (folder / "data.jsonl").write_text("\n".join(lines))
    return card(uri=f"file://{folder}/data.jsonl", **changes)


def test_a_clean_file_is_ok_and_says_how_much_was_read(tmp_path):
    lines = [line(0, "pictures/blue.png"), line(1), line(2, "pictures/blue.png")]
    found = check_source(file_card(tmp_path, *lines), rows=5)
    assert found.outcome == "ok"
    assert findings(found)["rows"] == ("ok", "3 read (the source has no more; 5 were asked for)")
    assert findings(found)["images"] == ("ok", "2 decoded")
    assert findings(check_source(file_card(tmp_path, *lines), rows=2))["rows"] == ("ok", "2 read")


def test_broken_rows_of_a_file_are_failed_with_key_and_reason(tmp_path):
    found = check_source(file_card(tmp_path, line(0), "{not json", line(2, "pictures/none.png")))
    assert found.outcome == "failed"
    assert findings(found)["rows"][1].startswith("2 of the first 3 rows are broken: data.jsonl:2: invalid_json, ")


def test_a_row_that_is_no_conversation_is_failed(tmp_path):
    found = check_source(file_card(tmp_path, line(0), line("odd", answer=" ")))
    assert findings(found)["rows"] == (
        "failed",
        "1 of the first 2 rows are broken: odd: empty_answer, turn 1 has no text",
    )


def test_an_image_whose_header_is_good_and_whose_body_is_cut_is_failed(tmp_path):
    made = file_card(tmp_path, line(0, "pictures/blue.png"), line("cut", "pictures/cut.png"))
    (tmp_path / "pictures/cut.png").write_bytes(png(64, 64)[:-20])
    found = check_source(made)
    assert outcomes(found)["images"] == "failed"
    assert "1 of 2 samples: cut: corrupt_image" in findings(found)["images"][1]


def test_a_missing_file_an_empty_file_and_a_wrong_adapter_are_failed(tmp_path):
    assert outcomes(check_source(card(uri=f"file://{tmp_path}/none.jsonl"))) == {"place": "failed", "licence": "ok"}
    assert findings(check_source(file_card(tmp_path, "")))["rows"] == ("failed", "the adapter found no row at all")
    wrong = check_source(file_card(tmp_path, line(0), adapter="nothing"))
    assert "no adapter 'nothing'" in findings(wrong)["rows"][1]
    options = check_source(file_card(tmp_path, line(0), options={"columns": 3}))
    assert "columns" in findings(options)["rows"][1]


def test_an_unknown_licence_is_never_ok(tmp_path):
    found = check_source(file_card(tmp_path, line(0), licence="unknown"))
    assert (found.outcome, outcomes(found)["licence"]) == ("unknown", "unknown")


def test_a_hub_tells_place_commit_and_licence(on_hub):
    found = findings(check_source(hub_card("/part")))
    size = (on_hub.folder / "owner/name/part/rows.jsonl").stat().st_size
    assert found["place"] == ("ok", f"owner/name/part: 1 file, {size:,} bytes")
    assert found["revision"] == ("ok", SHA)
    assert found["licence"] == ("ok", "MIT, as the hub says")


@pytest.mark.parametrize(
    ("path", "files"), [("", 2), ("/part/rows.jsonl", 1), ("/part/*.jsonl", 1), ("/*/rows.*", 1), ("/README.md", 1)]
)
def test_a_path_of_a_hub_may_be_a_folder_a_file_or_a_pattern(on_hub, path, files):
    outcome, words = findings(check_source(hub_card(path)))["place"]
    assert (outcome, f": {files} file" in words) == ("ok", True)


def test_a_long_list_of_files_is_read_to_its_end(on_hub):
    for number in range(7):
        (on_hub.folder / f"owner/name/part/more-{number}.txt").write_text("x")
    on_hub.describe(SET, page=3)
    assert ": 8 files" in findings(check_source(hub_card("/part")))["place"][1]
    assert sum("/tree/" in request for request in on_hub.requests()) == 3
    for number in range(7):
        (on_hub.folder / f"owner/name/part/more-{number}.txt").unlink()


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({"uri": "hf://datasets/owner/other"}, "place", "has no data set owner/other"),
        ({"uri": "hf://datasets/owner/name/none"}, "place", "owner/name has no file 'none'"),
        ({"uri": "hf://datasets/owner/name/*.parquet"}, "place", "owner/name has no file '*.parquet'"),
        ({"revision": "f" * 40}, "revision", f"no commit {'f' * 40}; correct `revision`"),
        ({"licence": "Apache-2.0"}, "licence", "the card says Apache-2.0, the hub says mit"),
    ],
)
def test_what_a_hub_contradicts_is_failed(on_hub, changes, what, words):
    found = check_source(hub_card(**changes))
    assert found.outcome == "failed"
    assert findings(found)[what][0] == "failed"
    assert words in findings(found)[what][1]
    assert not found.offline


def test_a_card_that_pins_nothing_is_told_the_commit_and_a_hub_without_licence_leaves_it_unknown(on_hub):
    on_hub.describe({"owner/name": {"sha": SHA, "licence": None}})
    found = findings(check_source(hub_card(revision=None)))
    assert found["revision"][0] == "unknown"
    assert SHA in found["revision"][1]
    assert found["licence"] == ("unknown", "the card says MIT, the hub names none")
    on_hub.describe({"owner/name": {"sha": SHA, "licence": ["mit", "cc-by-4.0"]}})
    assert findings(check_source(hub_card(licence="CC-BY-4.0 (images)")))["licence"][0] == "ok"


def test_a_gated_set_is_unknown_until_a_token_opens_it(on_hub, monkeypatch):
    on_hub.describe({"owner/name": {**SET["owner/name"], "gated": True}})
    found = check_source(hub_card("/part"))
    assert (found.outcome, outcomes(found)) == ("unknown", {"place": "unknown"})
    assert "set HF_TOKEN" in found.findings[0].detail
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    assert outcomes(check_source(hub_card("/part")))["place"] == "ok"


@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ("truncated", "failed", "broke off its answer"),
        ("html", "failed", "no JSON"),
        (503, "unknown", "answer 503"),
        (500, "unknown", "answer 500"),
        (403, "failed", "answer 403"),
    ],
)
@pytest.mark.parametrize("part", ["revision", "tree"])
def test_a_hub_that_answers_badly_never_passes(on_hub, fault, outcome, words, part):
    on_hub.describe(SET, faults=[[f"/api/datasets/owner/name/{part}", fault]])
    found = check_source(hub_card("/part"))
    assert (found.outcome, found.offline) == (outcome, False)
    assert words in found.findings[0].detail
    assert "rows" not in outcomes(found)


@pytest.mark.parametrize("fault", ["silent", "dropped"])
def test_a_hub_that_does_not_answer_is_offline(on_hub, quick, fault):
    on_hub.describe(SET, faults=[["/api", fault]])
    found = check_source(hub_card("/part"))
    assert (found.outcome, found.offline, len(found.findings)) == ("unknown", True, 1)
    assert found.findings[0].detail.startswith("offline: could not reach localhost")
    assert found.findings[0].detail.endswith("nothing was checked")


@pytest.mark.parametrize("uri", ["hf://datasets/owner/name", "https://localhost:{port}/rows.jsonl"])
def test_without_a_network_nothing_is_claimed(monkeypatch, uri):
    port = free_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://localhost:{port}")
    found = check_source(card(uri=uri.format(port=port), adapter="llava_json"))
    assert (found.outcome, found.offline, outcomes(found)) == ("unknown", True, {"place": "unknown"})
    assert f"offline: could not reach localhost:{port} (" in found.findings[0].detail


def test_the_hubs_own_switch_for_offline_work_is_honoured(on_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = check_source(hub_card())
    assert found.offline
    assert "HF_HUB_OFFLINE is set" in found.findings[0].detail
    assert on_hub.requests() == []


def test_the_token_stays_with_the_hub(on_hub, monkeypatch, secure):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.folder / "cert.pem"))
    secure.describe({})
    on_hub.describe(SET, faults=[["/api/datasets/owner/name/revision", ["redirect", f"{secure.url}/plain/x.json"]]])
    assert check_source(hub_card()).outcome == "failed"
    assert any(request.endswith("authorized") for request in on_hub.requests())
    assert secure.requests() == ["GET /plain/x.json"]


def test_a_web_file_is_probed_by_its_first_bytes(on_web):
    found = findings(check_source(card(uri=f"{on_web.url}/plain/rows.jsonl", adapter="llava_json"), max_mib=1))
    size = (on_web.folder / "plain/rows.jsonl").stat().st_size
    assert found["place"] == ("ok", f"localhost:{on_web.port} has it, {size:,} bytes")
    assert found["licence"] == ("ok", "MIT (the card says so; the place states none)")


@pytest.mark.parametrize(
    ("path", "fault", "outcome", "words"),
    [
        ("none.jsonl", None, "failed", "answer 404"),
        ("rows.jsonl", "truncated", "failed", "broke off its answer"),
        ("rows.jsonl", 502, "unknown", "answer 502"),
        ("rows.jsonl", 403, "failed", "answer 403"),
    ],
)
def test_a_web_server_that_refuses_or_breaks_off_never_passes(on_web, path, fault, outcome, words):
    on_web.describe({}, faults=[["/plain", fault]] if fault else [])
    found = check_source(card(uri=f"{on_web.url}/plain/{path}", adapter="llava_json"))
    assert (found.outcome, found.offline, outcomes(found)) == (outcome, False, {"place": outcome})
    assert words in found.findings[0].detail


def test_a_certificate_that_nobody_trusts_is_not_read_over(secure):
    found = check_source(card(uri=f"{secure.url}/plain/rows.jsonl", adapter="llava_json"))
    assert found.offline
    assert "certificate" in found.findings[0].detail


@needs("llava_json")
def test_the_first_rows_of_a_hub_are_read_from_the_pinned_commit(on_hub):
    (on_hub.folder / "owner/name/part/pictures").mkdir(exist_ok=True)
    (on_hub.folder / "owner/name/part/pictures/blue.png").write_bytes(png())
    rows = [line("a", "part/pictures/blue.png"), line("b"), line("c"), line("d")]
    (on_hub.folder / "owner/name/part/rows.jsonl").write_text("\n".join(rows))
    found = check_source(hub_card("/part"), rows=3)
    assert found.outcome == "ok", found.findings
    assert findings(found)["rows"] == ("ok", "3 read")
    assert findings(found)["images"] == ("ok", "1 decoded")
    assert f"GET /datasets/owner/name/resolve/{SHA}/part/rows.jsonl" in on_hub.requests()


@needs("llava_json")
def test_broken_rows_of_a_hub_are_failed(on_hub):
    (on_hub.folder / "owner/name/part/rows.jsonl").write_text(line(0) + "\n{\n" + line("c", "part/none.png"))
    outcome, words = findings(check_source(hub_card("/part")))["rows"]
    assert outcome == "failed"
    assert words.startswith("2 of the first 3 rows are broken: part/rows.jsonl:2: invalid_json, ")


@needs("llava_json")
def test_a_folder_of_a_hub_without_a_file_of_the_format_is_failed(on_hub):
    (on_hub.folder / "owner/name/other").mkdir(exist_ok=True)
    (on_hub.folder / "owner/name/other/data.bin").write_bytes(b"x")
    outcome, words = findings(check_source(hub_card("/other")))["rows"]
    assert outcome == "failed"
    assert ".jsonl" in words
    assert "there are other/data.bin" in words


def test_nothing_large_is_fetched_without_being_told(on_hub):
    (on_hub.folder / "owner/name/part/rows.jsonl").write_bytes(b" " * (3 << 20))
    found = check_source(hub_card("/part", adapter="jsonl"), max_mib=2)
    assert findings(found)["rows"] == ("unknown", "3.0 MiB would have to be fetched, more than 2 MiB; see --max-mib")
    assert not [request for request in on_hub.requests() if "/resolve/" in request]


@needs("llava_json")
def test_the_first_rows_of_a_web_file_are_read(on_web):
    found = check_source(card(uri=f"{on_web.url}/plain/rows.jsonl", adapter="llava_json"), rows=4)
    assert found.outcome == "ok", found.findings
    assert findings(found)["rows"] == ("ok", "4 read")


@needs("llava_json")
def test_a_web_file_that_breaks_off_after_its_first_bytes_is_failed(on_web):
    on_web.describe({}, faults=[["/plain/rows.jsonl", "late"]])
    found = check_source(card(uri=f"{on_web.url}/plain/rows.jsonl", adapter="llava_json"))
    assert outcomes(found)["place"] == "ok"
    assert outcomes(found)["rows"] == "failed"
    assert "can't be reached" in findings(found)["rows"][1]


@needs("hf_parquet")
def test_a_card_of_the_registry_is_checked_from_one_file_of_its_place(on_hub):
    """The real card of ChartQA, against a hub that holds what the card names: two files, of which one is enough."""
    folder = on_hub.folder / "HuggingFaceM4/FineVision/chartqa"
    folder.mkdir(parents=True, exist_ok=True)
    texts = [{"user": "Which bar is highest?", "assistant": "The blue one."}]
    rows = [{"images": [{"bytes": png(), "path": None}], "texts": texts} for _ in range(8)]
    for number in range(2):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"train-0000{number}-of-00002.parquet")
    on_hub.describe({"HuggingFaceM4/FineVision": {"sha": CARDS["chartqa"].revision, "licence": None}})
    found = check_source(CARDS["chartqa"], rows=3)
    assert {key: value for key, value in outcomes(found).items() if key != "licence"} == {
        "place": "ok",
        "revision": "ok",
        "rows": "ok",
        "images": "ok",
    }
    assert findings(found)["licence"] == ("unknown", "the card says GPL-3.0, the hub names none")
    assert findings(found)["images"] == ("ok", "3 decoded")
    fetched = {request.split(" ")[1] for request in on_hub.requests() if "/resolve/" in request}
    assert [path.rsplit("/", 1)[1] for path in fetched] == ["train-00000-of-00002.parquet"]


@needs("hf_parquet")
def test_a_file_that_is_no_parquet_is_failed(on_hub):
    (on_hub.folder / "owner/name/odd").mkdir(exist_ok=True)
    (on_hub.folder / "owner/name/odd/train.parquet").write_bytes(b"PAR1 not really PAR1")
    found = check_source(hub_card("/odd", adapter="hf_parquet"))
    assert findings(found)["rows"][0] == "failed"
    assert "train.parquet" in findings(found)["rows"][1]


@needs("hf_parquet")
def test_a_place_whose_rows_name_files_beside_them_is_taken_whole(on_hub):
    folder = on_hub.folder / "owner/name/wide"
    folder.mkdir(exist_ok=True)
    for number in range(2):
        (folder / f"{number}.parquet").write_bytes(b" " * (3 << 20))
    alone = check_source(hub_card("/wide", adapter="hf_parquet"), max_mib=4)
    assert outcomes(alone)["rows"] == "failed"  # one file was fetched, and is no Parquet
    whole = check_source(hub_card("/wide", adapter="hf_parquet", options={"images": "pictures"}), max_mib=4)
    assert findings(whole)["rows"] == ("unknown", "6.0 MiB would have to be fetched, more than 4 MiB; see --max-mib")
