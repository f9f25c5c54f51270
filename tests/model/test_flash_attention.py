"""FlashAttention 3: what a stage without it hears, and its results against float64 where a GPU has it."""

import pytest
import torch
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipAttention

from data.errors import AerieError
from model.recipe import StageSettings
from model.training.flash_attention import use_flash_attention_3
from model.training.layers import prepare_layers
from model.vision.joint_attention import JointAttention, join_projections


def available() -> bool:
    try:
        use_flash_attention_3()
    except AerieError:
        return False
    return True


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU gets another message")
def test_without_a_hopper_gpu_the_stage_says_so_at_once(tiny_model):
    settings = StageSettings(learning_rate=1e-3, flash_attention="fa3")
    with pytest.raises(AerieError, match=r"needs a Hopper GPU .* found: none; set the stage's flash_attention"):
        prepare_layers(tiny_model, settings, torch.device("cpu"))


def attention(width: int = 1152, heads: int = 16) -> SiglipAttention:
    torch.manual_seed(0)
    made = SiglipAttention(SiglipVisionConfig(hidden_size=width, num_attention_heads=heads))
    made.config._attn_implementation = "sdpa"
    return made


def test_the_joint_attention_keeps_parameters_and_their_names():
    made = attention(64, 4)
    before = dict(made.named_parameters())
    join_projections(made)
    assert type(made) is JointAttention
    assert dict(made.named_parameters()) == before


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


@pytest.mark.skipif(not available(), reason="needs a Hopper GPU and the package flash_attn_3")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("tiles", [1, 7])
def test_the_joint_attention_is_as_near_to_float64_as_bf16_can_be(tiles, compiled):
    exact = attention().cuda().double()
    joint = attention().cuda().bfloat16()
    exact.load_state_dict(joint.state_dict())  # the weights that bf16 has
    join_projections(joint)
    run = torch.compile(joint, dynamic=True) if compiled else joint
    given = torch.randn(tiles, 1024, 1152, device="cuda").bfloat16()
    inputs = [given.clone().requires_grad_(), given.double().requires_grad_()]
    outputs = [layer(hidden, None)[0] for layer, hidden in zip((run, exact), inputs, strict=True)]
    gradient = torch.randn_like(outputs[0])
    outputs[0].backward(gradient)
    outputs[1].backward(gradient.double())
    assert error(outputs[0], outputs[1]) < 0.01
    assert error(inputs[0].grad, inputs[1].grad) < 0.01
    for (name, parameter), reference in zip(joint.named_parameters(), exact.parameters(), strict=True):
        if name != "k_proj.bias":  # its exact gradient is zero
            assert error(parameter.grad, reference.grad) < 0.02, name
