"""Pictures for a network on a GPU: the same bytes as a processor's threads give. Needs a GPU; its parts are tested
without one in test_decoding_pool.py and test_resizing.py."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from data.curation.decoding import EncodedPicture, ThreadDecoder
from data.curation.picture_encoders import Preparation
from data.curation.process_decoder import ProcessDecoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def encoded(seed, width, height, kind):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((width, height)).save(sink := io.BytesIO(), format=kind)
    return sink.getvalue()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_gpu_gives_the_same_bytes_in_the_same_order(mode):
    payloads = [encoded(seed, 160 + seed, 900 - seed, "PNG" if seed % 3 == 0 else "JPEG") for seed in range(150)]
    payloads[9] = payloads[9][:60]
    pictures = [EncodedPicture(payload, str(seed) if seed % 2 else None) for seed, payload in enumerate(payloads)]
    found = []
    for kind in (ProcessDecoder, ThreadDecoder):
        decoder = kind(Preparation(size=96, mode=mode), 20)
        found.append([one for batch in decoder.batches(pictures) for one in batch])
        decoder.close()
    assert [number for number, one in enumerate(found[0]) if isinstance(one, str)] == [9]
    assert found[0][9] == found[1][9]
    for gpu, cores in zip(*found, strict=True):
        if not isinstance(gpu, str):
            assert gpu.pixels == cores.pixels
            assert gpu.network.is_cuda
            assert np.array_equal(gpu.network.cpu().numpy(), cores.network)
