import pytest

from data.errors import AerieError
from model.costs.cost import meta_network, plan
from model.costs.gpus import gpu
from model.costs.measured import efficiency
from model.costs.sample_mix import SampleMix
from model.presets import preset
from model.recipe import Recipe
from model.vlm import build_model

STAGE = {"trainable": ["connector"], "learning_rate": 1e-4}
EVERYTHING = {"learning_rate": 1e-5, "packs_per_step": 64, "capacity": 16384}
SAMPLES = {"stage_1": 1000, "stage_1_5": 20_000, "stage_2": 8000}


def recipe(name: str = "eagle2-1b", processes: int = 8, stage_1: dict | None = None, **later) -> Recipe:
    """Stage 1 and both later stages alike, with these keys over the usual ones."""
    after = {**EVERYTHING, **later}
    stages = {"stage_1": {**STAGE, "packs_per_step": 64, **(stage_1 or {})}, "stage_1_5": after, "stage_2": after}
    return Recipe.model_validate(
        {
            "name": "p", "seed": 1, "data": {"sources": [{"name": "easy-vqa"}]}, "model": {"preset": name},
            "stages": stages, "processes": processes,
        }
    )  # fmt: skip


def planned(made: Recipe, card: str = "h100", gpus: int | None = None, mix: SampleMix | None = None):
    return plan(made, gpu(card), mix or SampleMix(), SAMPLES, gpus)


def test_the_plan_counts_the_network_that_training_builds(tiny_settings):
    model = build_model(tiny_settings, tiny_settings.tokenizer.vocab_size, 0, seed=1)
    counts = meta_network(tiny_settings).parameter_counts()
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert counts["connector"] == sum(parameter.numel() for parameter in model.connector.parameters())


@pytest.mark.parametrize(("name", "tables"), [("eagle2-1b", 1), ("eagle2-9b", 2)])
def test_new_tokens_alone_learn_eleven_rows_but_hold_the_optimizer_of_whole_tables(name, tables):
    found = planned(recipe(name, 1, {"train_new_tokens": True}))
    language, connector = preset(name).language, found.parameters["connector"]
    stage = found.stages["stage_1"]
    assert stage.trains == "connector, new tokens"
    assert stage.trainable == connector + tables * 11 * language.hidden_size
    held = connector + tables * language.embedding_rows * language.hidden_size
    assert stage.memory.optimizer == 12 * held
    assert stage.checkpoint == 2 * found.total + 12 * held


def test_time_follows_from_flops_and_the_measured_share_of_a_product():
    found = planned(recipe())
    stage = found.stages["stage_2"]
    assert stage.flops.total == pytest.approx(22.6e12, rel=0.01)
    rate = stage.speed.efficiency.mfu * 790e12 / stage.flops.total
    assert stage.speed.efficiency.preset == "eagle2-1b"
    assert stage.speed.samples_per_second == pytest.approx(rate)
    assert stage.speed.gpu_hours == pytest.approx(8000 / rate / 3600)
    assert stage.speed.hours == pytest.approx(stage.speed.gpu_hours / 8)
    assert (stage.steps, stage.packs_per_gpu, stage.samples_per_pack) == (16, 8, 8.0)
    assert found.stages["stage_1"].speed.efficiency.origin == "not measured; as eagle2-9b"


def test_figures_with_faster_kernels_count_only_for_stages_that_have_them():
    everything, fa3, quack = ("connector", "vision", "language"), "flash_attention: fa3", "fused_mlp: quack"
    assert efficiency("eagle2-9b", everything).kernels == frozenset()
    for name in ("eagle2-1b", "eagle2-2b", "eagle2-9b"):
        plain, fast, faster = (efficiency(name, everything, kernels) for kernels in ((), (fa3,), (fa3, quack)))
        assert plain.mfu < fast.mfu < faster.mfu
        assert efficiency(name, everything, (quack,)) == plain, "never measured without FlashAttention 3"
    assert efficiency("eagle2-32b", everything, (fa3,)).origin == "not measured; as eagle2-1b"


def test_a_stages_kernels_reach_its_plan():
    made = recipe()
    fast = made.stages["stage_2"].model_copy(update={"flash_attention": "fa3", "fused_mlp": "quack"})
    found = planned(made.model_copy(update={"stages": {**made.stages, "stage_2": fast}}))
    assert found.stages["stage_2"].speed.efficiency.origin.endswith("FA3, QuACK")


def test_more_gpus_make_more_pods_and_fewer_packs_each():
    stage = planned(recipe(), gpus=32).stages["stage_2"]
    assert (stage.placement.gpus, stage.placement.pods, stage.packs_per_gpu) == (32, 4, 2)
    assert planned(recipe(), gpus=2).stages["stage_2"].placement.pods == 1


@pytest.mark.parametrize(
    ("gpus", "message"),
    [(128, "packs_per_step (64) is not a multiple of 128 GPUs"), (12, "don't fill pods of 8"), (0, "at least one GPU"),
     (-8, "at least one GPU")],
)  # fmt: skip
def test_gpus_that_the_packs_or_the_pods_cannot_use_are_refused(gpus, message):
    with pytest.raises(AerieError) as caught:
        planned(recipe(), gpus=gpus)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("mix", "message"),
    [({"tiles": -1}, "tiles a sample"), ({"text_tokens": 0}, "text tokens"), ({"label_tokens": 513}, "label tokens"),
     ({"tiles": 100}, "a pack holds 16,384")],
)  # fmt: skip
def test_a_sample_that_cannot_be_is_refused(mix, message):
    with pytest.raises(AerieError, match=message):
        planned(recipe(stage_1=EVERYTHING), mix=SampleMix(**mix))


def test_an_unknown_card_is_refused_with_the_known_ones():
    with pytest.raises(AerieError, match=r"no GPU 'h99'.*h100, .*a100"):
        gpu("h99")


def test_what_does_not_fit_says_what_would():
    small = planned(recipe(), card="a100-40gb").stages["stage_2"]
    assert not small.fits
    assert small.remedies
    room = gpu("a100-40gb").usable_bytes
    assert all(remedy.peak <= room < small.memory.peak for remedy in small.remedies)
    assert any("activation_checkpointing: true" in remedy.change for remedy in small.remedies)
    assert planned(recipe(activation_checkpointing=True), card="a100-40gb").stages["stage_2"].fits


def test_a_pack_full_of_tiles_takes_more_and_its_limit_is_found():
    stage = planned(recipe("eagle2-1b", activation_checkpointing={"siglip": 0.0, "language": 0.5})).stages["stage_2"]
    assert stage.fits
    assert stage.fullest_peak > gpu("h100").usable_bytes > stage.memory.peak
    limited = planned(
        recipe("eagle2-1b", activation_checkpointing={"language": 0.5}, max_tiles_per_pack=stage.tiles_that_fit)
    ).stages["stage_2"]
    assert limited.fullest_peak <= gpu("h100").usable_bytes
