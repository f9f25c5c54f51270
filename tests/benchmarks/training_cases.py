"""The cases of bench_training.py by name: those of the targets, and what each part of the engine brings."""

from training_case import Case
from training_mixes import EIGHT, HALF, every_token_counts, padded, real_mix

CONNECTOR = ("connector",)


def _case(name: str, preset: str, **changes: object) -> Case:
    return Case(name=name, preset=preset, **changes)  # type: ignore[arg-type]


def recompute(siglip: float = 0.0, convnext: float = 0.0, language: float = 0.0) -> dict[str, object]:
    """Settings of a stage that makes these shares of its activations again."""
    return {"activation_checkpointing": {"siglip": siglip, "convnext": convnext, "language": language}}


def _ablation(name: str, vs: str = "1b", **changes: object) -> Case:
    """Eagle2-1B with one thing changed."""
    return _case(name, "eagle2-1b", vs=vs, **{"stage": ONE, **changes})


ONE = recompute(siglip=0.3)
ALL_AGAIN = recompute(1, 1, 1)
# Eagle2-9B on two GPUs of 141 GB: ZeRO-2 leaves some 60 GiB a GPU for activations.
NINE = {"zero_stage": 2, **recompute(siglip=0.45, convnext=1.0, language=0.75)}
NINE_FLOAT8 = {"zero_stage": 2, **recompute(siglip=0.4, convnext=1.0, language=0.7)}
NINE_HALF = {"zero_stage": 2, **recompute(siglip=0.4, convnext=0.8, language=0.5)}
EIGHT_BIT = {"float8": "tensorwise"}

TARGETS = (
    _case("1b", "eagle2-1b", stage=ONE),
    _case("2b", "eagle2-2b", stage=recompute(siglip=0.35, language=0.5)),
    _case("9b-stage-1", "eagle2-9b", trainable=CONNECTOR),
    _case("9b-stage-1.5", "eagle2-9b", stage=NINE),
    _case("9b-stage-1.5-8k", "eagle2-9b", mix=HALF, packs=2, stage=NINE_HALF, vs="9b-stage-1.5"),
    _case("9b-stage-1.5-float8", "eagle2-9b", stage=NINE_FLOAT8 | EIGHT_BIT, vs="9b-stage-1.5"),
)
ABLATIONS = (
    _ablation("real", mix=real_mix()),
    _ablation("real-padded", mix=padded(real_mix()), vs="real"),
    _ablation("real-plain", mix=real_mix(), vs="real", way="plain"),
    _ablation("plain", way="plain"),
    _ablation("two-packs", packs=2),
    _ablation("masked", way="masked"),
    _ablation("every-token", mix=every_token_counts(EIGHT)),
    _ablation("recompute-all", stage=ALL_AGAIN),
    _ablation("eager", stage={"compile": False, **recompute(siglip=0.5, language=0.3)}),
    _ablation("zero-2", stage=ONE | {"zero_stage": 2}),
    _ablation("zero-3", stage=recompute(siglip=0.5, language=0.3) | {"zero_stage": 3}),
    _ablation("towers-frozen", trainable=("connector", "language")),
)
CASES = {case.name: case for case in TARGETS + ABLATIONS}
