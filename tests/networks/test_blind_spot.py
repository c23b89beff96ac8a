"""The blind-spot network: exactly blind at every pixel, size and tile; equivariant; the same in bfloat16."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine.device import Device
from meddenoise.methods import Sampling, Setup
from meddenoise.methods.blindspot import BLINDSPOT
from meddenoise.networks import blind_spot, build
from meddenoise.networks.blind_spot import RADII, BlindSpotNet
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.phantom import make_phantom
from meddenoise.weights.checkpoint import Checkpoint, CheckpointMetadata

OPTIONS = {"channels": (6, 8, 8), "blocks": (1, 1, 1), "entry": 4}
CPU = Device(torch.device("cpu"), "fp32", "test")

radii = pytest.mark.parametrize("rho", RADII)


def random_network(seed: int = 0) -> BlindSpotNet:
    """A network none of whose layers is silent."""
    torch.manual_seed(seed)
    network = build("blind-spot", OPTIONS)
    assert isinstance(network, BlindSpotNet)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    return network.eval().requires_grad_(False)


NETWORK = random_network()


def estimate(network: BlindSpotNet, noisy: Tensor, rho: int, sigma: float = 1.0) -> Tensor:
    blind: Tensor = network(noisy, torch.full_like(noisy, sigma), torch.ones(len(noisy), 4), rho)
    return blind


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def gradient(network: BlindSpotNet, noisy: Tensor, rho: int, place: tuple[int, int]) -> Tensor:
    """d estimate[place] / d noisy, [H, W]."""
    noisy = noisy.clone().requires_grad_()
    estimate(network, noisy, rho)[0, 0, *place].backward()
    assert noisy.grad is not None
    return noisy.grad[0, 0]


def box(place: tuple[int, int], rho: int) -> tuple[slice, slice]:
    y, x = (slice(max(0, at - rho), at + rho + 1) for at in place)
    return y, x


def places(height: int, width: int) -> list[tuple[int, int]]:
    """Corners, borders, beside borders, and inside."""
    middle = (height // 2, width // 2 - 1)
    corners = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    return [*corners, (0, middle[1]), (middle[0], width - 1), (1, 2), (height - 2, middle[1]), middle]


def sees(seen: Tensor, place: tuple[int, int], rho: int) -> None:
    """Nothing inside the box, something of the ring of pixels right around it."""
    assert (seen[box(place, rho)] == 0).all(), f"sees its own box at {place}"
    ring = seen.clone()[box(place, rho + 1)]
    assert ring.abs().max() > 0, f"sees nothing around the box of {place}"


@radii
def test_a_pixel_does_not_depend_on_its_box_but_on_what_is_right_outside(rho: int) -> None:
    noisy = image(37, 45)
    for place in places(37, 45):
        seen = gradient(NETWORK, noisy, rho, place)
        sees(seen, place, rho)
        assert (seen != 0).float().mean() > 0.3, "the rest of the image is seen too"


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(RADII), st.integers(1, 40), st.integers(1, 40), st.data())
def test_no_size_and_no_place_lets_a_pixel_see_its_box(
    rho: int, height: int, width: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    seen = gradient(NETWORK, image(height, width), rho, place)
    assert bool(seen.isfinite().all())
    assert (seen[box(place, rho)] == 0).all()


@radii
def test_a_fresh_network_is_the_mean_of_a_ring_and_blind_too(rho: int) -> None:
    torch.manual_seed(0)
    fresh = build("blind-spot", OPTIONS)
    assert isinstance(fresh, BlindSpotNet)
    for place in places(24, 31):
        seen = gradient(fresh, image(24, 31), rho, place)
        sees(seen, place, rho)
        assert float(seen.sum()) == pytest.approx(1, abs=1e-5)
        assert (seen >= 0).all()


@radii
def test_a_smaller_dilation_would_leak(rho: int) -> None:
    """The negative control: with d - 1 in place of d = R + rho + 1 these very tests fail."""
    leaky = random_network()
    for branch in leaky.branches.values():
        branch.step -= 1
    worst = max(
        float(gradient(leaky, image(37, 45), rho, place)[box(place, rho)].abs().max())
        for place in places(37, 45)
    )
    assert worst > 1e-3


@radii
def test_mirrored_borders_would_leak(rho: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: with reflected instead of zero padding a pixel at the border sees itself."""
    conv2d = functional.conv2d

    def mirrored(x: Tensor, kernel: Tensor, *layer: object, padding: int = 0) -> Tensor:
        if layer:  # of a module: all behind the masked convolution
            return conv2d(x, kernel, *layer)
        return conv2d(functional.pad(x, (padding,) * 4, mode="reflect"), kernel)

    monkeypatch.setattr(blind_spot.functional, "conv2d", mirrored)
    row = rho // 2 + 1  # mirrored at the border it lies rho + 2 pixels away: in the far branch's ring
    worst = max(
        float(gradient(NETWORK, image(37, 45), rho, (row, x))[box((row, x), rho)].abs().max())
        for x in range(10, 30, 4)
    )
    assert worst > 1e-3


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(RADII), st.floats(0.01, 100), st.floats(-3000, 3000))
def test_offset_and_scale_of_the_image_pass_through(rho: int, scale: float, offset: float) -> None:
    noisy = image(40, 34)
    plain = estimate(NETWORK, noisy, rho)
    moved = estimate(NETWORK, scale * noisy + offset, rho, sigma=scale)
    assert (plain - noisy).std() > 0.05
    tolerance = 2e-3 * scale + 1e-5 * abs(offset)  # float32 cannot hold more of a large offset
    assert torch.allclose(moved, scale * plain + offset, rtol=0, atol=tolerance)


def test_planes_of_a_batch_do_not_see_each_other() -> None:
    noisy = torch.cat([image(30, 33, seed) for seed in range(3)])
    together = estimate(NETWORK, noisy, 2)
    alone = torch.cat([estimate(NETWORK, noisy[n : n + 1], 2) for n in range(3)])
    assert torch.allclose(together, alone, atol=1e-4)


def test_an_unknown_spectrum_is_told_from_a_white_one() -> None:
    noisy = image(32, 32)
    sigma = torch.ones_like(noisy)
    white, unknown = (NETWORK(noisy, sigma, bands, 0) for bands in (torch.ones(1, 4), torch.zeros(1, 4)))
    assert (white - unknown).abs().max() > 1e-3


@radii
def test_a_low_precision_trunk_costs_less_than_two_hundredths_of_a_decibel(rho: int) -> None:
    truth = torch.from_numpy(make_phantom("ct", size=128, planes=1, seed=1).truth)[None]
    sigma = 20.0
    noisy = truth + sigma * image(128, 128)
    exact, low = random_network(), random_network()
    for network in (exact, low):  # a modest correction, as a trained network makes, of a fresh one's estimate
        for tail in network.tail.values():
            tail[-1].weight.mul_(0.02)
    low.lower_trunk(torch.bfloat16)
    assert next(low.branches["0-1"].trunk.parameters()).dtype == torch.bfloat16
    errors = [(estimate(network, noisy, rho, sigma) - truth).square().mean() for network in (exact, low)]
    change = (estimate(exact, noisy, rho, sigma) - estimate(low, noisy, rho, sigma)).abs().max()
    assert 0 < change < 0.5 * sigma
    assert abs(10 * np.log10(float(errors[1] / errors[0]))) < 0.02


@radii
def test_bfloat16_is_exactly_blind_too(rho: int) -> None:
    low = random_network()
    low.lower_trunk(torch.bfloat16)
    for place in ((0, 0), (17, 20), (36, 11)):
        sees(gradient(low, image(37, 45), rho, place), place, rho)


def engine(rho: int, fusion: bool, tile: int, overlap: int) -> Engine:
    metadata = CheckpointMetadata(
        method="blindspot",
        network="blind-spot",
        network_options=OPTIONS,
        normalisation={"name": "noise-units"},
        sigma_range=(1.0, 50.0),
        modalities=("CT",),
        training_data=(),
        licence="Apache-2.0",
        recipe="test",
    )
    checkpoint = Checkpoint(metadata, dict(NETWORK.state_dict()), Path("test.safetensors"), "0" * 64)
    sampling = Sampling(fusion=fusion, blind_radius=rho)
    setup = Setup(NoiseEstimate(1.0, WHITE), checkpoint=checkpoint, sampling=sampling)
    return Engine(BLINDSPOT, setup, EngineOptions(CPU, tile=tile, overlap=overlap))


@radii
def test_through_tiles_and_their_seams_a_changed_pixel_leaves_its_box_bit_for_bit(rho: int) -> None:
    run = engine(rho, False, tile=128, overlap=32)
    noisy = image(176, 167).numpy()
    sigma = np.ones((1, 176, 167), np.float32)
    before = run.run(noisy, sigma).clean[0]
    # tiles start at 0 and 48 down, 0 and 39 across: corners, borders, seams, inside one tile, inside two
    for place in ((0, 0), (175, 166), (48, 39), (47, 38), (127, 127), (128, 60), (80, 75), (10, 140)):
        changed = noisy.copy()
        changed[0, 0, *place] += 3
        after = run.run(changed, sigma).clean[0]
        assert np.array_equal(after[box(place, rho)], before[box(place, rho)])
        assert not np.array_equal(after, before)


def test_fusion_lets_the_own_pixel_in() -> None:
    """The negative control of the test above."""
    noisy, sigma = 5 * image(64, 64).numpy(), np.ones((1, 64, 64), np.float32)
    run = engine(0, True, tile=128, overlap=32)
    changed = noisy.copy()
    changed[0, 0, 20, 20] += 3
    assert run.run(changed, sigma).clean[0, 20, 20] != run.run(noisy, sigma).clean[0, 20, 20]
