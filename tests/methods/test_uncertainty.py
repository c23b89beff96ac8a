"""The spread that is left: right where there is much, never nothing, honest about few runs."""

import pytest
import torch

from meddenoise.methods.srds import remaining_spread


def left(excess: float, pairs: int = 1, shrunk: float = 0.7, fused: bool = False) -> torch.Tensor:
    """The spread found where the clean image varies by `excess` noise variances around the estimate."""
    generator = torch.Generator().manual_seed(0)
    change, runs = (torch.randn(1, 1, 96, 96, generator=generator) for _ in range(2))
    size = (1 + excess) ** 0.5
    return remaining_spread(change * size, runs * size * shrunk, shrunk, pairs, fused)


@pytest.mark.parametrize("excess", [0.5, 1.0, 4.0])
def test_a_large_spread_is_found(excess: float) -> None:
    assert float(left(excess).square().mean()) == pytest.approx(excess, rel=0.1)
    fused = excess / (1 + excess)
    assert float(left(excess, fused=True).square().mean()) == pytest.approx(fused, rel=0.1)


def test_nothing_is_ever_sure_but_more_runs_make_it_surer() -> None:
    one, many = left(0.0), left(0.0, pairs=16)
    assert float(one.min()) > 0.02 and float(many.min()) > 0.01
    assert float(many.mean()) < 0.8 * float(one.mean())


def test_runs_that_kept_no_spread_are_not_asked() -> None:
    same = left(1.0, shrunk=1e-3)
    assert float(same.square().mean()) == pytest.approx(1.0, rel=0.15)


def test_two_deviations_hold_nearly_all_errors_of_a_flat_image_and_of_a_rough_one() -> None:
    generator = torch.Generator().manual_seed(1)
    for spread in (0.15, 0.5, 1.5):
        error = spread * torch.randn(1, 1, 96, 96, generator=generator)
        noise, fresh = (torch.randn(1, 1, 96, 96, generator=generator) for _ in range(2))
        runs = 0.7 * (1 + spread**2) ** 0.5 * fresh
        spread_found = remaining_spread(error + noise, runs, 0.7, 1, fused=False)
        assert 0.9 <= float((error.abs() <= 2 * spread_found).float().mean()) <= 1.0
