"""Check a source: look at its place, read its first rows through its adapter, and say what is good, bad or unknown."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from data.errors import AerieError
from data.expectations.checks import Problem, image_hashes, structure_problem
from data.registry.asking import BrokenAnswerError, UnreachableError
from data.registry.cards import SourceCard
from data.registry.hub_probe import hub_place
from data.registry.probes import Finding, Outcome, Probe, failed, mib, probe
from data.registry.rows import Accepted, RawRow, Rejected
from data.registry.sourcing import load_adapter
from data.schema import Sample
from data.settings.sources import SourceUse

FIRST_ROWS = 5
MAX_FETCH_MIB = 256  # what a check may fetch of one source without being told to
LOOKED_AT = 20  # raw rows looked at for each row that is wanted; the rest of a broken file is as broken
ALONE = {"hf_parquet", "webdataset_tar", "vlmevalkit_tsv", "pdf_pages"}  # each file holds whole rows: one is enough

BESIDE = {"images", "questions"}  # options that name files beside the rows, counted from the card's own folder


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """What was found out about one source; `offline` when its server couldn't be reached and nothing was checked."""

    name: str
    findings: tuple[Finding, ...]
    offline: bool = False

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings."""
        outcomes = {finding.outcome for finding in self.findings}
        return "failed" if "failed" in outcomes else "unknown" if "unknown" in outcomes else "ok"


def check_source(card: SourceCard, rows: int = FIRST_ROWS, max_mib: int = MAX_FETCH_MIB) -> SourceCheck:
    """Check place, version or revision, licence, the first `rows` rows and their images; never raises for a source."""
    if not card.readable:
        words = "only the paper's authors have it" if card.status == "internal" else "the card names no place"
        return SourceCheck(name=card.name, findings=(_unknown("place", f"{words}; give a card with `uri`"),))
    try:
        found = probe(card)
    except UnreachableError as error:
        words = f"offline: could not reach {error}; nothing was checked"
        return SourceCheck(name=card.name, findings=(_unknown("place", words),), offline=True)
    except BrokenAnswerError as error:
        return SourceCheck(name=card.name, findings=(failed("place", str(error)),))
    findings = found.findings
    if found.readable:
        findings += tuple(_first_rows(card, found, rows, max_mib))
    return SourceCheck(name=card.name, findings=findings)


def _unknown(what: str, detail: str) -> Finding:
    return Finding(what=what, outcome="unknown", detail=detail)


def _first_rows(card: SourceCard, found: Probe, rows: int, max_mib: int) -> Iterator[Finding]:
    """Findings `rows` and `images`."""
    try:
        adapter = load_adapter(card)
        card, size = _narrowed(card, found, getattr(adapter, "SUFFIXES", ("",)))
        if size > max_mib * 2**20:
            yield _unknown("rows", f"{mib(size)} would have to be fetched, more than {max_mib} MiB; see --max-mib")
            return
        raw = adapter.read(card, SourceUse(name=card.name), seed=0)  # without caps: the first rows, not a draw
        yield from _judged(list(_training_rows(raw, rows)), rows)
    except AerieError as error:
        yield failed("rows", str(error))
    except Exception as error:  # an adapter that breaks on a source must not hide what the other sources are like
        yield failed("rows", f"adapter {card.adapter!r} broke: {type(error).__name__}: {error}")


def _narrowed(card: SourceCard, found: Probe, suffixes: tuple[str, ...]) -> tuple[SourceCard, int]:
    """The card for the first rows alone, and how many bytes will be fetched for them."""
    if not card.uri.startswith("hf://"):
        return card, found.size or 0
    files = sorted(found.files, key=lambda file: file.path)
    meant = [file for file in files if file.path.lower().endswith(suffixes)]
    if not meant:
        held = ", ".join(file.path for file in files[:3])
        raise AerieError(f"no {' or '.join(suffixes)} file at {card.uri}; there are {held}")
    if card.adapter not in ALONE or BESIDE & set(card.options):
        return card, sum(file.size for file in meant)
    repository, _ = hub_place(card)
    return card.model_copy(update={"uri": f"hf://datasets/{repository}/{meant[0].path}"}), meant[0].size


def _training_rows(raw: Iterator[RawRow], rows: int) -> Iterator[RawRow]:
    """The first training rows, good and bad; a source that holds only held-out rows gives those."""
    looked_at = islice(raw, LOOKED_AT * rows)
    heldout: list[RawRow] = []
    taken = 0
    for row in looked_at:
        if row.split == "train":
            yield row
            taken += 1
            if taken == rows:
                return
        else:
            heldout.append(row)
    if not taken:
        yield from heldout[:rows]


def _judged(read: list[RawRow], rows: int) -> Iterator[Finding]:
    if not read:
        yield failed("rows", "the adapter found no row at all")
        return
    bad = [_rejection(row) for row in read if isinstance(row, Rejected)]
    samples = [row.sample for row in read if isinstance(row, Accepted)]
    for sample in samples:
        if (problem := structure_problem(sample)) is not None:
            bad.append(f"{_key(sample.meta, sample.sample_id)}: {problem.reason}, {problem.detail}")
    if bad:
        yield failed("rows", f"{len(bad)} of the first {len(read)} rows are broken: {bad[0]}")
    else:
        few = f" (the source has no more; {rows} were asked for)" if len(read) < rows else ""
        yield Finding(what="rows", outcome="ok", detail=f"{len(read)} read{few}")
    yield from _images([sample for sample in samples if sample.images])


def _images(samples: list[Sample]) -> Iterator[Finding]:
    decoded, broken = 0, []
    for sample in samples:
        found = image_hashes(sample)
        if isinstance(found, Problem):
            broken.append(f"{_key(sample.meta, sample.sample_id)}: {found.reason}, {found.detail}")
        else:
            decoded += len(found)
    if broken:
        yield failed("images", f"{len(broken)} of {len(samples)} samples: {broken[0]}")
    elif samples:
        yield Finding(what="images", outcome="ok", detail=f"{decoded} decoded")


def _rejection(row: Rejected) -> str:
    return f"{row.key}: {row.reason}, {row.detail}"


def _key(meta: dict[str, object], sample_id: str) -> str:
    return str(meta.get("key", sample_id))
