"""Encoders by file: real small networks, made and saved here."""

import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import MPNetConfig, MPNetModel

from data.curation.encoders import encoder_files, encoder_identity, image_encoder, text_encoder
from data.curation.picture_encoders import PictureNetwork, Preparation
from data.errors import AerieError
from data.folders import copy_folder

PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8))
PHRASES = ["a dog", "How many squares are there?", "red"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Residual(torch.nn.Module):
    """SSCD's shape at toy size: convolutions with a short cut, pooled, projected, length 1."""

    def __init__(self):
        super().__init__()
        self.one, self.two = torch.nn.Conv2d(3, 8, 7, 4), torch.nn.Conv2d(8, 8, 3, padding=1)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.one(x))
        x = (x + self.two(x)).mean([2, 3])
        return torch.nn.functional.normalize(self.head(x), dim=1)


@pytest.fixture
def disc(tmp_path):
    torch.manual_seed(1)
    network = Residual().eval()
    torch.jit.script(network).save(str(tmp_path / "disc.torchscript.pt"))
    return network, str(tmp_path / "disc.torchscript.pt")


def reference(network, pictures, size, mean, std, resample=2):
    """One picture at a time, channels first, in plain torch."""
    found = []
    for picture in pictures:
        pixels = np.asarray(timm.data.transforms.Image.fromarray(picture).resize((size, size), resample)) / 255
        x = torch.tensor((pixels - np.array(mean)) / np.array(std)).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            vector = network(x)[0].numpy()
        found.append(vector / np.linalg.norm(vector))
    return np.stack(found)


def test_sscd_sees_288_pixels_in_imagenet_colours(disc):
    network, path = disc
    encoder = image_encoder(f"sscd:{path}", None, 2)
    assert (encoder.width, encoder.prepare(PICTURES[0]).shape) == (5, (288, 288, 3))
    expected = reference(network, PICTURES, 288, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert np.allclose(encoder.embed_images(PICTURES), expected, atol=1e-4)  # pixels differ by 1 of 255 here and there
    assert image_encoder(f"sscd:{path}", 64, 2).prepare(PICTURES[0]).shape == (64, 64, 3)


def test_the_weights_hash_is_the_identity_wherever_they_lie(disc, tmp_path):
    digest = hashlib.sha256(Path(disc[1]).read_bytes()).hexdigest()
    shutil.copy(disc[1], tmp_path / "elsewhere.pt")
    assert encoder_identity(f"sscd:{disc[1]}") == encoder_identity(f"sscd:{tmp_path}/elsewhere.pt")
    assert digest in encoder_identity(f"sscd:{disc[1]}#sha256={digest}")
    with pytest.raises(AerieError, match="the recipe expects 0000"):
        encoder_identity(f"sscd:{disc[1]}#sha256={'0' * 64}")
    with pytest.raises(AerieError, match="64 hexadecimal digits"):
        encoder_identity(f"sscd:{disc[1]}#sha256=beef")


def test_a_file_that_is_no_torchscript_is_named(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"not a network")
    with pytest.raises(AerieError, match=r"x.pt can't be loaded .*expected a TorchScript file of SSCD"):
        image_encoder(f"sscd:{tmp_path}/x.pt", None, 2)
    with pytest.raises(AerieError, match=r"absent.pt is not there or is no file; expected a TorchScript file"):
        image_encoder(f"sscd:{tmp_path}/absent.pt", None, 2)


def test_a_network_without_vectors_is_named(tmp_path):
    torch.jit.script(torch.nn.Conv2d(3, 2, 3)).save(str(tmp_path / "conv.pt"))
    with pytest.raises(AerieError, match=r"conv.pt turns 2 pictures into a tensor \(2, 2, 30, 30\)"):
        image_encoder(f"sscd:{tmp_path}/conv.pt", 32, 2)
    torch.jit.script(torch.nn.Linear(7, 2)).save(str(tmp_path / "linear.pt"))
    with pytest.raises(AerieError, match=r"linear.pt takes no picture of 32 x 32 pixels"):
        image_encoder(f"sscd:{tmp_path}/linear.pt", 32, 2)


class Cubed(torch.nn.Module):
    """Pools the cubes of large numbers, as SSCD's pooling can: beyond what half precision holds."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((3,), 900.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.mean([2, 3]).abs() * self.scale) ** 3


def test_half_precision_is_left_where_it_overflows():
    encoder = PictureNetwork(Cubed(), Preparation(size=32), 2)
    expected = encoder.embed_images(PICTURES)
    encoder._network, encoder._dtype = encoder._network.half(), torch.float16
    assert not torch.isfinite(encoder.features(np.stack([encoder.prepare(PICTURES[0])]))).all()
    begun = [encoder.begin(np.stack([encoder.prepare(picture)])) for picture in PICTURES]  # all still in half precision
    assert np.allclose(np.concatenate([vectors() for vectors in begun]), expected, atol=1e-3)
    assert encoder.features(np.stack([encoder.prepare(PICTURES[0])])).dtype == torch.float32
    assert np.allclose(encoder.embed_images(PICTURES), expected, atol=1e-3)
    encoder._network.scale.data[0] = float("nan")
    with pytest.raises(AerieError, match="infinite or undefined numbers"):
        encoder.embed_images(PICTURES)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_timm_model_with_weights_of_ones_own(tmp_path, kind):
    torch.manual_seed(2)
    network = timm.create_model("test_resnet").eval()
    path = tmp_path / f"own.{kind}"
    if kind == "safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, path)
    encoder = image_encoder(f"timm:test_resnet@{path}", None, 2)
    network.reset_classifier(0)
    config = timm.data.resolve_data_config({}, model=network)
    filters = {"bilinear": 2, "bicubic": 3}
    shape = config["input_size"][-1], config["mean"], config["std"], filters[config["interpolation"]]
    expected = reference(network, PICTURES, *shape)
    assert np.allclose(encoder.embed_images(PICTURES), expected, atol=1e-4)
    assert encoder_identity(f"timm:test_resnet@{path}").startswith("timm:test_resnet@sha256:")


def test_timm_checkpoints_that_do_not_fit_are_named(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    gone = next(iter(state))
    del state[gone]
    torch.save(state, tmp_path / "lacking.pt")
    (tmp_path / "broken.pt").write_bytes(b"x" * 50)
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in [
        ("test_resnet@lacking", r"lacking.pt does not fit timm's test_resnet: .*" + gone),
        ("test_resnet@broken", r"broken.pt can't be read.*expected a checkpoint"),
        ("test_resnet@list", r"list.pt holds no state dict"),
        ("test_vit@lacking", r"lacking.pt does not fit timm's test_vit"),
        ("no_such@lacking", r"has no model 'no_such'"),
    ]:
        model, _, file = name.partition("@")
        with pytest.raises(AerieError, match=message):
            image_encoder(f"timm:{model}@{tmp_path}/{file}.pt", None, 2)


def test_timm_without_a_file_is_what_timm_publishes(monkeypatch, tmp_path):
    assert "timm/test_resnet.r160_in1k" in encoder_identity("timm:test_resnet")
    with pytest.raises(AerieError, match=r"has no model 'resnet26t_no_such'; models like it: .*'resnet26t'"):
        encoder_identity("timm:resnet26t_no_such")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda model: None)
    with pytest.raises(AerieError, match="publishes no weights of 'test_resnet'"):
        encoder_identity("timm:test_resnet")
    monkeypatch.undo()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        AerieError, match=r"published weights of 'test_resnet' can't be fetched .*timm:test_resnet@FILE"
    ):
        image_encoder("timm:test_resnet", 32, 2)


@pytest.fixture(scope="module")
def minilm():
    return encoder_files("minilm-l6-v2").path.parent


def test_minilm_by_path_is_minilm_by_name(minilm):
    one, other = text_encoder("minilm-l6-v2", 16, 2), text_encoder(f"sentence:{minilm}", 16, 2)
    assert one is not other
    assert np.array_equal(one.embed_texts(PHRASES), other.embed_texts(PHRASES))
    assert text_encoder("minilm-l6-v2", 512, 2).max_tokens == 256  # the folder's own limit


@pytest.fixture
def mpnet(tmp_path, minilm):
    """all-mpnet-base-v2's layout at toy size: MPNet's network, a word-piece tokenizer, mean pooling, length 1."""
    folder = tmp_path / "mpnet"
    shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("model.safetensors", "config.json", "README.md"))
    torch.manual_seed(3)
    config = MPNetConfig(
        vocab_size=30522, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    MPNetModel(config).save_pretrained(folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    tokens |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    return folder


def states(folder, phrase):
    """The last layer's vectors of one phrase alone [T, D]."""
    tokens = text_encoder(f"sentence:{folder}", 16, 2).tokenize([phrase])
    with torch.inference_mode():
        return MPNetModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]


@pytest.mark.parametrize(
    ("config", "pooled"),
    [
        ({"pooling_mode_mean_tokens": True}, lambda h: h.mean(0)),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, lambda h: h.mean(0)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda h: h[0]),
        ({"pooling_mode": "max"}, lambda h: h.max(0).values),
    ],
)
def test_an_mpnet_folder_pools_as_its_config_says(mpnet, config, pooled):
    (mpnet / "1_Pooling" / "config.json").write_text(json.dumps(config))
    encoder = text_encoder(f"sentence:{mpnet}", 16, 3)
    assert encoder.width == 16
    for phrase, vector in zip(PHRASES, encoder.embed_texts(PHRASES), strict=True):
        expected = pooled(states(mpnet, phrase)).numpy()
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_weights_that_a_folder_lacks_are_not_made_up(mpnet):
    weights = load_file(mpnet / "model.safetensors")
    gone = next(name for name in weights if "layer.1.attention" in name)
    del weights[gone]
    save_file(weights, mpnet / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AerieError, match=r"mpnet lacks the weights \['encoder.layer.1.*\(1 in all\)"):
        text_encoder(f"sentence:{mpnet}", 16, 2)


def test_the_hash_of_a_folder_is_that_of_the_files_that_count(mpnet):
    before = encoder_identity(f"sentence:{mpnet}")
    (mpnet / "README.md").write_text("words")
    (mpnet / "onnx").mkdir()
    (mpnet / "onnx" / "config.json").write_text("{}")
    assert encoder_identity(f"sentence:{mpnet}") == before
    (mpnet / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert encoder_identity(f"sentence:{mpnet}") != before


def test_folders_that_lack_something_are_named(mpnet, tmp_path):
    with pytest.raises(
        AerieError, match=r"absent is not there or is empty; expected a folder as sentence-transformers"
    ):
        text_encoder(f"sentence:{tmp_path}/absent", 16, 2)
    (mpnet / "1_Pooling" / "config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    with pytest.raises(AerieError, match=r"1_Pooling/config.json pools by \[\]; supported is one of"):
        text_encoder(f"sentence:{mpnet}", 16, 2)
    (mpnet / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(AerieError, match=r"1_Pooling/config.json can't be read"):
        text_encoder(f"sentence:{mpnet}", 16, 2)
    (mpnet / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]')
    with pytest.raises(AerieError, match=r"has the parts \['Dense'\]"):
        text_encoder(f"sentence:{mpnet}", 16, 2)
    (mpnet / "modules.json").unlink()
    (mpnet / "model.safetensors").unlink()
    with pytest.raises(AerieError, match=r"mpnet can't be loaded .*expected a folder"):
        text_encoder(f"sentence:{mpnet}", 16, 2)
    (mpnet / "config.json").unlink()
    with pytest.raises(AerieError, match=r"has no config.json"):
        text_encoder(f"sentence:{mpnet}", 16, 2)


def test_weights_in_object_storage_are_the_same(disc, mpnet, s3_uri, monkeypatch, tmp_path):
    (tmp_path / "up").mkdir()
    shutil.copy(disc[1], tmp_path / "up" / "disc.pt")
    copy_folder(str(tmp_path / "up"), f"{s3_uri}/weights")
    copy_folder(str(mpnet), f"{s3_uri}/mpnet")
    local, remote = encoder_files(f"sscd:{disc[1]}"), encoder_files(f"sscd:{s3_uri}/weights/disc.pt")
    assert local.identity == remote.identity
    one, other = (image_encoder(files, 64, 2).embed_images(PICTURES) for files in (local, remote))
    assert np.array_equal(one, other)
    assert encoder_identity(f"sentence:{s3_uri}/mpnet") == encoder_identity(f"sentence:{mpnet}")
    assert text_encoder(f"sentence:{s3_uri}/mpnet", 16, 2).embed_texts(PHRASES).shape == (3, 16)
    with pytest.raises(AerieError, match=r"gone.pt is not there"):
        encoder_files(f"sscd:{s3_uri}/weights/gone.pt")
    digest = remote.identity.rpartition(":")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # pinned weights that are here need no store
    assert encoder_files(f"sscd:{s3_uri}/weights/disc.pt#sha256={digest}") == remote
