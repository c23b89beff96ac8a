"""The shared body with weights whose result is known, and its small parts in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.networks.trunk import Residual, Trunk, compand, pad_to

quick = settings(max_examples=40, deadline=None)
sizes = st.integers(1, 20)


def plain(trunk: Trunk) -> Trunk:
    """Stages that change nothing, means of 2 x 2 on the way down, and copies of them on the way up."""
    for module in trunk.modules():
        if isinstance(module, Residual):
            torch.nn.init.zeros_(module.second.weight)
            torch.nn.init.zeros_(module.second.bias)
    for layers, value in ((trunk.down, 0.25), (trunk.up, 1.0)):
        for layer in layers:
            torch.nn.init.zeros_(layer.bias)
            layer.weight.data.zero_()
            for channel in range(min(layer.weight.shape[:2])):
                layer.weight.data[channel, channel] = value
    return trunk.eval().requires_grad_(False)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_level_adds_its_mean_to_the_one_above(levels: int) -> None:
    trunk = plain(Trunk((3,) * levels, (1, 2, 1)[:levels]))
    x = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))

    def expected(features: torch.Tensor, below: int) -> torch.Tensor:
        if below == 0:
            return features
        lower = expected(functional.avg_pool2d(features, 2), below - 1)
        return features + functional.interpolate(lower, scale_factor=2)

    assert torch.allclose(trunk.mix(x), expected(x, levels - 1), atol=1e-5)


def test_each_level_has_its_width_and_its_number_of_blocks() -> None:
    trunk = Trunk((4, 6, 8), (1, 2, 3))
    assert [len(stage) for stage in trunk.encoder] == [1, 2, 3]
    assert [len(stage) for stage in trunk.decoder] == [1, 2]
    widths = [stage[0].first.in_channels for stage in (*trunk.encoder, *trunk.decoder)]
    assert widths == [4, 6, 8, 4, 6]


def test_a_block_adds_what_its_convolutions_make() -> None:
    block = Residual(1).requires_grad_(False)
    for layer in (block.first, block.second):
        layer.weight.zero_()
        layer.weight[0, 0, 1, 1] = 2.0
        layer.bias.fill_(1.0)
    x = torch.tensor([[[[-3.0, 0.0, 2.0]]]])
    # x + 2 max(2 x + 1, 0) + 1
    assert block(x).tolist() == [[[[-2.0, 3.0, 13.0]]]]


@quick
@given(sizes, sizes, st.integers(1, 9), st.sampled_from(["replicate", "constant"]))
def test_planes_grow_to_the_right_and_below_and_keep_what_they_hold(
    height: int, width: int, multiple: int, mode: str
) -> None:
    x = torch.arange(1.0, height * width + 1).reshape(1, 1, height, width)
    grown = pad_to(x, multiple, mode)
    assert grown.shape[-2] - height == -height % multiple and grown.shape[-1] - width == -width % multiple
    extra = {"replicate": "edge", "constant": "constant"}[mode]
    room = ((0, -height % multiple), (0, -width % multiple))
    assert np.array_equal(grown[0, 0].numpy(), np.pad(x[0, 0].numpy(), room, mode=extra))


@quick
@given(st.floats(-1e6, 1e6), st.sampled_from([4.0, 32.0]))
def test_companding_is_odd_and_a_logarithm_beyond_its_linear_part(step: float, linear: float) -> None:
    x = torch.tensor([step, -step], dtype=torch.float64)
    found = compand(x, linear)
    assert float(found[0]) == pytest.approx(np.sign(step) * linear * np.log1p(abs(step) / linear), rel=1e-9)
    assert float(found[1]) == -float(found[0])


def test_the_middle_of_several_frames_is_denoised() -> None:
    torch.manual_seed(0)
    network = NoiseUNet((8, 8), (1, 1), unshuffle=2, frames=3).eval().requires_grad_(False)
    frames, sigma = torch.randn(2, 3, 9, 13), torch.full((2, 1, 9, 13), 0.5)
    told = torch.ones(2, 4), torch.zeros(2)
    # a fresh network predicts no noise
    assert torch.equal(network(frames, sigma, *told), frames[:, 1:2])
    network.tail.bias.fill_(3.0)
    assert torch.allclose(network(frames, sigma, *told), frames[:, 1:2] - 1.5)
    network.body = lambda features: torch.arange(4.0).reshape(1, 4, 1, 1).expand(2, 4, 6, 8)
    removed = (frames[:, 1:2] - network(frames, sigma, *told)) / 0.5
    # one of the four values for each pixel of a block of 2 x 2, cut to the plane
    assert torch.allclose(removed[0, 0, :2, :4], torch.tensor([[0.0, 1, 0, 1], [2, 3, 2, 3]]), atol=1e-5)
    assert removed.shape == (2, 1, 9, 13)


@pytest.mark.parametrize("brightness", [0.0, 1.0, 6.0, -4.0])
def test_a_physical_zero_is_told_by_how_near_it_is_in_units_of_the_noise(brightness: float) -> None:
    network = NoiseUNet((4, 4), (1, 1), unshuffle=2).eval().requires_grad_(False)
    for part in (network.head, network.told):
        part.weight.zero_()
    network.told.bias.zero_()
    network.floor.weight.fill_(1.0)
    seen: list[torch.Tensor] = []
    network.body = lambda features: (seen.append(features), torch.zeros(2, 4, 4, 4))[1]
    sigma = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    for zero in (1.0, 0.0):
        network(torch.full((2, 1, 8, 8), brightness), sigma, torch.ones(2, 4), torch.full((2,), zero))
    near = [1 / (1 + (brightness / (2 * level)) ** 2) for level in (1.0, 3.0)]
    assert seen[0][:, 0, 0, 0].tolist() == pytest.approx(near, rel=1e-5)
    assert not seen[1].any()
