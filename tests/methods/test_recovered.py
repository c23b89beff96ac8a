"""Structure found in removed noise: that which is there, and next to nothing if there is none."""

import pytest
import torch
from torch import Tensor

from meddenoise.methods.recovered import LARGE, SIDE, recovered
from meddenoise.noise.spectrum import ct_amplitude, filter_planes, gaussian_amplitude, radial_frequency

SIDES = [160, int(LARGE**0.5) + 40]
"""Of planes with blocks close together, and farther apart."""


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


def coloured(side: int, kind: str) -> Tensor:
    amplitude = {"blurred": gaussian_amplitude(0.8), "ct": ct_amplitude(0.35)}[kind]
    plane = filter_planes(white(side, side)[0, 0].numpy(), amplitude(radial_frequency(side, side)))
    return torch.from_numpy(plane / plane.std()).float()[None, None]


def power(planes: Tensor) -> float:
    return float(planes.square().mean())


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["white", "blurred", "ct", "from place to place", "half empty"])
def test_next_to_nothing_is_found_in_noise_alone(side: int, kind: str) -> None:
    noise = coloured(side, kind) if kind in ("blurred", "ct") else white(side, side)
    across = torch.linspace(0, 1, side)
    if kind == "from place to place":
        noise = noise * (0.4 + 2 * across)
    elif kind == "half empty":
        noise = noise * (across > 0.6)
    found = recovered(noise)
    assert found.shape == noise.shape and power(found) < 0.005 * power(noise)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("period", [2.0, 3.1, 7.0])
def test_faint_waves_are_found_where_they_are(side: int, period: float) -> None:
    x = torch.arange(side).float()
    there = (x > 0.7 * side)[:, None].float().expand(side, side)
    waves = (1.2 * torch.cos(2 * torch.pi * x / period + 0.3)).expand(side, side) * there
    found = recovered(white(side, side) + waves)
    inside = slice(round(0.7 * side) + SIDE, None)
    error = (found - waves)[..., inside, :]
    assert power(error) < 0.5 * power(waves[inside]), "fainter than the noise, and yet most of it is found"
    assert power(found[..., : round(0.7 * side) - SIDE, :]) < 0.01


def test_streaks_in_one_place_are_noise_of_that_place() -> None:
    x = torch.fft.rfftfreq(160)
    along = filter_planes(white(160, 160, seed=1)[0, 0].numpy(), torch.exp(-((x / 0.05) ** 2)).numpy()[None])
    streaks = torch.from_numpy(along / along.std()).float()
    everywhere = streaks[None, None] + 0.3 * white(160, 160)
    assert power(recovered(everywhere)) < 0.02 * power(everywhere)
    there = torch.zeros(160, 160)
    there[40:120, 40:120] = 2
    noise = white(160, 160) + streaks * there
    assert power(recovered(noise)) < 0.15 * power(streaks * there)


def test_units_do_not_matter_and_planes_do_not_see_each_other() -> None:
    x = torch.arange(96).float()
    planes = torch.cat(
        [white(96, 80), 100 * (white(96, 80, seed=1) + 1.5 * torch.cos(torch.pi * x)[:, None])]
    )
    both = recovered(planes)
    torch.testing.assert_close(recovered(planes[1:]), both[1:])
    torch.testing.assert_close(recovered(planes / 64) * 64, both)
    assert power(both[1]) > 100


def test_there_is_nothing_in_small_or_empty_planes() -> None:
    assert power(recovered(5 * white(2 * SIDE - 1, 100))) == 0
    assert power(recovered(torch.zeros(1, 1, 64, 64))) == 0
