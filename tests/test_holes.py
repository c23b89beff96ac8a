"""Filling of pixels that are no image: by the nearest that is, found once for planes that share holes."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from meddenoise.noise.blocks import ring_areas
from meddenoise.series import fill_holes

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 33)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_holes_take_a_nearest_valid_value_and_the_rest_stays(shape: tuple[int, int], share: float) -> None:
    before = RNG.normal(size=(3, *shape)).astype(np.float32)
    valid = RNG.random((3, *shape)) >= share
    after = fill_holes(before.copy(), valid)
    assert np.array_equal(after[valid], before[valid])
    for plane, values, mask in zip(after, before, valid, strict=True):
        if not mask.any():
            assert not plane.any()
            continue
        distances = np.rint(distance_transform_edt(~mask) ** 2)
        for y, x in np.argwhere(~mask)[:50]:
            rows, columns = np.nonzero(mask)
            near = (rows - y) ** 2 + (columns - x) ** 2 == distances[y, x]
            assert plane[y, x] in values[rows[near], columns[near]]


def test_planes_with_the_same_holes_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan circle lies around every slice of a CT; the search takes as long as a tenth of the network."""
    searched = []

    def search(mask: np.ndarray, **more: bool) -> np.ndarray:
        searched.append(mask.shape)
        return distance_transform_edt(mask, **more)

    monkeypatch.setattr("scipy.ndimage.distance_transform_edt", search)
    y, x = np.indices((50, 50)) - 25
    circle = np.repeat((np.hypot(x, y) < 21)[None], 4, axis=0)
    planes = RNG.normal(size=circle.shape).astype(np.float32)
    whole = fill_holes(planes.copy(), circle)
    single = np.concatenate([fill_holes(planes[n : n + 1].copy(), circle[n : n + 1]) for n in range(4)])
    assert np.array_equal(whole, single)
    assert len(searched) == 1


def test_what_is_the_same_for_every_plane_is_computed_once_and_cannot_be_changed() -> None:
    assert ring_areas() is ring_areas()
    with pytest.raises(ValueError, match="read-only"):
        ring_areas()[0] = 1
