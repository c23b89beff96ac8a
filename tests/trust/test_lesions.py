"""Discs put into an image: where, how large and how strong, as a denoiser sees them."""

import numpy as np
import pytest

from meddenoise.engine.planes import MiddlePlane
from meddenoise.metrics import UndefinedError
from meddenoise.noise import NoiseEstimate
from meddenoise.trust.lesions import APART_PX, MOST, survival

WHITE = NoiseEstimate(4.0)


def discs_in(clean: np.ndarray, noise: NoiseEstimate = WHITE, valid: np.ndarray | None = None) -> np.ndarray:
    """The discs of both signs that are put into an image without noise."""
    seen: list[np.ndarray] = []
    there = np.ones(clean.shape, bool) if valid is None else valid
    level = np.full(clean.shape, noise.sigma, np.float32)
    image = MiddlePlane(clean[None, None], level[None], there[None])

    def denoise(plane: np.ndarray) -> np.ndarray:
        seen.append(plane - clean)
        return plane

    kept = survival(denoise, image, clean, noise)
    assert kept.share == pytest.approx(1, abs=1e-3)
    peaks = centres(seen[0])
    assert kept.discs == len(peaks)
    assert kept.contrast == pytest.approx(np.mean([abs(seen[0][place]) for place in peaks]), rel=1e-4)
    return seen[0]


def centres(discs: np.ndarray) -> list[tuple[int, int]]:
    return [
        (y, x)
        for y in range(APART_PX // 2, discs.shape[0], APART_PX)
        for x in range(APART_PX // 2, discs.shape[1], APART_PX)
        if discs[y, x] != 0
    ]


def test_discs_alternate_in_sign_and_size_and_are_eight_times_as_strong_as_their_noise() -> None:
    shade = np.linspace(100, 110, 144, dtype=np.float32)[None] + np.zeros((144, 1), np.float32)
    discs = discs_in(shade)
    places = centres(discs)
    # of 5 x 5 places between the borders, less those in the darkest fifth, the smoother half
    assert len(places) == 10
    for n, (y, x) in enumerate(places):
        radius = (2.5, 4.0)[n // 2 % 2]
        part = discs[y - 6 : y + 7, x - 6 : x + 7]
        assert np.sign(discs[y, x]) == (-1) ** n
        assert np.abs(part).sum() / abs(discs[y, x]) == pytest.approx(np.pi * radius**2, rel=0.1)
        # a mean over the disc less one over the ring around it, of white noise
        rows, columns = np.indices((25, 25)) - 12
        away = np.hypot(rows, columns)
        inner = np.count_nonzero(away < radius)
        ring = np.count_nonzero((away > radius + 2) & (away < radius + 5))
        exact = 8 * 4.0 * np.sqrt(1 / inner + 1 / ring)
        assert abs(discs[y, x]) == pytest.approx(exact, rel=0.15)


def test_discs_keep_away_from_air_padding_edges_and_magnitudes_near_0() -> None:
    y, x = np.indices((192, 192))
    half = np.where(x < 96, 0.0, 100.0).astype(np.float32)
    assert centres(discs_in(half)) and all(column > 96 for _, column in centres(discs_in(half)))
    valid = y < 100
    assert all(row < 88 for row, _ in centres(discs_in(100 + half, valid=valid)))
    # texture on the left: the smooth right half is chosen first
    rough = (500 + 40 * np.sin(x) * np.sin(y) * (x < 96)).astype(np.float32)
    assert all(column > 80 for _, column in centres(discs_in(rough)))
    dim = np.where(x < 4, 0.0, np.where(x < 96, 50.0, 100.0)).astype(np.float32)
    rician = NoiseEstimate(13.0, model="rician")
    assert any(column < 90 for _, column in centres(discs_in(dim, NoiseEstimate(13.0))))
    assert all(column > 96 for _, column in centres(discs_in(dim, rician)))


def test_there_are_at_most_so_many_discs_spread_over_the_image() -> None:
    discs = discs_in(np.linspace(50, 60, 384, dtype=np.float32)[:, None] + np.zeros(384, np.float32))
    places = np.array(centres(discs))
    assert len(places) == MOST and np.ptp(places, axis=0).min() > 200


@pytest.mark.parametrize("side", [47, 60])
def test_an_image_without_room_has_no_value(side: int) -> None:
    with pytest.raises(UndefinedError, match="too few smooth places"):
        discs_in(np.full((side, side), 50.0, np.float32))
