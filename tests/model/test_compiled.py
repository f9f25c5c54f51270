"""The network with its layers under torch.compile against eager mode, in float32 on the CPU."""

import shutil
from functools import partial

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._functorch.aot_autograd import aot_module_simplified
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from model.config import SiglipSettings
from model.inputs.merge import merge
from model.loss import token_weights
from model.training.compiling import _inductor, compile_layers
from model.vision.fused_mlp import fuse_mlps, share_beyond_gelu
from model.vision.joint_attention import join_projections
from model.vlm import PackTensors, build_model


@pytest.fixture
def pack(encoded):
    batch = merge([encoded(20, 1, 1), encoded(31, 0, 2), encoded(14, 2, 3)])
    weights, _ = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    torch._dynamo.reset()
    return PackTensors.of(batch), torch.from_numpy(weights)


def assert_compiled():
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0, "nothing was compiled, so nothing was compared"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's CPU backend needs a C++ compiler")
def test_with_its_layers_compiled_to_machine_code_the_loss_is_eagers(tiny_model, pack):
    """Forward only: the C++ of the backward pass takes another minute and a half to compile."""
    with torch.no_grad():
        eager = tiny_model(*pack)[0]
        compile_layers(tiny_model, {"siglip": 0.0, "convnext": 0.0, "language": 0.0})
        compiled = tiny_model(*pack)[0]
    assert_compiled()
    assert compiled.item() == pytest.approx(eager.item(), rel=1e-6)


@pytest.mark.long
def test_whatever_compiled_layers_recompute_the_gradients_are_eagers(tiny_settings, pack, monkeypatch):
    """Torch's own partition into forward and backward pass, run without generated code."""

    def partitioned(graph, inputs, config_patches=None):  # patches are for generated code
        run = partial(aot_module_simplified, partition_fn=min_cut_rematerialization_partition)
        return run(graph, inputs, fw_compiler=as_it_is, bw_compiler=as_it_is)

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", partitioned)
    losses, gradients = [], []
    for compiled in (False, True):
        model = build_model(tiny_settings, 96, 90, seed=3)
        if compiled:
            compile_layers(model, {"siglip": 0.5, "convnext": 1.0, "language": 0.5})
        loss, _ = model(*pack)
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert_compiled()
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for name, expected in gradients[0].items():
        assert torch.allclose(gradients[1][name], expected, atol=1e-5, rtol=1e-4), name


def as_it_is(graph, _):
    return make_boxed_func(graph.forward)


class GraphsKnownError(Exception):
    """The graphs are known; nothing needs to run."""


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_fused_operators_are_not_computed_again_before_all_that_is_cheaper(share, monkeypatch):
    """Their FLOPs are told; the compiler takes operators that it doesn't know for free to repeat."""
    siglip, graphs = SiglipSettings(), {}
    widths = {"hidden_size": siglip.hidden_size, "intermediate_size": siglip.intermediate_size}
    layer = SiglipEncoderLayer(SiglipVisionConfig(**widths, num_attention_heads=siglip.num_heads)).bfloat16()
    join_projections(layer)
    fuse_mlps(layer, siglip)

    def kept(name, graph, _):
        graphs[name] = [str(node.target) for node in graph.graph.nodes]

        def stop(*_):
            raise GraphsKnownError

        return stop

    def partitioned(graph, inputs, config_patches=None):
        run = partial(aot_module_simplified, partition_fn=min_cut_rematerialization_partition)
        compilers = {"fw_compiler": partial(kept, "forward"), "bw_compiler": partial(kept, "backward")}
        return run(graph, inputs, decompositions=select_decomp_table(), **compilers)

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", partitioned)
    torch._dynamo.reset()
    layer.compile(backend=partial(_inductor, 1 - share_beyond_gelu(share, siglip), siglip=True), dynamic=True)
    tiles = torch.randn(2, 1024, siglip.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    with pytest.raises(GraphsKnownError):
        layer(tiles, None)
    assert graphs["forward"].count("aerie.gelu_mlp.default") == 1
    assert graphs["backward"].count("aerie.gelu_gradient.default") == 1
    assert "aerie.gelu_mlp.default" not in graphs["backward"]
    assert ("aerie.joint_attention.default" in graphs["backward"]) is (share > 0.3)
