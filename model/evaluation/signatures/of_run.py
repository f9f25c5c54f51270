"""The failure signatures of one run: of its last stage, traced into its own training set, beside what was before."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from data.files import join
from data.schema import Sample
from data.shardwise import WORKERS, map_shards
from data.storage import Shard, parquet_table, read_manifest, read_tables, shard_payload
from model.evaluation.judging_step import STEP as JUDGING
from model.evaluation.predictions import Prediction, heldout_name, read_benchmarks, read_predictions
from model.evaluation.rules import UNIT_RULES, verdict
from model.evaluation.run_folder import RunFolder
from model.evaluation.signatures.finding import Signature, signatures
from model.evaluation.signatures.regressions import Regression, Suspect, regressions, suspects, worst_first
from model.evaluation.signatures.tracing import SourcePattern, Trace, trace
from model.recipe import STAGES

COLUMNS = ["sample_id", "source", "category", "conversations", "meta"]  # no pixels
FEW_ROWS = 20_000  # traced before worker processes have started
LAST = STAGES[-1]
COMPARED = ("gate", f"evaluation/{LAST}", JUDGING)  # steps of an earlier run that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a run is compared with: a name for it, its predictions, and the sources that it trained on.

    `benchmarks` are its answers to benchmarks; a stage before the last was asked none.
    """

    name: str
    predictions: tuple[Prediction, ...]
    sources: frozenset[str]
    benchmarks: tuple[Prediction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSignatures:
    """`found` are the signatures of the last stage, over held-out questions and benchmarks; `traces` as of `traced`.

    `shares` are those of each stage by name, over held-out questions alone, which all stages are asked. `regressions`
    and `suspects` hold what changed since `compared`.
    """

    found: tuple[Signature, ...]
    shares: dict[str, dict[str, float]]
    traces: dict[str, dict[str, SourcePattern]]
    compared: str
    regressions: tuple[Regression, ...] = ()
    suspects: tuple[Suspect, ...] = ()

    def document(self) -> dict[str, Any]:
        """Plain values for JSON; examples stay in the page."""
        return {
            "signatures": [
                {
                    **{key: value for key, value in asdict(one).items() if key != "examples"},
                    "stages": {stage: self.shares[stage][one.name] for stage in STAGES},
                    "training_sources": {
                        source: {key: value for key, value in asdict(pattern).items() if key != "examples"}
                        for source, pattern in self.traces.get(one.name, {}).items()
                    },
                }
                for one in self.found
            ],
            "compared_with": self.compared,
            "regressions": [{**asdict(one), "reads_text": one.reads_text} for one in self.regressions],
            "suspects": [asdict(one) for one in self.suspects],
        }


def run_signatures(run: RunFolder, earlier: Earlier | None = None) -> RunSignatures:
    """Signatures of a finished run. Without an `earlier` run its last stage is compared with the stage before."""
    predictions = {stage: run.heldout_answers(stage) for stage in STAGES}
    benchmarks = run.benchmark_answers()
    before = earlier or _stage_before(run, predictions[STAGES[-2]])
    by_stage = {stage: signatures(rows) for stage, rows in predictions.items()}
    heldout = _apart(predictions[LAST], benchmarks)
    found = signatures(heldout + benchmarks) if benchmarks else by_stage[LAST]
    traces = run_traces(run, found)
    fallen = regressions(before.predictions, heldout)
    fallen = worst_first([*fallen, *regressions(before.benchmarks, benchmarks, benchmark_score)])
    return RunSignatures(
        found=tuple(found),
        shares={stage: {one.name: one.share for one in ones} for stage, ones in by_stage.items()},
        traces=traces,
        compared=before.name,
        regressions=tuple(fallen),
        suspects=tuple(suspects(run.document("gate")["sources"], before.sources, fallen, traces, found)),
    )


def earlier_run(uri: str) -> Earlier:
    """The run in another folder; `AerieError` where a step of `COMPARED` has not finished."""
    evaluation, judging, gate = join(uri, "evaluation", LAST), join(uri, JUDGING), read_manifest(join(uri, "gate"))
    return Earlier(
        name=f"run {uri.rstrip('/').rsplit('/', 1)[-1]}",
        predictions=tuple(read_predictions(evaluation, read_manifest(evaluation))),
        sources=frozenset(count.source for count in gate.counts if count.rows_out),
        benchmarks=tuple(read_benchmarks(judging, read_manifest(judging))),
    )


def _apart(heldout: Sequence[Prediction], benchmarks: Sequence[Prediction]) -> list[Prediction]:
    taken = {prediction.source for prediction in benchmarks}
    return [replace(one, source=heldout_name(one.source, taken)) for one in heldout]


def benchmark_score(prediction: Prediction) -> float | None:
    """The score of an answer to a benchmark, by the papers' rules; None where only a judge could say."""
    return verdict(prediction.answered(), UNIT_RULES).value


def _stage_before(run: RunFolder, predictions: Sequence[Prediction]) -> Earlier:
    """A source is new to the last stage when no stage before it held one of its samples."""
    trained = {
        count.source for stage in STAGES[:-1] for count in run.manifest(f"packing/{stage}").counts if count.rows_out
    }
    return Earlier(name=STAGES[-2], predictions=tuple(predictions), sources=frozenset(trained))


def run_traces(run: RunFolder, found: Sequence[Signature]) -> dict[str, dict[str, SourcePattern]]:
    """Where the run's formatted samples show what was found, shard by shard; `AerieError` names a damaged shard."""
    marks = {one.name: frozenset(one.marks) for one in found if one.count}
    if not marks:
        return {}
    manifest = run.manifest("formatting")
    function = partial(trace_shard, step=manifest.step, marks=marks)
    whole = Trace()
    workers = WORKERS if manifest.rows > FEW_ROWS else 1
    for part in map_shards(function, run.folder("formatting"), manifest, workers):
        whole.add(part)
    wanted = {match.sample_id for match in whole.matches}
    return whole.patterns({stage: shown_pairs(run, stage, wanted) for stage in STAGES})


def trace_shard(folder: str, shard: Shard, *, step: str, marks: Mapping[str, Collection[str]]) -> Trace:
    """The matches of one shard of formatted samples."""
    table = parquet_table(shard_payload(folder, shard, step), COLUMNS)
    return trace(marks, (Sample.from_row({**row, "images": []}) for row in table.to_pylist()), marks)


def shown_pairs(run: RunFolder, stage: str, wanted: Collection[str]) -> dict[str, set[int]]:
    """Of these samples, the pairs that a stage's packs show in some epoch."""
    step = f"packing/{stage}"
    found: defaultdict[str, set[int]] = defaultdict(set)
    for table in read_tables(run.folder(step), run.manifest(step), ["sample_id", "turns"]):
        for sample_id, turns in zip(table["sample_id"].to_pylist(), table["turns"].to_pylist(), strict=True):
            if sample_id in wanted:
                found[sample_id].update(turns)
    return dict(found)
