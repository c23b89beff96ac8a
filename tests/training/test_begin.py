"""A network that begins as a smaller one gives its results."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from meddenoise.errors import WeightsError
from meddenoise.networks import build
from meddenoise.training.begin import begin_as
from meddenoise.weights import load
from meddenoise.weights.checkpoint import load_state, save_checkpoint

SMALL = {"channels": [8, 12, 16], "blocks": [1, 1, 1], "unshuffle": 2}
WIDER = {"channels": [16, 24, 48], "blocks": [1, 1, 1], "unshuffle": 2, "bands": 16, "frames": 3}
BANDS = torch.tensor([[1.6, 1.2, 0.8, 0.5]])


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A network of one frame with random weights."""
    torch.manual_seed(0)
    network = build("noise-unet", SMALL)
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    metadata = replace(load("direct").metadata, network_options=SMALL)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, network.state_dict(), metadata)
    return load(str(path))


def patch(frames: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(100, 20, (1, frames, 64, 64)).astype(np.float32))


@pytest.mark.parametrize("change", [{"frames": 3}, {"bands": 16}, {"channels": [16, 24, 48]}, WIDER])
def test_it_gives_the_same_result_whatever_the_neighbours_are(single, change):
    options = dict(single.metadata.network_options)
    old, new = build("noise-unet", options), build("noise-unet", {**options, **change})
    load_state(old, single)
    load_state(new, begin_as(single, {**options, **change}))
    frames = patch(change.get("frames", 1))
    middle = frames[:, frames.shape[1] // 2, None]
    sigma, zero = torch.full((1, 1, 64, 64), 15.0), torch.zeros(1)
    repeats = change.get("bands", 4) // 4
    with torch.no_grad():
        expected = old(middle, sigma, BANDS, zero)
        made = new(frames, sigma, BANDS.repeat_interleave(repeats, dim=1), zero)
    assert not torch.equal(expected, middle)
    torch.testing.assert_close(made, expected, atol=1e-2, rtol=0)


def test_copies_of_a_channel_have_different_weights(single):
    options = dict(single.metadata.network_options)
    wide = begin_as(single, {**options, "channels": [16, 24, 48]}).tensors["encoder.0.0.first.weight"]
    assert not torch.allclose(wide[:, :8], wide[:, 8:])


@pytest.mark.parametrize(
    ("change", "why"), [({"channels": [9, 12, 16]}, "multiples"), ({"blocks": [2, 1, 1]}, "other blocks")]
)
def test_what_the_recipe_cannot_hold_is_refused(single, change, why):
    with pytest.raises(WeightsError, match=why):
        begin_as(single, {**single.metadata.network_options, **change})


def test_a_network_of_another_kind_cannot_be_begun_with():
    with pytest.raises(WeightsError, match=r"vpsde\.safetensors is not a one-pass network"):
        begin_as(load("vpsde"), WIDER)
