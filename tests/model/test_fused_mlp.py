"""SigLIP's MLP with GELU inside its products: transformers' numbers, torch's rules, what it asks for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipMLP

from data.errors import AerieError
from model.config import ModelSettings, SiglipSettings
from model.costs.activation_memory import LSE_BYTES, PackShape, siglip_layers
from model.recipe import StageSettings
from model.training.hopper import need_hopper, need_package
from model.training.layers import prepare_layers
from model.vision.fused_mlp import FusedMlp, fuse_mlps, share_beyond_gelu
from model.vision.gelu_products import gelu_gradient, gelu_mlp

ROOT = Path(__file__).resolve().parents[2]
SMALL = SiglipSettings(hidden_size=16, intermediate_size=24)


def mlp(settings: SiglipSettings = SMALL) -> SiglipMLP:
    torch.manual_seed(0)
    sizes = {"hidden_size": settings.hidden_size, "intermediate_size": settings.intermediate_size}
    return SiglipMLP(SiglipVisionConfig(hidden_act=settings.hidden_act, **sizes))


def test_the_fused_mlp_keeps_parameters_results_and_gradients():
    plain, fused = mlp().double(), mlp().double()
    before = dict(fused.named_parameters())
    fuse_mlps(fused, SMALL)
    assert type(fused) is FusedMlp
    assert dict(fused.named_parameters()) == before
    given = torch.randn(3, 5, 16, dtype=torch.float64)
    inputs = [given.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(hidden) for layer, hidden in zip((fused, plain), inputs, strict=True)]
    assert torch.allclose(outputs[0], outputs[1], atol=1e-12)
    slope = torch.randn_like(given).transpose(0, 1).contiguous().transpose(0, 1)  # autograd may hand over any strides
    for output in outputs:
        output.backward(slope)
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-12)
    for (name, found), wanted in zip(fused.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(found.grad, wanted.grad, atol=1e-6), name  # the first bias's is a float32 sum


def test_the_operators_keep_torchs_rules():
    tokens, up, up_bias = torch.randn(5, 16), torch.randn(24, 16), torch.randn(24)
    down, down_bias = torch.randn(16, 24), torch.randn(16)
    learned = [tensor.requires_grad_() for tensor in (tokens, up, up_bias, down, down_bias)]
    torch.library.opcheck(gelu_mlp, (*learned, True))
    torch.library.opcheck(gelu_mlp, (*(tensor.detach() for tensor in learned), False))
    torch.library.opcheck(gelu_gradient, (torch.randn(5, 16), down.detach(), torch.randn(5, 24)))


class Kept(TorchDispatchMode):
    """Numbers of GELU's input in each `gelu_mlp`."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        if operator is torch.ops.aerie.gelu_mlp.default:
            self.numbers = [*getattr(self, "numbers", []), result[1].numel()]
        return result


def test_a_frozen_tower_keeps_nothing():
    fused = mlp()
    fuse_mlps(fused, SMALL)
    with Kept() as kept:
        fused(torch.randn(3, 5, 16))
        with torch.no_grad():
            fused(torch.randn(3, 5, 16))
    assert kept.numbers == [15 * 24, 0]


def test_the_operators_tell_their_flops():
    fused = mlp()
    fuse_mlps(fused, SMALL)
    tokens = torch.randn(3, 5, 16, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        fused(tokens).sum().backward()
    assert counter.get_total_flops() == 3 * (2 * 2 * 15 * 16 * 24)  # two products, and two gradients of each


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3, 0.6, 1.0])
def test_a_share_of_recomputation_means_as_much_memory_as_without(share):
    siglip = SiglipSettings()
    plain, fused = (8 * 1152 + times * 4304 for times in (2, 1))
    pack = PackShape(tokens=256, tiles=1, label_tokens=1)
    layers = siglip_layers(ModelSettings(), pack, trains=True, share=0.0, element=1, compiled=True)
    assert [*layers][1].kept / 1024 - LSE_BYTES * siglip.num_heads == plain, "the plan counts the same"
    kept = (1 - share_beyond_gelu(share, siglip)) * fused
    assert kept == pytest.approx(min(fused, (1 - share) * plain))


def test_shapes_and_activations_that_the_kernels_lack_are_named():
    with pytest.raises(AerieError, match=r"gelu_pytorch_tanh .* SigLIP has gelu and 16 and 24; set the stage's"):
        fuse_mlps(mlp(), SMALL.model_copy(update={"hidden_act": "gelu"}))
    with pytest.raises(AerieError, match="multiples of 8, SigLIP has gelu_pytorch_tanh and 16 and 20"):
        fuse_mlps(mlp(), SMALL.model_copy(update={"intermediate_size": 20}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU gets another message")
def test_without_a_hopper_gpu_the_stage_says_so_at_once(tiny_model):
    settings = StageSettings(learning_rate=1e-3, fused_mlp="quack")
    with pytest.raises(AerieError, match=r"fused_mlp: quack needs a Hopper GPU .* found: none; set the stage's fused"):
        prepare_layers(tiny_model, settings, torch.device("cpu"))


def test_a_missing_package_is_named():
    with pytest.raises(
        AerieError, match=r"this needs the package that \(No module named 'nowhere'\); install it or go"
    ):
        need_package("this", "nowhere", "the package that", "go")


@pytest.mark.parametrize("wrong", [{"precision": "fp32"}, {"zero_stage": 3}])
def test_precision_and_zero_stage_must_fit(wrong):
    with pytest.raises(ValueError, match="fused_mlp: quack needs precision: bf16 and zero_stage 2 or lower"):
        StageSettings(learning_rate=1e-3, fused_mlp="quack", **wrong)


def test_the_kernels_compile_for_hopper(tmp_path):
    """By QuACK itself, with our arguments, in a process of its own: all but the launch."""
    pytest.importorskip("quack", reason="quack-kernels is not installed")
    hopper = {"QUACK_ARCH": "90", "CUTE_DSL_ARCH": "sm_90a", "QUACK_CACHE_DIR": str(tmp_path)}
    path = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    script = ROOT / "tests/servers/quack_kernels.py"
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, **hopper, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    tokens, width, inside = 3072, 1152, 4304
    assert found["kept"] == [[tokens, width], [tokens, inside]]
    assert found["frozen"] == [[tokens, width], [0]]
    assert found["back"] == [[tokens, inside], [tokens, inside], [inside]]
    assert found["sum"] == "torch.float32"
    assert ["d" in launch for launch in found["launched"]] == [True, False, True], "frozen towers keep no GELU's input"
    assert len(list(tmp_path.rglob("*.o"))) == 3


def on_hopper() -> bool:
    try:
        need_hopper("", "")
        need_package("", "quack", "", "")
    except AerieError:
        return False
    return True


@pytest.mark.skipif(not on_hopper(), reason="needs a Hopper GPU and the package quack-kernels")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("tiles", [1, 7])
def test_on_a_gpu_the_fused_mlp_is_as_near_to_float64_as_bf16_can_be(tiles, compiled):
    siglip = SiglipSettings()
    exact, fused = mlp(siglip).cuda().double(), mlp(siglip).cuda().bfloat16()
    exact.load_state_dict(fused.state_dict())  # the weights that bf16 has
    fuse_mlps(fused, siglip)
    run = torch.compile(fused, dynamic=True) if compiled else fused
    given = torch.randn(tiles, 1024, siglip.hidden_size, device="cuda").bfloat16()
    inputs = [given.clone().requires_grad_(), given.double().requires_grad_()]
    outputs = [layer(hidden) for layer, hidden in zip((run, exact), inputs, strict=True)]
    slope = torch.randn_like(outputs[0])
    outputs[0].backward(slope)
    outputs[1].backward(slope.double())
    pairs = [(outputs[0], outputs[1]), (inputs[0].grad, inputs[1].grad)]
    pairs += [(a.grad, b.grad) for a, b in zip(fused.parameters(), exact.parameters(), strict=True)]
    for found, wanted in pairs:
        assert ((found.double() - wanted).norm() / wanted.norm()).item() < 0.006
