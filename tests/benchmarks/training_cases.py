"""The cases of bench_training.py by name."""

from training_case import Case

CONNECTOR = ("connector",)


def _case(name: str, preset: str, **changes: object) -> Case:
    return Case(name=name, preset=preset, **changes)  # type: ignore[arg-type]


def recompute(siglip: float = 0.0, convnext: float = 0.0, language: float = 0.0) -> dict[str, object]:
    """Settings of a stage whose layers recompute in these shares."""
    return {"activation_checkpointing": {"siglip": siglip, "convnext": convnext, "language": language}}


CASES = {
    case.name: case
    for case in (
        _case("1b", "eagle2-1b"),
        _case("1b-eager", "eagle2-1b", stage={"compile": False, **recompute(0.5)}),
        _case("2b", "eagle2-2b", stage=recompute(siglip=0.6)),
        _case("9b-stage-1", "eagle2-9b", trainable=CONNECTOR),
        _case("9b-stage-1.5", "eagle2-9b", stage={"zero_stage": 2, **recompute(1, 1, 0.4)}),
    )
}
