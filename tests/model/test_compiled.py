"""The whole network under torch.compile against eager mode, in float32 on the CPU."""

import shutil

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.vlm import PackTensors


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
def test_compiled_to_machine_code_the_loss_is_eagers(tiny_model, pack):
    """Forward only: the C++ of the backward pass takes another minute and a half to compile."""
    with torch.no_grad():
        (eager, _), (compiled, _) = tiny_model(*pack), torch.compile(tiny_model)(*pack)
    assert_compiled()
    assert compiled.item() == pytest.approx(eager.item(), rel=1e-6)


def test_traced_loss_and_gradients_are_eagers(tiny_model, pack):
    """The compiler's own graphs of both passes, run without generated code."""
    eager, _ = tiny_model(*pack)
    eager.backward()
    expected = {name: parameter.grad for name, parameter in tiny_model.named_parameters()}
    tiny_model.zero_grad(set_to_none=True)
    traced, _ = torch.compile(tiny_model, backend="aot_eager")(*pack)
    traced.backward()
    assert_compiled()
    assert traced.item() == pytest.approx(eager.item(), rel=1e-6)
    for name, parameter in tiny_model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-5, rtol=1e-4), name
