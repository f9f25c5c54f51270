"""The whole network under torch.compile against eager mode, in float32 on the CPU."""

import shutil

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.vlm import PackTensors


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's CPU backend needs a C++ compiler")
def test_compiled_and_eager_give_one_loss_and_one_gradient(tiny_model, encoded):
    batch = merge([encoded(20, 1, 1), encoded(31, 0, 2), encoded(14, 2, 3)])
    weights, _ = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    arguments = PackTensors.of(batch), torch.from_numpy(weights)
    eager = tiny_model(*arguments)
    eager.backward()
    expected = {name: parameter.grad for name, parameter in tiny_model.named_parameters()}
    tiny_model.zero_grad(set_to_none=True)
    torch._dynamo.reset()
    compiled = torch.compile(tiny_model)(*arguments)
    compiled.backward()
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] > 0, "nothing was compiled, so nothing was compared"
    assert compiled.item() == pytest.approx(eager.item(), rel=1e-6)
    for name, parameter in tiny_model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-5, rtol=1e-4), name
