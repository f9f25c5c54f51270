"""The ledger for spreadsheets: one line for each figure of each source."""

import csv
import io

from data.ledger_report import LedgerFlow

COLUMNS = ("source", "category", "kind", "step", "reason", "rows")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet is told to compute


def ledger_csv(flow: LedgerFlow) -> bytes:
    """UTF-8 CSV of `COLUMNS`. Of each source the rows of kinds `read` + `added` are those of `trained` + `dropped`.

    Kind `stage` counts what each stage trains on: the stages overlap and stand outside that sum.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(COLUMNS)
    for source in flow.sources:
        figures = [("read", "", "", source.read), ("added", "", "", source.added)]
        figures += [("dropped", drop.step, drop.reason, drop.rows) for drop in source.dropped]
        figures += [("trained", "", "", source.trained)]
        figures += [("stage", stage, "", rows) for stage, rows in source.stages.items()]
        for kind, step, reason, rows in figures:
            writer.writerow([*map(_plain, (source.source, source.category, kind, step, reason)), rows])
    return sink.getvalue().encode()


def _plain(text: str) -> str:
    """Text that a spreadsheet shows and never computes."""
    return f"'{text}" if text.startswith(FORMULA) else text
