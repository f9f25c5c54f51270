"""A stage trains the parts that it names, and only matrices decay."""

import pytest

from model.training.freezing import freeze, parameter_groups


@pytest.mark.parametrize("trainable", [("connector",), ("vision", "connector"), ("vision", "connector", "language")])
def test_only_the_named_parts_learn(tiny_model, trainable):
    freeze(tiny_model, trainable)
    for name in ("vision", "connector", "language"):
        part = getattr(tiny_model, name)
        assert {parameter.requires_grad for parameter in part.parameters()} == {name in trainable}
        assert {module.training for module in part.modules()} == {name in trainable}


def test_freezing_is_undone_by_the_next_stage(tiny_model):
    freeze(tiny_model, ("connector",))
    freeze(tiny_model, ("vision", "connector", "language"))
    assert all(parameter.requires_grad for parameter in tiny_model.parameters())


def test_norms_biases_and_layer_scale_do_not_decay(tiny_model):
    freeze(tiny_model, ("vision", "connector", "language"))
    decaying, others = parameter_groups(tiny_model, 0.05)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    plain = {id(parameter) for parameter in others["params"]}
    norms = [module for module in tiny_model.modules() if "norm" in type(module).__name__.lower()]
    assert all(id(parameter) in plain for norm in norms for parameter in norm.parameters())
    for name, parameter in tiny_model.named_parameters():
        if name.endswith((".bias", ".gamma")):
            assert id(parameter) in plain, name
        if name.endswith(("proj.weight", "fc1.weight", "embed_tokens.weight", "connector.1.weight")):
            assert id(parameter) not in plain, name


def test_every_trainable_parameter_is_optimised_once(tiny_model):
    freeze(tiny_model, ("connector", "language"))
    chosen = [id(parameter) for group in parameter_groups(tiny_model, 0.1) for parameter in group["params"]]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == {id(p) for part in ("connector", "language") for p in getattr(tiny_model, part).parameters()}
