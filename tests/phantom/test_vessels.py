"""Vessels keep their volume in projection and their area in a cut, and shrink by Murray's law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.phantom.shapes import Plane
from meddenoise.phantom.vessels import Branching, Tree, cut, grow, thickness

some = settings(max_examples=20, deadline=None)
points = st.tuples(*[st.floats(-8, 8)] * 3)
PLANE = Plane(64, 0.5)


def rod(start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Tree:
    return Tree(np.array([start], float), np.array([end], float), np.array([radius]), np.zeros(1))


@some
@given(points, points, st.floats(1.2, 3))
def test_a_rod_keeps_its_volume_in_projection(
    start: tuple[float, ...], end: tuple[float, ...], radius: float
) -> None:
    depth = thickness(rod(start, end, radius), PLANE)
    length = np.hypot(end[0] - start[0], end[1] - start[1])
    # of what lies in the plane: depth along a ray is that across the rod
    volume = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
    assert depth.sum() * PLANE.pixel_mm**2 == pytest.approx(volume, rel=0.03)
    assert depth.max() <= 2 * radius + 1e-6
    # from either end the same, but for the rounding of a square root at the rim
    assert np.square(depth) == pytest.approx(np.square(thickness(rod(end, start, radius), PLANE)), abs=1e-3)


@some
@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(1.2, 3), st.floats(-3, 3))
def test_a_cut_across_a_rod_is_a_disc_and_along_it_a_strip(
    x: float, y: float, radius: float, height: float
) -> None:
    area = PLANE.pixel_mm**2
    upright = cut(rod((x, y, height - 10), (x, y, height + 10), radius), Plane(64, 0.5, height), 0.0)
    assert upright.sum() * area == pytest.approx(np.pi * radius**2, rel=0.03)
    centre = [float((upright * axis).sum() / upright.sum()) for axis in PLANE.grid()]
    assert centre == pytest.approx([x, y], abs=0.02)
    lying = rod((-5, y, 1.0), (5, y, 1.0), radius)
    for z, wide in ((1.0, radius), (1.0 + 0.6 * radius, 0.8 * radius)):
        strip = cut(lying, Plane(64, 0.5, z), 0.0)
        assert strip[:, 32].sum() * PLANE.pixel_mm == pytest.approx(2 * wide, abs=0.35)
    assert not cut(lying, Plane(64, 0.5, 1.0 + radius + 0.6), 0.0).any()


def test_a_slab_thicker_than_a_vessel_shows_it_faintly() -> None:
    thin = rod((-5, 0, 0), (5, 0, 0), 0.5)
    for slab in (0.0, 1.0, 6.0):
        edge = PLANE.pixel_mm + slab / 2
        plane = Plane(65, 0.5)
        assert cut(thin, plane, slab).max() == pytest.approx(
            np.clip(0.5 + 0.5 / edge, 0, 1) * min(1, 2 * 0.5 / edge)
        )


def test_where_rods_meet_nothing_counts_twice_and_beyond_the_plane_nothing_is_drawn() -> None:
    whole = thickness(rod((-6, 1, 0), (6, 1, 0), 2.0), PLANE)
    halves = Tree(
        np.array([[-6.0, 1, 0], [0, 1, 0]]), np.array([[0.0, 1, 0], [6, 1, 0]]), np.full(2, 2.0), np.zeros(2)
    )
    assert thickness(halves, PLANE) == pytest.approx(whole, abs=1e-4)
    assert not thickness(rod((40, 40, 0), (50, 40, 0), 2.0), PLANE).any()
    across = thickness(rod((-60, 1, 0), (60, 1, 0), 2.0), PLANE)
    assert across[:, 0] == pytest.approx(whole[:, 32], abs=1e-4)


@some
@given(st.integers(0, 99), st.integers(1, 4), st.integers(2, 6), st.floats(0.8, 3))
def test_a_tree_is_joined_and_its_forks_obey_murray(
    seed: int, generations: int, steps: int, radius: float
) -> None:
    branching = Branching(generations, step_mm=4.0, steps=steps, spread=35.0, wander=5.0, smallest_mm=0.7)
    root = (1.0, -2.0, 3.0)
    tree = grow(root, (0, 2, 0), radius, branching, np.random.default_rng(seed))
    assert np.linalg.norm(tree.end - tree.start, axis=1) == pytest.approx(4.0)
    assert tree.start[0] == pytest.approx(root) and tree.radius[0] == radius and tree.path[0] == 0
    assert tree.end[0, 1] > -2 + 3  # towards the heading
    ends = {tuple(end): n for n, end in enumerate(tree.end)}
    forks: dict[int, list[int]] = {}
    for n in range(1, len(tree.start)):
        before = ends[tuple(tree.start[n])]
        assert tree.path[n] == pytest.approx(tree.path[before] + 4.0)
        forks.setdefault(before, []).append(n)
    for before, daughters in forks.items():
        size = tree.radius[daughters]
        if len(daughters) == 2:  # a rod narrows by 0.985, then the cubes add up
            assert (size**3).sum() == pytest.approx((0.985 * tree.radius[before]) ** 3)
            assert 0.35 - 1e-9 <= (size[0] ** 3) / (size**3).sum() <= 0.65 + 1e-9
    assert tree.radius.min() >= 0.7 * 0.985 ** (1.4 * steps + 1)
    same = grow(root, (0, 2, 0), radius, branching, np.random.default_rng(seed))
    assert np.array_equal(same.end, tree.end)


def test_daughters_turn_away_to_either_side_the_thinner_one_further() -> None:
    straight = Branching(2, step_mm=5.0, steps=1, spread=40.0, wander=0.0)
    tree = grow((0, 0, 0), (0, 0, 1), 3.0, straight, np.random.default_rng(5))
    along = (tree.end - tree.start) / 5.0
    turned = np.rad2deg(np.arccos(np.clip(along[2::2] @ along[0], -1, 1)))
    part = (tree.radius[2::2] / (3.0 * 0.985**2)) ** 3
    assert turned == pytest.approx(40.0 * (1.3 - part)) and part.sum() == pytest.approx(1)
    # both in one plane with their parent
    assert np.cross(along[0], along[2]) @ along[4] == pytest.approx(0, abs=1e-9)
    assert np.cross(along[0], along[2]) @ np.cross(along[0], along[4]) < 0
