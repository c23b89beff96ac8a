"""The noise-unit U-Net is equivariant by construction, whatever its weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import UsageError
from meddenoise.networks import build
from meddenoise.networks.noise_unet import NoiseUNet

OPTIONS = {"channels": (8, 12, 16), "blocks": (1, 1, 1), "unshuffle": 2}


@pytest.fixture(scope="module")
def network() -> NoiseUNet:
    torch.manual_seed(0)
    network = build("noise-unet", OPTIONS)
    assert isinstance(network, NoiseUNet)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.08)
    return network.eval().requires_grad_(False)


def run(
    network: NoiseUNet, noisy: torch.Tensor, sigma: float | torch.Tensor, zero: float = 0.0
) -> torch.Tensor:
    level = torch.as_tensor(sigma, dtype=torch.float32).expand_as(noisy)
    return network(noisy, level, torch.ones(len(noisy), 4), torch.full((len(noisy),), zero))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(-3000, 3000))
def test_offset_and_scale_of_the_image_pass_through(network: NoiseUNet, scale: float, offset: float) -> None:
    noisy = torch.randn(1, 1, 32, 24, generator=torch.Generator().manual_seed(1))
    plain = run(network, noisy, 1.0)
    assert (plain - noisy).abs().max() > 0.05  # these weights do change the image
    moved = run(network, scale * noisy + offset, scale)
    tolerance = 1e-3 * scale + 2e-6 * abs(offset)  # float32 cannot hold more of a large offset
    assert torch.allclose(moved, scale * plain + offset, rtol=0, atol=tolerance)


def test_the_change_vanishes_with_sigma(network: NoiseUNet) -> None:
    noisy = torch.randn(1, 1, 32, 32)
    much, little = ((run(network, noisy, sigma) - noisy).abs().max() for sigma in (1.0, 1e-5))
    assert 0 < little < 1e-2 * much


def test_the_floor_at_zero_is_seen_only_where_it_is_told(network: NoiseUNet) -> None:
    noisy = torch.rand(1, 1, 32, 32)
    assert not torch.equal(run(network, noisy, 0.5, zero=1.0), run(network, noisy, 0.5, zero=0.0))
    far = noisy + 1e6  # no floor is near: telling it changes next to nothing
    assert torch.allclose(run(network, far, 0.5, 1.0), run(network, far, 0.5, 0.0), atol=0.2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 17), (33, 64)])
def test_any_size_goes_through(network: NoiseUNet, shape: tuple[int, int]) -> None:
    result = run(network, torch.randn(2, 1, *shape), 1.0)
    assert result.shape == (2, 1, *shape) and bool(result.isfinite().all())


def test_planes_of_a_batch_do_not_see_each_other(network: NoiseUNet) -> None:
    noisy = torch.randn(3, 1, 32, 32)
    together = run(network, noisy, 1.0)
    alone = torch.cat([run(network, noisy[i : i + 1], 1.0) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_low_precision_trunk_stays_close_on_a_wide_range(network: NoiseUNet) -> None:
    # 12-bit CT at a sigma of 2: a step of 2000 sigma must not blow bfloat16 up.
    noisy = torch.randn(1, 1, 64, 64) * 2
    noisy[..., 32:] += 4000
    exact = run(network, noisy, 2.0)
    low = build("noise-unet", OPTIONS)
    low.load_state_dict(network.state_dict())
    assert isinstance(low, NoiseUNet)
    low.eval().lower_trunk(torch.bfloat16)
    with torch.inference_mode():
        difference = (run(low, noisy, 2.0) - exact).abs()
    assert difference.mean() < 0.1 * (exact - noisy).abs().mean()


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="noise-unet"):
        build("noise-unit", {})
