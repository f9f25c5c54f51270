"""The data ledger of a run: every source followed from its first row to the packs of the three stages."""

from collections import Counter

from data.ledger_report import LedgerFlow, ledger_flow
from data.storage import read_tables
from model.evaluation.run_folder import CURATION, RunFolder
from model.recipe import STAGES


def run_flow(run: RunFolder) -> LedgerFlow:
    """The closed ledger of a run; `AerieError` names source and step when rows vanish."""
    sourced = tuple(count for source in run.sources for count in run.manifest(f"sourcing/{source}").counts)
    return ledger_flow(
        [("sourcing", sourced), *((step, run.manifest(step).counts) for step in CURATION)],
        {stage: run.manifest(f"packing/{stage}").counts for stage in STAGES},
        {source: run.cards[source].category for source in run.sources},
        trained_rows(run),
        {stage: run.manifest(stage).counts for stage in STAGES},
    )


def trained_rows(run: RunFolder) -> dict[str, int]:
    """Distinct samples of each source that stand in some pack of some stage."""
    source_of: dict[str, str] = {}
    for stage in STAGES:
        step = f"packing/{stage}"
        for table in read_tables(run.folder(step), run.manifest(step), ["sample_id", "source"]):
            source_of.update(zip(table["sample_id"].to_pylist(), table["source"].to_pylist(), strict=True))
    return dict(Counter(source_of.values()))
