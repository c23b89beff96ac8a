"""Tiles cover a plane, their weights sum to one, and stitching is the inverse of cutting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.engine.tiling import cut, plan_tiles, stitch
from meddenoise.errors import UsageError

sides = st.integers(1, 150)


@st.composite
def plans(draw):
    tile = draw(st.integers(1, 64))
    overlap = draw(st.integers(0, tile - 1).filter(lambda value: tile - value > tile // 4))
    return plan_tiles((draw(sides), draw(sides)), tile, overlap)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_weights_sum_to_one_and_are_positive_at_every_pixel(plan):
    total = np.zeros(plan.shape)
    for index, window in enumerate(plan.windows):
        assert window.min() > 0
        cut(total, plan, index)[...] += window
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_a_constant_and_a_ramp_come_back(plan):
    y, x = np.indices(plan.shape, dtype=np.float32)
    for plane in (np.full(plan.shape, 1000, np.float32), 3 * y - 2 * x):
        tiles = [cut(plane, plan, index) for index in range(len(plan))]
        np.testing.assert_allclose(stitch(tiles, plan), plane, atol=2e-3)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(2, 64), st.integers(0, 20))
def test_all_tiles_have_one_size_and_overlap_enough(height, width, tile, overlap):
    overlap = min(overlap, tile // 2)
    plan = plan_tiles((height, width), tile, overlap)
    assert plan.size == (min(tile, height), min(tile, width))
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in plan.corners})
        assert starts[0] == 0
        assert starts[-1] + plan.size[axis] == plan.shape[axis]
        steps = np.diff(starts)
        assert (plan.size[axis] - steps >= overlap).all()


def test_a_step_between_tiles_is_blended_without_a_seam():
    plan = plan_tiles((32, 200), 64, 32)
    tiles = [np.full(plan.size, float(index % 2), np.float32) for index in range(len(plan))]
    stitched = stitch(tiles, plan)
    assert stitched.min() == 0
    assert stitched.max() == 1
    assert np.abs(np.diff(stitched, axis=1)).max() < 0.1


def test_no_overlap_gives_hard_edges_at_the_tile_borders():
    plan = plan_tiles((4, 8), 4, 0)
    tiles = [np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)]
    np.testing.assert_array_equal(stitch(tiles, plan)[0], [0, 0, 0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (16, 16), (16, -1)])
def test_tile_and_overlap_that_do_not_fit_are_refused(tile, overlap):
    with pytest.raises(UsageError, match="give"):
        plan_tiles((64, 64), tile, overlap)
