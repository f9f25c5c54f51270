"""FP8 products: the right numbers in the right layers, and nothing else changes. Emulated: no CPU has FP8 units."""

import pytest
import torch
from torch.nn import functional as F

from data.errors import AerieError
from model.inputs.merge import merge
from model.loss import token_weights
from model.pack_tensors import PackTensors
from model.recipe import StageSettings
from model.training.activations import checkpoint_activations
from model.training.engine import TrainingEngine
from model.training.float8 import use_float8
from model.training.freezing import freeze
from model.vlm import build_model

ALL = ("vision", "connector", "language")


@pytest.fixture(scope="module", autouse=True)
def torchao():
    """The optional package; what needs no layers is tested in test_float8_settings.py."""
    return pytest.importorskip("torchao", reason="FP8 needs the optional package torchao")


def network(tiny_settings, scaling=None, trainable=ALL, precision=torch.bfloat16):
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, trainable)
    if scaling:
        use_float8(model, scaling, parts=("vision", "language"), least=16, emulate=True)
    return model.to(precision)


@pytest.fixture
def pack(encoded):
    """(tensors, weights) of a pack whose number of tokens is no multiple of 16."""
    batch = merge([encoded(30, 2, seed=1), encoded(13, 0, seed=2)])
    assert len(batch.input_ids) % 16
    weights, _ = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    return PackTensors.of(batch), torch.from_numpy(weights)


def loss_and_gradients(model, pack):
    loss, _ = model(*pack)
    loss.backward()
    return loss.item(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def test_large_layers_of_towers_and_language_model_alone_are_converted(tiny_settings):
    model = build_model(tiny_settings, 96, 90, seed=3)
    before, parameters = list(model.state_dict()), [id(parameter) for parameter in model.parameters()]
    freeze(model, ("connector",))
    names = use_float8(model, "tensorwise", parts=ALL, least=40, emulate=True)
    converted = {name for name, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    # the harmonic mean of 32 and 64 is 42.7, of 32 and 32 32, of 16 and 32 21.3; ConvNeXt's last stage has 24 and 96
    expected = {f"language.model.layers.{n}.mlp.{name}_proj" for n in (0, 1) for name in ("gate", "up", "down")}
    assert converted == set(names) == expected
    assert list(model.state_dict()) == before
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert not any(module.training for part in ("vision", "language") for module in model.get_submodule(part).modules())


def test_head_embeddings_and_connector_are_left_alone(tiny_settings):
    model = network(tiny_settings, "rowwise")
    assert type(model.language.lm_head) is torch.nn.Linear
    assert type(model.connector[1]) is torch.nn.Linear
    assert type(model.vision.siglip.vision_model.encoder.layers[0].self_attn.q_proj).__name__ == "Float8Linear"


def test_checkpoints_fit_both_ways(tiny_settings):
    plain, fast = network(tiny_settings), network(tiny_settings, "tensorwise")
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in fast.state_dict().items())
    for source, target in ((plain, fast), (fast, plain)):
        with torch.no_grad():
            source.language.model.layers[0].mlp.up_proj.weight.add_(1)
        target.load_state_dict(source.state_dict(), strict=True)
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


def rounded(values, kind, dim=None):
    """Values as FP8 holds them with one scale, or one for each slice along `dim` (a power of two)."""
    top = values.abs().amax() if dim is None else values.abs().amax(dim, keepdim=True)
    scale = (torch.finfo(kind).max / top.double()).float()
    if dim is not None:
        scale = torch.exp2(torch.floor(torch.log2(scale)))
    return (values.float() * scale).to(kind).float() / scale


@pytest.mark.parametrize("scaling", ["tensorwise", "rowwise"])
def test_the_three_products_are_those_of_fp8_copies(tiny_settings, scaling):
    layer = network(tiny_settings, scaling).language.model.layers[0].mlp.up_proj
    draw = torch.Generator().manual_seed(0)
    source = torch.randn(21, 32, generator=draw).mul(torch.arange(1, 33)).bfloat16().requires_grad_()
    gradient = torch.randn(21, 64, generator=draw).mul(torch.arange(1, 22)[:, None]).bfloat16()
    output = layer(source)
    found = (output, *torch.autograd.grad(output, (source, layer.weight), gradient))
    e4m3, dims = torch.float8_e4m3fn, (1, 0) if scaling == "rowwise" else (None, None)
    back = e4m3 if scaling == "rowwise" else torch.float8_e5m2
    with torch.no_grad():
        rows, columns = dims
        expected = (
            F.linear(rounded(source, e4m3, rows), rounded(layer.weight, e4m3, rows)),
            rounded(gradient, back, rows) @ rounded(layer.weight, e4m3, columns),
            rounded(gradient, back, columns).t() @ rounded(source, e4m3, columns),
        )
        exact = (source @ layer.weight.t(), gradient @ layer.weight, gradient.t() @ source)
        for value, emulated, true in zip(found, expected, exact, strict=True):
            assert torch.allclose(value.float(), emulated, rtol=2**-7, atol=1e-3 * emulated.abs().max().item())
            error = (value.float() - true.float()).norm() / true.float().norm()
            assert 0.005 < error < 0.1, "bf16 products would be nearer, a wrong scale farther"


@pytest.mark.parametrize("scaling", ["tensorwise", "rowwise"])
def test_loss_and_gradients_are_near_bf16s(tiny_settings, pack, scaling):
    expected, plain = loss_and_gradients(network(tiny_settings), pack)
    loss, gradients = loss_and_gradients(network(tiny_settings, scaling), pack)
    assert loss == pytest.approx(expected, rel=0.03)
    assert loss != expected
    assert gradients.keys() == plain.keys()
    ours, theirs = (torch.cat([values[name].flatten().float() for name in plain]) for values in (gradients, plain))
    assert F.cosine_similarity(ours, theirs, dim=0) > 0.97


def test_recomputed_activations_change_nothing(tiny_settings, pack):
    expected, plain = loss_and_gradients(network(tiny_settings, "tensorwise"), pack)
    model = network(tiny_settings, "tensorwise")
    checkpoint_activations(model, {"siglip": 1, "convnext": 1, "language": 1})
    loss, gradients = loss_and_gradients(model, pack)
    assert loss == expected
    assert all(torch.equal(gradients[name], value) for name, value in plain.items())


@pytest.mark.parametrize("scaling", ["tensorwise", "rowwise"])
def test_compiled_for_any_number_of_tokens(tiny_settings, scaling):
    """The compiler's graphs of both passes, run without generated code; one graph serves two lengths."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    mlp = network(tiny_settings, scaling, precision=torch.float32).language.model.layers[0].mlp
    traced = torch.compile(mlp, backend="aot_eager", dynamic=True, fullgraph=True)
    for length in (29, 46):
        source = torch.randn(1, length, 32, generator=torch.Generator().manual_seed(length)).requires_grad_()
        wanted = [source, *mlp.parameters()]
        expected, found = mlp(source), traced(source)
        gradients = [torch.autograd.grad(output.square().sum(), wanted) for output in (expected, found)]
        for ours, theirs in zip((found, *gradients[1]), (expected, *gradients[0]), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_deepspeed_trains_it_at_zero_1_and_2(tiny_settings, pack, alone):
    losses = {}
    for zero, scaling in ((1, "tensorwise"), (2, "tensorwise"), (1, None)):
        settings = StageSettings(learning_rate=3e-3, precision="bf16", zero_stage=zero)
        engine = TrainingEngine(network(tiny_settings, scaling, precision=torch.float32), settings, alone)
        run = losses[zero, scaling] = []
        for _ in range(3):
            run.append(float(engine.gradients(*pack, 1.0, last=True)))
            engine.step(settings.learning_rate)
    network(tiny_settings).load_state_dict(engine.weights(), strict=True)
    assert losses[1, "tensorwise"] == pytest.approx(losses[2, "tensorwise"], rel=1e-3)
    assert losses[1, "tensorwise"] == pytest.approx(losses[1, None], rel=0.05)
    assert losses[1, "tensorwise"] != losses[1, None]
    assert losses[1, "tensorwise"][-1] < losses[1, "tensorwise"][0]


def test_a_network_of_small_layers_is_refused(tiny_settings):
    with pytest.raises(AerieError, match="no linear layer of language has 2048 features"):
        use_float8(build_model(tiny_settings, 96, 90, seed=3), "tensorwise", emulate=True)
