"""What augmentation costs beside the model: rules by the row, and the endpoint's client against a bare loop of POSTs.

    python tests/benchmarks/bench_augmentation.py [--requests 2000] [--rows 8000] [--json]

The server is a real process on this machine, and slow itself (Python); so the client is compared with the least that
could be done: the same bodies posted from as many threads, answers thrown away. `replay` finds every answer in the
cache, as a resumed run does.
"""
# ruff: noqa: E402 (paths are set first)

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "servers")]

import openai_server
import urllib3

from data.curation.augmentation import Augmenter
from data.curation.augmentation_rules import RULES
from data.curation.endpoint.chat import ChatRequest
from data.curation.endpoint.service import AnswerService
from data.schema import ImageRef, Sample, Turn
from data.settings.augmentation import AugmentationSettings
from data.settings.endpoint import EndpointSettings

FACTS = (
    {},
    {"chart": {"x": "year", "y": "price", "labels": ["2001", "2002", "2003"], "values": ["1", "2.5", "3"]}},
    {
        "table": {
            "columns": ["City", "Rain", "Sun"],
            "rows": [[f"city {n}", f"{n}", f"{n / 4}"] for n in range(8)],
        }
    },
    {"boxes": [{"label": f"thing {n}", "box": [50 * n, 30 * n, 50 * n + 40 + n, 30 * n + 70]} for n in range(6)]},
)


def sample_of(number: int) -> Sample:
    """A quarter of the samples has no facts, the others a chart, a table or boxes."""
    turns = (Turn(role="user", content=f"question {number}"), Turn(role="assistant", content="answer"))
    image = ImageRef(bytes=b"", path="x.png", width=640, height=480)
    given = {"sample_id": f"{number:032x}", "source": "s", "category": "chart_table", "images": (image,)}
    return Sample(**given, conversations=turns, meta=FACTS[number % len(FACTS)])


def rules(rows: int) -> dict[str, float]:
    """Rows a CPU second with every rule of the catalogue, and with the four of the tiny recipe."""
    samples, found = [sample_of(number) for number in range(rows)], {}
    tiny = ("chart_compare", "describe_shape", "digit_parity", "ocr_count_words")
    for name, chosen in (("all_rules", tuple(RULES)), ("tiny_rules", tiny)):
        augment = Augmenter(AugmentationSettings(rules=dict.fromkeys(chosen, 0.3)), seed=7)
        start = time.process_time()
        for sample in samples:
            augment(sample)
        found[f"{name}_rows_per_cpu_second"] = rows / (time.process_time() - start)
    return found


def request_of(number: int) -> ChatRequest:
    """A short question."""
    return ChatRequest(system="Answer: last.", text=f"Question: What is {number} + 1?\nCorrect answer: {number + 1}")


def client(count: int, concurrency: int, url: str, folder: str) -> dict[str, float]:
    """Requests a second: a bare loop, the service with an empty cache, the service again."""
    settings = EndpointSettings(url=url, model="m", cache_uri=folder, concurrency=concurrency)
    bodies = [request_of(number).body(settings) for number in range(count)]
    http = urllib3.PoolManager(maxsize=concurrency)
    start = time.monotonic()

    def post(body: bytes) -> int:
        return http.request("POST", f"{url}/chat/completions", body=body).status

    with ThreadPoolExecutor(concurrency) as threads:
        statuses = list(threads.map(post, bodies))
    assert set(statuses) == {200}
    found = {"bare": count / (time.monotonic() - start)}
    for name in ("service", "replay"):
        start = time.monotonic()
        with AnswerService(settings) as service:
            tickets = [service.ask(request_of(number)) for number in range(count)]
            for ticket in tickets:
                service.wait(ticket)
        assert service.totals.answers == count
        found[name] = count / (time.monotonic() - start)
    return {**found, "service_by_bare": found["service"] / found["bare"]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    server, found = openai_server.OpenAiServer(), {"rules": rules(options.rows)}
    try:
        for concurrency in (4, 32):
            with tempfile.TemporaryDirectory() as folder:
                figures = client(options.requests, concurrency, server.url, folder)
            found[f"requests_per_second_{concurrency}_threads"] = figures
    finally:
        server.stop()
    print(json.dumps(found, indent=1) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
