"""Masked boxes: filled from kept pixels alone, as many as asked for, finite whatever is masked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from meddenoise.networks.blind_spot import RADII
from meddenoise.training.diffusion import draw_centres, fill_boxes

SHARE = 0.2
radii = pytest.mark.parametrize("rho", RADII)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def centres(shape: tuple[int, ...], rho: int, seed: int = 0, share: float = SHARE) -> Tensor:
    return draw_centres(torch.Size(shape), rho, share, torch.Generator().manual_seed(seed))


def masked(centres: Tensor, rho: int) -> Tensor:
    """True inside a box, found box by box."""
    mask = torch.zeros_like(centres)
    for plane, _, y, x in centres.nonzero().tolist():
        mask[plane, :, max(0, y - rho) : y + rho + 1, max(0, x - rho) : x + rho + 1] = True
    return mask


def sees(noisy: Tensor, drawn: Tensor, rho: int) -> Tensor:
    """The largest |d filled / d noisy| of every pixel of `noisy` [1, 1, H, W], over random directions."""
    total = torch.zeros_like(noisy)
    for seed in range(3):
        leaf = noisy.clone().requires_grad_()
        (fill_boxes(leaf, drawn, rho) * image(*noisy.shape, seed=seed + 10)).sum().backward()
        assert leaf.grad is not None
        total = torch.maximum(total, leaf.grad.abs())
    return total


@radii
def test_nothing_depends_on_a_masked_pixel_and_everything_kept_stays(rho: int) -> None:
    noisy = image(1, 1, 53, 61)
    drawn = centres((1, 1, 53, 61), rho)
    mask = masked(drawn, rho)
    seen = sees(noisy, drawn, rho)
    assert (seen[mask] == 0).all()
    assert (seen[~mask] > 0).all()
    filled = fill_boxes(noisy, drawn, rho)
    assert torch.equal(filled[~mask], noisy[~mask])
    assert not torch.isclose(filled[mask], noisy[mask]).any()


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(RADII),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
    st.floats(0.01, 1.0),
)
def test_whatever_is_masked_the_filling_is_finite_and_independent_of_it(
    rho: int, height: int, width: int, seed: int, share: float
) -> None:
    drawn = centres((1, 1, height, width), rho, seed, share)
    noisy = image(1, 1, height, width)
    changed = torch.where(masked(drawn, rho), 1e4 * image(1, 1, height, width, seed=1), noisy)
    filled = fill_boxes(noisy, drawn, rho)
    assert bool(filled.isfinite().all())
    # The values under the mask enter multiplied by zero: no rounding is left of them.
    assert torch.equal(filled, fill_boxes(changed, drawn, rho))


@radii
def test_a_plane_that_is_masked_whole_becomes_zero(rho: int) -> None:
    noisy = 5 + image(2, 1, 20, 24)
    everywhere = torch.ones(2, 1, 20, 24, dtype=torch.bool)
    assert torch.equal(fill_boxes(noisy, everywhere, rho), torch.zeros_like(noisy))
    nowhere = torch.zeros_like(everywhere)
    assert torch.equal(fill_boxes(noisy, nowhere, rho), noisy)


@radii
def test_the_boxes_cover_the_share_that_is_asked_for(rho: int) -> None:
    drawn = centres((8, 1, 96, 96), rho)
    boxes = float(drawn.float().mean()) * (2 * rho + 1) ** 2
    assert boxes == pytest.approx(SHARE, rel=0.1)
    # boxes may overlap and are cut at the border
    assert 0.75 * SHARE < float(masked(drawn, rho).float().mean()) < 1.05 * SHARE


@radii
def test_a_box_is_filled_with_the_level_around_it(rho: int) -> None:
    across = torch.arange(64.0).expand(1, 1, 64, 64)
    drawn = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    drawn[..., 30, 31] = True
    filled = fill_boxes(100 + across, drawn, rho)
    inside = (..., slice(30 - rho, 31 + rho), slice(31 - rho, 32 + rho))
    assert (filled - 100 - across)[inside].abs().max() <= rho + 2
    assert float(filled[inside].mean()) == pytest.approx(131, abs=1e-3)


def test_planes_of_a_batch_are_masked_and_filled_by_themselves() -> None:
    drawn = centres((3, 1, 40, 40), 2)
    assert not torch.equal(drawn[0], drawn[1])
    noisy = image(3, 1, 40, 40)
    together = fill_boxes(noisy, drawn, 2)
    for n in range(3):
        one = slice(n, n + 1)
        assert torch.allclose(together[one], fill_boxes(noisy[one], drawn[one], 2))
