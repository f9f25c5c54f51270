"""The bad samples of a stage on disk: a file for each rank while it trains, one attachment when it is done."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from data.files import join, read_bytes, write_bytes
from data.folders import files_below, remove_file
from model.inputs.quarantine import QuarantineEvent

QUARANTINE_NAME = "quarantine.jsonl"
PREFIX, SUFFIX = "quarantine-rank", ".jsonl"


class QuarantineLog:
    """The events of one rank. Lines carry the job's fingerprint: those of another job count nothing.

    A run that goes on from a checkpoint meets the packs from `next_pack` on again; what an earlier run told of them is
    dropped, also from the files of ranks that there are no more.
    """

    def __init__(self, out_uri: str, fingerprint: str, *, rank: int, world: int, next_pack: int) -> None:
        self._uri, self._fingerprint = _uri(out_uri, rank), fingerprint
        inherited = [number for number in _ranks(out_uri) if number % world == rank]
        known = [event for number in inherited for event in _read(_uri(out_uri, number), fingerprint)]
        self._events = {event for event in known if event.pack < next_pack}
        if inherited:
            self._write()
        for number in inherited:
            if number != rank:
                remove_file(_uri(out_uri, number))

    def append(self, events: Sequence[QuarantineEvent]) -> None:
        """Further events; they are on disk when this returns."""
        if events:
            self._events |= set(events)
            self._write()

    def _write(self) -> None:
        write_bytes(self._uri, _lines(self._events, fingerprint=self._fingerprint))


def merged_events(out_uri: str, fingerprint: str) -> bytes:
    """The events of all ranks as sorted JSON lines, without what differs from run to run; empty when there are none."""
    return _lines({event for rank in _ranks(out_uri) for event in _read(_uri(out_uri, rank), fingerprint)})


def parse_events(payload: bytes) -> list[QuarantineEvent]:
    """The events of JSON lines as `merged_events` makes them."""
    return [QuarantineEvent(**json.loads(line)) for line in payload.splitlines()]


def _lines(events: Iterable[QuarantineEvent], **also: str) -> bytes:
    return "".join(json.dumps(asdict(event) | also, ensure_ascii=False) + "\n" for event in sorted(events)).encode()


def _uri(out_uri: str, rank: int) -> str:
    return join(out_uri, f"{PREFIX}{rank}{SUFFIX}")


def _ranks(out_uri: str) -> list[int]:
    """The ranks that have a file."""
    names = (name.removeprefix(PREFIX).removesuffix(SUFFIX) for name in files_below(out_uri) if name.startswith(PREFIX))
    return sorted(int(name) for name in names if name.isdecimal())


def _read(uri: str, fingerprint: str) -> list[QuarantineEvent]:
    found = [json.loads(line) for line in read_bytes(uri).splitlines()]
    return [QuarantineEvent(**line) for line in found if line.pop("fingerprint") == fingerprint]
