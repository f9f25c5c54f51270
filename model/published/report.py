"""What became of every tensor of an imported checkpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from data.errors import AerieError
from model.checkpoint import HEAD
from model.published.keys import KeyRules
from model.tensor_files import TensorHeader

TIED = "a copy of the embedding, to which it is tied"
NAMED = 5  # keys that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """Published names throughout; every tensor of the checkpoint and of the network stands in exactly one list."""

    layout: str
    loaded: tuple[str, ...]
    ignored: dict[str, str]  # by design: name and why
    missing: tuple[str, ...] = ()  # the network needs it
    unexpected: tuple[str, ...] = ()  # nothing explains it
    wrong_shape: dict[str, str] | None = None  # name and "[3, 4] instead of [4, 4]"

    @property
    def explained(self) -> bool:
        """True when nothing is missing, unexpected or misshapen."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def to_json(self) -> str:
        """The whole report."""
        return json.dumps({"explained": self.explained, **asdict(self)}, indent=1)

    def problem(self) -> str:
        """One line that names the first keys of each kind."""
        shapes = [f"{name} ({text})" for name, text in (self.wrong_shape or {}).items()]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "wrong shape": shapes}
        return "; ".join(f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in kinds.items() if keys)


class UnexplainedKeysError(AerieError):
    """An import that stopped because of its keys; `report` says which."""

    def __init__(self, message: str, report: KeyReport) -> None:
        super().__init__(message)
        self.report = report


def key_report(
    layout: str,
    rules: KeyRules,
    found: Mapping[str, TensorHeader],
    expected: Mapping[str, tuple[int, ...]],
    *,
    tied: bool,
) -> KeyReport:
    """Compare a published checkpoint's tensors (`found`) with those that our network needs (`expected`, our names)."""
    loaded, ignored, unexpected, shapes = [], {}, [], {}
    for name, header in sorted(found.items()):
        ours = rules.to_ours(name)
        if ours is not None and ours in expected:
            loaded.append(name)
            if header.shape != expected[ours]:
                shapes[name] = f"{list(header.shape)} instead of {list(expected[ours])}"
        elif tied and ours == HEAD:
            ignored[name] = TIED
        elif (reason := rules.why_unused(name)) is not None:
            ignored[name] = reason
        else:
            unexpected.append(name)
    missing = sorted(set(map(rules.to_theirs, expected)) - set(loaded))
    return KeyReport(
        layout=layout,
        loaded=tuple(name for name in loaded if name not in shapes),
        ignored=ignored,
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        wrong_shape=shapes,
    )


def _first(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more
