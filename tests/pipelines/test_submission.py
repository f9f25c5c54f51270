"""`aerie submit` against a real HTTP server that behaves like KFP: one run a state, whatever goes wrong."""

from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

import kfp_api
import pytest
import yaml
from faulty_http import FaultyServer
from kfp_cases import PARAMETERS, PIPELINE, SYNCED, TOKEN, VERSION, Killed, TimedApi, release_of
from virtual_time import VirtualTime

from data.errors import AerieError
from model.recipe import load_recipe
from pipelines import submission
from pipelines.claims import Claims
from pipelines.kfp_client import KfpError
from pipelines.kfp_endpoint import Endpoint
from pipelines.submission import FRESH_SECONDS, order, run_id_of, submit
from pipelines.versions import upload_version, wait_for_version

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipelines/recipes/tiny.yaml"
SCHEDULES, CHUNK = 1000, 100
RATES = {"throttled": 0.04, "broken": 0.03, "unavailable": 0.03, "dropped_before": 0.03, "dropped_after": 0.05}
RATES |= {"truncated": 0.03, "slow": 0.001}


@pytest.fixture(scope="module")
def server():
    with FaultyServer(kfp_api.__file__) as running:
        yield running


@pytest.fixture
def endpoint(server, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    return Endpoint(url=server.url, token_file=str(token))


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Two recipe files that differ in their seed."""
    folder, paths = tmp_path_factory.mktemp("recipes"), []
    for seed in (1, 2):
        path = folder / f"{seed}.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(RECIPE.read_text()), "seed": seed}))
        paths.append((str(path), load_recipe(str(path))))
    return paths


def submit_state(api, recipe, data, storage, nonce=""):
    path, loaded = recipe
    wanted = order(release_of(loaded.sha256, data), loaded, storage, nonce=nonce)
    return submit(api, wanted, path, lambda: wait_for_version(api, PIPELINE, VERSION))


def workflows(server):
    return Counter(run_id for run_id, _ in server.state()["workflows"])


class Case:
    """One random world: a server with faults, submitters that come, fail and are killed."""

    def __init__(self, seed, server, endpoint, recipes, storage):
        self.random, self.server, self.recipes = Random(seed), server, recipes
        self.time, self.endpoint, self.storage, self.data = VirtualTime(), endpoint, storage, f"data {seed}"
        synced = [{**SYNCED[0], "at": self.random.choice([0, 0, 0, 0, 15])}]
        server.reset(
            seed,
            rates=RATES,
            token=TOKEN,
            synced=synced,
            row_seconds=self.random.choice([0, 0, 20]),
            row_lost=self.random.choice([0, 0, 0.2]),
            keeps_ids=self.random.random() < 0.9,
            page_size=self.random.choice([1, 200]),
        )

    def sync(self, recipe, kill=False):
        """One hook Job: repeated until it ends well, as a Job repeats its pods."""
        while True:
            kill_at = self.random.randint(1, 14) if kill and self.random.random() < 0.15 else 0
            api = TimedApi(self.endpoint, self.time, self.random.randrange(1 << 30), kill_at)
            try:
                return submit_state(api, recipe, self.data, self.storage)
            except Killed:
                pass
            except KfpError as error:
                if not error.passing:
                    raise
            self.time.sleep(10)

    def syncs(self, recipe, number, at_once):
        jobs = [partial(self.sync, recipe, kill=True)] * number
        outcomes = self.time.together(*jobs) if at_once else [job() for job in jobs]
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes


def check(case, outcomes, expected_runs):
    """Each answer names the state's one run, and KFP has it once, as row and as workflow."""
    (run_id,) = {outcome.run.run_id for outcome in outcomes}
    state = case.server.state()
    assert run_id in {row["run_id"] for row in state["runs"]}
    assert len(state["runs"]) == expected_runs
    counts = Counter(found for found, _ in state["workflows"])
    assert set(counts.values()) == {1}
    assert len(counts) == expected_runs
    return run_id


@pytest.mark.parametrize(
    "first", [pytest.param(n, marks=[pytest.mark.long] if n >= 2 * CHUNK else []) for n in range(0, SCHEDULES, CHUNK)]
)
def test_one_run_a_state_under_random_faults(first, server, endpoint, recipes, tmp_path):
    """Two states; every state is synced several times, every eighth case by several submitters at once."""
    for seed in range(first, first + CHUNK):
        case = Case(seed, server, endpoint, recipes, str(tmp_path / "storage"))
        at_once = seed % 8 == 0
        ids = [
            check(case, case.syncs(recipe, case.random.randint(2, 3) - number // 2, at_once), number)
            for number, recipe in enumerate(recipes, 1)
        ]
        assert len(set(ids)) == 2


def test_the_run_says_what_it_is(server, endpoint, recipes, tmp_path):
    server.reset(token=TOKEN, synced=SYNCED)
    api = TimedApi(endpoint, VirtualTime())
    path, sha = recipes[0][0], recipes[0][1].sha256
    outcome = submit_state(api, recipes[0], "d" * 64, str(tmp_path))
    assert outcome.started
    (row,) = server.state()["runs"]
    assert row["run_id"] == row["runtime_config"]["parameters"]["run_id"] == run_id_of(release_of(sha, "d" * 64))
    assert row["display_name"] == f"tiny-{row['run_id'][:8]}"
    assert row["service_account"] == "aerie-runner"
    for fact in (sha, "d" * 64, VERSION):
        assert fact in row["description"]
    assert set(row["runtime_config"]["parameters"]) == set(PARAMETERS)
    uri = row["runtime_config"]["parameters"]["recipe_uri"]
    assert uri == f"{tmp_path}/recipes/{sha}.yaml"
    assert Path(uri).read_bytes() == Path(path).read_bytes()
    assert server.state()["experiments"] == ["aerie"]


def test_every_part_of_the_state_makes_another_run():
    base = run_id_of(release_of("a", "b"))
    assert base == run_id_of(release_of("a", "b"))
    others = {run_id_of(release_of("a2", "b")), run_id_of(release_of("a", "b2")), run_id_of(release_of("a", "b"), "n")}
    assert len({base, *others}) == 4


def test_an_equal_request_would_start_a_second_workflow(server, endpoint, recipes, tmp_path):
    """Why claims are needed: the server that the schedules run against doesn't forgive a repeated POST."""
    server.reset(token=TOKEN, synced=SYNCED)
    api = TimedApi(endpoint, VirtualTime())
    run_id = submit_state(api, recipes[0], "data", str(tmp_path)).run.run_id
    (row,) = server.state()["runs"]
    with pytest.raises(KfpError, match="Failed to store run"):
        api.ask("POST", "/apis/v2beta1/runs", body=row)
    assert workflows(server) == {run_id: 2}


def test_a_claim_whose_owner_died_is_taken_over(server, endpoint, recipes, tmp_path):
    """The first submitter dies between its claim and its request; nobody is stuck, and nobody is early."""
    server.reset(token=TOKEN, synced=SYNCED)
    time = VirtualTime()
    for kill_at in range(1, 20):
        api = TimedApi(endpoint, time, kill_at=kill_at)
        with pytest.raises(Killed):
            submit_state(api, recipes[0], "data", str(tmp_path))
        if list((tmp_path / "submissions").glob("*/1.json")):
            break
    assert workflows(server) == {}
    outcome = submit_state(TimedApi(endpoint, time), recipes[0], "data", str(tmp_path))
    assert outcome.started
    assert workflows(server) == {outcome.run.run_id: 1}
    assert 300 <= time.now <= 400


def test_a_claim_that_took_long_is_not_trusted(server, endpoint, recipes, tmp_path, monkeypatch):
    """The store's answer came so late that others may have given the claim up: the next number decides."""
    server.reset(token=TOKEN, synced=SYNCED)
    time = VirtualTime()

    class SlowClaims(Claims):
        def take(self, number):
            ours = super().take(number)
            time.sleep(FRESH_SECONDS if number == 1 else 0)
            return ours

    monkeypatch.setattr(submission, "Claims", SlowClaims)
    outcome = submit_state(TimedApi(endpoint, time), recipes[0], "data", str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "submissions").glob("*/*")) == ["1.json", "2.json"]
    assert workflows(server) == {outcome.run.run_id: 1}


def test_a_spoilt_recipe_copy_is_replaced(server, endpoint, recipes, tmp_path):
    server.reset(token=TOKEN, synced=SYNCED)
    path, sha = recipes[0][0], recipes[0][1].sha256
    copy = tmp_path / "recipes" / f"{sha}.yaml"
    copy.parent.mkdir()
    copy.write_text("half a rec")
    submit_state(TimedApi(endpoint, VirtualTime()), recipes[0], "data", str(tmp_path))
    assert copy.read_bytes() == Path(path).read_bytes()


def test_a_version_that_never_shows_is_an_error_that_says_so(server, endpoint, recipes, tmp_path):
    server.reset(token=TOKEN)
    with pytest.raises(AerieError, match="is infra/release synced"):
        submit_state(TimedApi(endpoint, VirtualTime()), recipes[0], "data", str(tmp_path))
    assert server.state()["runs"] == []


@pytest.mark.parametrize(
    ("status", "says"), [(400, "change what its message names"), (401, "audience"), (403, "Role"), (404, "--endpoint")]
)
def test_a_final_refusal_ends_at_once_and_says_what_to_do(status, says, server, endpoint, recipes, tmp_path):
    rule = {"method": "POST", "path": "/runs", "status": status, "message": f"no, said to {TOKEN}"}
    server.reset(token=TOKEN, synced=SYNCED, refuse=[rule])
    time = VirtualTime()
    with pytest.raises(KfpError, match=says) as caught:
        submit_state(TimedApi(endpoint, time), recipes[0], "data", str(tmp_path))
    assert TOKEN not in str(caught.value)
    assert time.now == 0
    assert server.state()["runs"] == []


def test_uploading_a_version_twice_makes_one(server, endpoint, tmp_path):
    """Also when the answers to both creations are lost."""
    package = yaml.safe_dump({"root": {"inputDefinitions": {"parameters": {"run_id": {"parameterType": "STRING"}}}}})
    lost = ["pass", "pass", "dropped_after", "pass", "pass", "dropped_after"]
    server.reset(token=TOKEN, script=lost)
    for _ in range(2):
        upload_version(TimedApi(endpoint, VirtualTime()), PIPELINE, "Aerie", VERSION, package.encode())
    state = server.state()
    assert (state["pipelines"], state["versions"]) == ([PIPELINE], [VERSION])
