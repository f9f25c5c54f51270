import json

import pytest
import torch

from data.errors import AerieError
from model.checkpoint import CONFIG_FILE, WEIGHTS_FILE, load_model, save_weights
from model.inputs.merge import merge
from model.training.cost import meta_network
from model.vlm import PackTensors


def test_round_trip_gives_the_same_network(tiny_model, encoded, tmp_path):
    save_weights(str(tmp_path), tiny_model)
    again = load_model(str(tmp_path))
    assert not again.training
    pack = PackTensors.of(merge([encoded(20, 1, 1)]))
    with torch.no_grad():
        assert torch.equal(again.hidden_states(pack), tiny_model.eval().hidden_states(pack))


def test_the_config_tells_the_parameters_by_part(tiny_model, tmp_path):
    save_weights(str(tmp_path), tiny_model)
    parameters = json.loads((tmp_path / CONFIG_FILE).read_text())["parameters"]
    assert parameters == meta_network(tiny_model.settings).parameter_counts() | {
        "language": sum(parameter.numel() for parameter in tiny_model.language.parameters())
    }


def test_the_tied_head_is_stored_once_and_stays_tied(tiny_model, tmp_path):
    save_weights(str(tmp_path), tiny_model)
    again = load_model(str(tmp_path))
    assert again.language.lm_head.weight is again.language.model.embed_tokens.weight


def test_a_truncated_file_is_named(tiny_model, tmp_path):
    save_weights(str(tmp_path), tiny_model)
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AerieError, match=WEIGHTS_FILE):
        load_model(str(tmp_path))


def test_weights_of_another_geometry_are_refused(tiny_model, tmp_path):
    save_weights(str(tmp_path), tiny_model)
    config = tmp_path / CONFIG_FILE
    document = json.loads(config.read_text())
    document["settings"]["language"]["num_layers"] = 3
    config.write_text(json.dumps(document))
    with pytest.raises(AerieError, match=r"don't fit"):
        load_model(str(tmp_path))


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(AerieError, match=r"file not found"):
        load_model(str(tmp_path))
