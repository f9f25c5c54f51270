"""The cases of bench_training.py by name."""

from training_case import EIGHT, Case

CONNECTOR = ("connector",)
HALF = EIGHT[:4]  # 8,192 tokens, the longest samples of the paper's stage 1.5


def _case(name: str, preset: str, **changes: object) -> Case:
    return Case(name=name, preset=preset, **changes)  # type: ignore[arg-type]


def recompute(siglip: float = 0.0, convnext: float = 0.0, language: float = 0.0) -> dict[str, object]:
    """Settings of a stage that makes these shares of its activations again."""
    return {"activation_checkpointing": {"siglip": siglip, "convnext": convnext, "language": language}}


# Eagle2-9B on two GPUs of 141 GB: ZeRO-2 leaves some 60 GiB a GPU for activations.
NINE = {"zero_stage": 2, **recompute(siglip=0.5, convnext=1.0, language=0.8)}
NINE_HALF = {"zero_stage": 2, **recompute(siglip=0.4, convnext=0.8, language=0.5)}
EIGHT_BIT = {"float8": "tensorwise"}

CASES = {
    case.name: case
    for case in (
        _case("1b", "eagle2-1b", stage=recompute(siglip=0.3)),
        _case("1b-two-packs", "eagle2-1b", packs=2, stage=recompute(siglip=0.3)),
        _case("1b-eager", "eagle2-1b", stage={"compile": False, **recompute(0.5)}),
        _case("2b", "eagle2-2b", stage=recompute(siglip=0.35, language=0.4)),
        _case("9b-stage-1", "eagle2-9b", trainable=CONNECTOR),
        _case("9b-stage-1-float8", "eagle2-9b", trainable=CONNECTOR, stage=EIGHT_BIT),
        _case("9b-stage-1.5", "eagle2-9b", stage=NINE),
        _case("9b-stage-1.5-float8", "eagle2-9b", stage=NINE | EIGHT_BIT),
        _case("9b-stage-1.5-8k", "eagle2-9b", mix=HALF, packs=2, stage=NINE_HALF),
        _case("9b-stage-1.5-8k-float8", "eagle2-9b", mix=HALF, packs=2, stage=NINE_HALF | EIGHT_BIT),
    )
}
