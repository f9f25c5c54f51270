"""The ledger of the curation steps as a table in Markdown: what each source brought, where rows ended and why."""

from data.files import join
from data.ledger import StepCount
from data.ledger_report import Ledger, LedgerFlow, SourceFlow, ledger_flow
from data.recipe import load_data_recipe
from data.registry.cards import recipe_card
from data.reporting.markdown import markdown_table
from data.storage import read_manifest

AFTER_SOURCING = ("validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting")
HEADERS = ("source", "category", "read", "added", "dropped", "kept")


def curation_ledger(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str) -> str:
    """The table of a curated run; `AerieError` names source and step when a sum doesn't close."""
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    categories = {use.name: recipe_card(recipe, use.name).category for use in recipe.data.sources}

    def counts(*step: str) -> Ledger:
        return read_manifest(join(storage_uri, run_id, *step)).counts

    sourced = [count for source in categories for count in counts("sourcing", source)]
    chain = [("sourcing", sourced), *((step, counts(step)) for step in AFTER_SOURCING)]
    kept = [_passed_on(count) for count in chain[-1][1]]
    return ledger_markdown(ledger_flow(chain, {"training": kept}, categories))


def _passed_on(count: StepCount) -> StepCount:
    """The training set as the next step would count it."""
    return StepCount(source=count.source, rows_in=count.rows_out, rows_out=count.rows_out)


def ledger_markdown(flow: LedgerFlow) -> str:
    """One row a source and their sum, then the dropped rows by step and reason, of all and of each source."""
    total = flow.total()
    rows = [*(_row(source.source, source.category, source) for source in flow.sources), _row("all", "", total)]
    drops = [(drop.step, drop.reason, f"{drop.rows:,}") for drop in sorted(total.dropped)]
    parts = ["# Data ledger", "Rows read + rows added = rows kept for training + rows dropped.", ""]
    parts += [markdown_table(HEADERS, rows), "## Dropped rows", ""]
    parts += [markdown_table(("step", "reason", "rows"), drops) if drops else "None.", "## Dropped rows by source", ""]
    each = [(s.source, drop.step, drop.reason, f"{drop.rows:,}") for s in flow.sources for drop in s.dropped]
    parts += [markdown_table(("source", "step", "reason", "rows"), each, left=3) if each else "None."]
    return "\n".join(parts)


def _row(name: str, category: str, flow: SourceFlow) -> tuple[str, ...]:
    return (name, category, *(f"{rows:,}" for rows in (flow.read, flow.added, flow.lost, flow.trained)))
