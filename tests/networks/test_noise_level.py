"""The network that reads noise: units, spectrum, planes by themselves."""

import numpy as np
import pytest
import torch

from meddenoise.networks import build
from meddenoise.networks.noise_level import CELL, NoiseLevelNet, NoiseReading, scales, usable_cells
from meddenoise.noise import SPECTRUM_EDGES
from meddenoise.noise.cells import CELLS, cell_shares
from meddenoise.training.recipe_file import read_recipe


@pytest.fixture(scope="module")
def network() -> NoiseLevelNet:
    """A network with random weights whose last layer says something."""
    torch.manual_seed(0)
    net = build("noise-level", {"channels": 12, "blocks": 1, "hidden": 16})
    assert isinstance(net, NoiseLevelNet)
    torch.nn.init.normal_(net.last.weight, std=0.2)
    return net.eval()


def planes(*shape: int, seed: int = 0) -> torch.Tensor:
    image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed))
    return image + 20 * (torch.arange(shape[1]) > shape[1] // 2)


@torch.no_grad()
def read(net: NoiseLevelNet, image: torch.Tensor, zero: float = 0.0) -> NoiseReading:
    reading: NoiseReading = net(image, torch.ones_like(image), torch.full((len(image),), zero))
    return reading


@pytest.mark.parametrize(("gain", "offset"), [(3.0, 0.0), (1.0, 500.0), (0.01, -7.0), (4096.0, 1e4)])
def test_offset_changes_nothing_and_scale_only_the_level(
    network: NoiseLevelNet, gain: float, offset: float
) -> None:
    before, after = read(network, planes(72, 96)), read(network, gain * planes(72, 96) + offset)
    shift = float(np.log(gain))
    for name in ("level", "local", "floor"):
        assert torch.allclose(getattr(after, name), getattr(before, name) + shift, atol=2e-3), name
    for name in ("spectrum", "error", "rician"):
        assert torch.allclose(getattr(after, name), getattr(before, name), atol=2e-3), name


def test_the_spectrum_has_the_power_of_white_noise(network: NoiseLevelNet) -> None:
    spectrum = read(network, planes(64, 64)).spectrum[0].double().exp()
    assert float((spectrum**2 * torch.tensor(cell_shares())).sum()) == pytest.approx(1, abs=1e-5)


def test_the_power_of_a_wave_is_in_its_cell_of_the_spectrum(network: NoiseLevelNet) -> None:
    size, side = 64, 2 * CELL
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for turns_y, turns_x in ((0, 4), (4, 0), (3, 5), (-3, 5), (7, 7), (0, 8)):
        wave = torch.cos(2 * torch.pi * (turns_y * y + turns_x * x) / side)
        power, _ = network._enter(7000 + wave[None, None], torch.ones(1))
        fy, fx = abs(turns_y) / side, turns_x / side
        cell = 2 * int(np.digitize(np.hypot(fy, fx), SPECTRUM_EDGES[1:-1])) + (fy > fx)
        assert power.shape == (1, CELLS, size // CELL, size // CELL)
        assert power[0, :, :-1, :-1].mean(dim=(1, 2)).argmax() == cell


def test_only_a_physical_zero_makes_brightness_count(network: NoiseLevelNet) -> None:
    image = planes(64, 64)
    brighter = read(network, image + 3, zero=1.0).level
    assert not torch.allclose(brighter, read(network, image, zero=1.0).level, atol=1e-3)


def test_a_plane_of_a_batch_is_read_as_by_itself(network: NoiseLevelNet) -> None:
    both = torch.cat([planes(64, 64), 5 * planes(64, 64, seed=1)])
    together = read(network, both).level
    assert torch.allclose(together[1:], read(network, both[1:]).level, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_plane_gives_numbers(network: NoiseLevelNet, value: float) -> None:
    reading = read(network, torch.full((1, 1, 40, 40), value))
    assert all(bool(part.isfinite().all()) for part in reading)


def test_invalid_cells_do_not_set_the_unit() -> None:
    image = planes(64, 64)
    valid = torch.ones_like(image)
    valid[..., :32] = 0
    spoilt = image.clone()
    spoilt[..., :24] *= 1000
    cells = usable_cells(valid)
    assert scales(image, cells)[0] == scales(spoilt, cells)[0]


def test_the_unit_is_the_level_of_white_noise() -> None:
    image = 5 * torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    unit, _ = scales(image, usable_cells(torch.ones_like(image)))
    assert float(unit) == pytest.approx(5, rel=0.12)


def test_the_network_is_small(network: NoiseLevelNet) -> None:
    recipe = read_recipe("noise-estimator")
    net = build(recipe.network, recipe.network_options)
    assert sum(weights.numel() for weights in net.parameters()) * 2 < 1 << 20
