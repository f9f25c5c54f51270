"""Failure signatures: what goes wrong in the same way, where, and which training sources show the same pattern."""

from collections.abc import Mapping

from data.reporting.html import Badge, Block, Cell, Details, Section, Table, Text
from data.schema import Sample
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import STAGE_NAMES, percent
from model.evaluation.sections.signature_examples import example_blocks
from model.evaluation.signatures.finding import BIASES, Signature
from model.evaluation.signatures.of_run import RunSignatures
from model.evaluation.signatures.regressions import Regression
from model.evaluation.signatures.tracing import SourcePattern
from model.recipe import STAGES

TITLE = "Failure signatures"
NAMED = 3  # sources in a cell of the overview
MARK_CHARS = 40


def signatures_section(run: RunFolder, signed: RunSignatures) -> Section:
    """Overview, what fell and who may be to blame, then each signature that was found."""
    samples = _training_samples(run, signed)
    found = [one for one in signed.found if one.count]
    return Section(
        title=TITLE,
        blocks=(
            Text(_in_words(signed)),
            *regression_blocks(signed),
            _overview(found, signed),
            *(
                Details(
                    summary=f"{named(one.name)}: {one.count:,} of {one.asked:,} outputs",
                    blocks=signature_blocks(one, signed.traces.get(one.name, {}), run, samples),
                    open=opened(one, signed.regressions),
                )
                for one in found
            ),
        ),
    )


def named(name: str) -> str:
    """A signature's name in words."""
    return name.replace("_", " ").capitalize().replace("latex", "LaTeX")


def opened(found: Signature, fallen: tuple[Regression, ...]) -> bool:
    """Whether a signature's details stand open: it shows in a set about reading whose score fell."""
    return any(one.reads_text and one.source in found.sources for one in fallen)


def _in_words(signed: RunSignatures) -> str:
    clean = [one.name.replace("_", " ") for one in signed.found if not one.count]
    return (
        "Outputs of the last stage that fail in the same way, with open eyes only: held-out questions and benchmarks. "
        "The stages' shares are of the held-out questions, which every stage is asked. A pattern counts as "
        "failure where neither question nor references give a reason for it; biases are exact tests against the "
        "references. The training answers are searched by the same functions for the same pattern."
        + (f" Looked for and not found: {', '.join(clean)}." if clean else "")
    )


def regression_blocks(signed: RunSignatures) -> tuple[Block, ...]:
    """The sets whose score fell, and newly added similar sources beside them; nothing where nothing fell."""
    compared = STAGE_NAMES.get(signed.compared, signed.compared)
    if not signed.regressions:
        return (Text(f"No score fell since {compared} by more than chance."),)
    reading = [one.source for one in signed.regressions if one.reads_text]
    words = (
        (Text(f"Reading text got worse in {', '.join(reading)}: the signatures found there are open below."),)
        if reading
        else ()
    )
    return (
        Table(
            caption=f"Scores that fell since {compared}",
            headers=(
                "Source or benchmark",
                "Category",
                "Questions",
                "Before",
                "After",
                "Worse",
                "Better",
                "p",
                "About",
            ),
            rows=tuple(
                (
                    one.source,
                    one.category,
                    f"{one.questions:,}",
                    percent(one.before),
                    percent(one.after),
                    f"{one.worse:,}",
                    f"{one.better:,}",
                    f"{one.pvalue:.2g}",
                    Badge("reading", "bad") if one.reads_text else "",
                )
                for one in signed.regressions
            ),
        ),
        *words,
        Table(
            caption="New sources that are much like what was there, and may explain a drop",
            headers=("Source", "Category", "S", "Flagged above", "Coincides with", "Shows the pattern of"),
            rows=tuple(
                (
                    one.source,
                    one.category,
                    f"{one.score:.3f}",
                    f"{one.threshold:g}",
                    ", ".join(one.drops),
                    ", ".join(f"{named(name)} ({count:,})" for name, count in one.patterns.items()) or "–",
                )
                for one in signed.suspects
            ),
            empty="No newly added source lies above its category's similarity threshold.",
        ),
    )


def _overview(found: list[Signature], signed: RunSignatures) -> Table:
    return Table(
        headers=(
            "Signature", "Outputs", "Asked", "Stages 1, 1.5, 2, %", "p", "Found in", "Taught by",
        ),
        rows=tuple(
            (
                named(one.name),
                f"{one.count:,}",
                f"{one.asked:,}",
                " → ".join(percent(signed.shares[stage][one.name]) for stage in STAGES),
                "" if one.pvalue is None else f"{one.pvalue:.2g}",
                _listed({source: f"{count:,}" for source, count in one.sources.items()}),
                _listed(_taught(one.name, signed.traces.get(one.name, {}))),
            )
            for one in found
        ),
        empty="No output shows a failure signature.",
    )  # fmt: skip


def _taught(name: str, sources: Mapping[str, SourcePattern]) -> dict[str, str]:
    if name in BIASES:
        return {source: f"{percent(one.answers / one.answers_total)} %" for source, one in sources.items()}
    return {source: f"{one.count:,}" for source, one in sources.items()}


def _listed(values: Mapping[str, str]) -> str:
    if not values:
        return "none"
    shown = [f"{source} ({value})" for source, value in list(values.items())[:NAMED]]
    rest = len(values) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def signature_blocks(
    found: Signature, sources: Mapping[str, SourcePattern], run: RunFolder, samples: Mapping[str, Sample]
) -> tuple[Block, ...]:
    """One signature: what it is, where it shows, who teaches it, and examples of both side by side."""
    return (
        Text(f"{found.description[0].upper()}{found.description[1:]}."),
        biased_table(found) if found.biases else _affected(found),
        _training(found, sources),
        *example_blocks(found, sources, run.heldout, samples),
    )


def _affected(found: Signature) -> Table:
    return Table(
        caption="Found in",
        headers=("Benchmark or source", "Outputs", "Asked", "Share, %"),
        rows=tuple(
            (source, f"{count:,}", f"{found.asked_of[source]:,}", percent(count / found.asked_of[source]))
            for source, count in found.sources.items()
        ),
    )


def biased_table(found: Signature) -> Table:
    """Every tested set of a bias: the favoured answer, how often it was said and right, and the corrected p-value."""
    return Table(
        caption="Tested in",
        headers=("Benchmark or source", "Favours", "Said", "Right", "Wrongly", "Asked", "p", "Verdict"),
        rows=tuple(
            (
                source,
                _cut(bias.favoured),
                f"{bias.said:,}",
                f"{bias.right:,}",
                f"{bias.wrong:,}",
                f"{bias.asked:,}",
                f"{bias.pvalue:.2g}",
                Badge("biased", "bad") if bias.found else Badge("chance", "plain"),
            )
            for source, bias in sorted(found.biases.items(), key=lambda item: item[1].pvalue)
        ),
    )


def _training(found: Signature, sources: Mapping[str, SourcePattern]) -> Table:
    """The training sources; a sample whose question gives no reason for the pattern is `Unasked`."""
    texts = found.name not in BIASES

    def row(source: str, one: SourcePattern) -> tuple[Cell, ...]:
        return (
            source,
            f"{one.count:,}",
            f"{one.total:,}",
            percent(one.share),
            f"{one.unasked:,}" if texts else f"{one.answers:,} of {one.answers_total:,}",
            *(f"{one.packed.get(stage, 0):,}" for stage in STAGES),
            ", ".join(f"{_cut(mark)} ({count:,})" for mark, count in list(one.marks.items())[:NAMED]),
        )

    return Table(
        caption="Training sources with the same pattern in their answers, and these samples in the packs of each stage",
        headers=(
            "Source", "Samples", "Of", "Share, %", "Unasked" if texts else "Answers",
            *(STAGE_NAMES[stage] for stage in STAGES), "Pattern",
        ),
        rows=tuple(row(source, one) for source, one in sources.items()),
        empty="No training answer shows this pattern: the outputs did not learn it from their sources' words.",
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= MARK_CHARS else text[: MARK_CHARS - 1] + "…"


def _training_samples(run: RunFolder, signed: RunSignatures) -> dict[str, Sample]:
    """The training samples that are shown, read in one go."""
    ids = {
        example.sample_id
        for sources in signed.traces.values()
        for pattern in sources.values()
        for example in pattern.examples
    }
    return run.find(ids, "formatting")
