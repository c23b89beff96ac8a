"""Shapes are at their exact distance from every pixel and cover their area; waves are of one length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.phantom.shapes import Plane, Waves, capsule, chord, coverage, ellipsoid, paint, smooth_union

some = settings(max_examples=30, deadline=None)
places = st.tuples(st.floats(-6, 6), st.floats(-6, 6))
radii = st.floats(2, 7)
turns = st.floats(-180, 180)
PLANE = Plane(48, 0.5)
X, Y = PLANE.grid()


def turned(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], angle: float) -> np.ndarray:
    """Coordinates along the axes of a shape, [2, ...]."""
    turn = np.deg2rad(angle)
    away = np.stack([x - centre[0], y - centre[1]])
    return np.einsum("ij,j...->i...", [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], away)


@pytest.mark.parametrize("size", [32, 33])
def test_pixels_lie_about_the_middle_x_along_columns_and_y_along_rows(size: int) -> None:
    plane = Plane(size, 0.25)
    x, y = plane.grid()
    assert x[0, 0] == y[0, 0] == -(size - 1) / 8 and x[0, -1] == -x[0, 0] == y[-1, 0]
    assert np.all(np.diff(x, axis=1) == 0.25) and np.all(np.diff(y, axis=0) == 0.25)


@some
@given(places, radii, st.floats(-5, 5))
def test_a_ball_is_cut_at_its_exact_distance(
    centre: tuple[float, float], radius: float, height: float
) -> None:
    found = ellipsoid(X, Y, (*centre, height), (radius,) * 3)
    exact = np.sqrt((X - centre[0]) ** 2 + (Y - centre[1]) ** 2 + height**2) - radius
    assert found == pytest.approx(exact, abs=2e-2 if abs(height) < 0.1 else 2e-3)


@some
@given(places, radii, radii, turns, st.floats(0, 2 * np.pi))
def test_an_ellipse_is_zero_on_its_outline_and_of_one_sign_on_each_side(
    centre: tuple[float, float], along: float, across: float, angle: float, at: float
) -> None:
    turn = np.deg2rad(angle)
    rim = np.array([along * np.cos(at), across * np.sin(at)])
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for scale, sign in ((0.8, -1), (1.0, 0), (1.25, 1)):
        x, y = (centre + axes @ (scale * rim)).astype(np.float32)
        found = float(ellipsoid(np.full((1, 1), x), np.full((1, 1), y), centre, (along, across), angle)[0, 0])
        if sign:
            assert np.sign(found) == sign
            # no farther than along the line from the middle, no nearer than the narrow side allows
            assert abs(found) <= abs(scale - 1) * np.hypot(*rim) * 1.01 + 1e-3
        else:
            assert found == pytest.approx(0, abs=1e-4)


@some
@given(places, places, st.floats(0, 3))
def test_a_rod_is_at_its_exact_distance(
    start: tuple[float, float], end: tuple[float, float], radius: float
) -> None:
    steps = np.linspace(0, 1, 400)[:, None, None]
    line = [a + steps * (b - a) for a, b in zip(start, end, strict=True)]
    exact = np.hypot(X - line[0], Y - line[1]).min(axis=0) - radius
    assert capsule(X, Y, start, end, radius) == pytest.approx(exact, abs=2e-2)


@some
@given(places, radii, radii, st.floats(0.5, 4))
def test_two_shapes_melt_only_where_they_are_near(
    centre: tuple[float, float], one: float, two: float, blend: float
) -> None:
    first, second = ellipsoid(X, Y, (0, 0), (one, one)), ellipsoid(X, Y, centre, (two, two))
    merged = smooth_union(first, second, blend)
    nearer, apart = np.minimum(first, second), np.abs(first - second)
    assert merged == pytest.approx(smooth_union(second, first, blend), abs=1e-4)
    # the polynomial smooth minimum of Quilez: a parabola below the least
    lower = np.maximum(blend - apart, 0) ** 2 / (4 * blend)
    assert merged == pytest.approx(nearer - lower, abs=1e-4)


@some
@given(places, radii, radii, radii, turns)
def test_a_chord_is_the_exact_depth_of_its_ellipsoid(
    centre: tuple[float, float], along: float, across: float, deep: float, angle: float
) -> None:
    u, v = turned(X, Y, centre, angle)
    exact = 2 * deep * np.sqrt(np.maximum(1 - (u / along) ** 2 - (v / across) ** 2, 0))
    # at the rim the slope is endless
    assert np.square(chord(X, Y, centre, (along, across, deep), angle)) == pytest.approx(exact**2, abs=2e-3)


@pytest.mark.parametrize(("radii", "angle"), [((6.0, 6.0), 0.0), ((8.0, 4.0), 30.0), ((3.0, 9.0), -50.0)])
def test_an_edge_covers_its_pixels_by_area(radii: tuple[float, float], angle: float) -> None:
    covered = coverage(ellipsoid(X, Y, (0.3, -0.2), radii, angle), PLANE.pixel_mm)
    assert covered.sum() * PLANE.pixel_mm**2 == pytest.approx(np.pi * np.prod(radii), rel=0.01)


def test_a_soft_edge_is_as_wide_as_a_pixel_and_its_softness() -> None:
    distance = np.linspace(-2, 2, 41)
    for soft in (0.0, 1.5):
        assert coverage(distance, 0.5, soft) == pytest.approx(np.clip(0.5 - distance / (0.5 + soft), 0, 1))


def test_paint_covers_what_is_inside_and_mixes_at_the_edge() -> None:
    image = np.array([[10.0, 10.0, 10.0]], np.float32)
    paint(image, np.array([[0.0, 0.25, 1.0]], np.float32), np.array([[50.0, 50.0, 30.0]]))
    assert image.tolist() == [[10.0, 20.0, 30.0]]


@pytest.mark.parametrize("wavelength", [6.0, 12.0])
def test_waves_are_of_their_length_and_of_variance_1(wavelength: float) -> None:
    rng = np.random.default_rng(3)
    fields = np.stack([Waves(wavelength, 50, rng, spread=0).on(Plane(64, 0.75)) for _ in range(40)])
    assert fields.var() == pytest.approx(1.0, rel=0.1) and fields.mean() == pytest.approx(0.0, abs=0.1)
    # of waves in all directions of space, two thirds of the power of the slope lie in the plane
    slopes = np.gradient(fields, 0.75, axis=(1, 2))
    seen = np.mean([np.square(slope).mean() for slope in slopes])
    step = 2 * np.pi / wavelength * 0.75
    loss = np.mean(np.sinc(step * np.linspace(0, 1, 101) / np.pi) ** 2 * 3 * np.linspace(0, 1, 101) ** 2)
    assert seen == pytest.approx((2 * np.pi / wavelength) ** 2 / 3 * loss, rel=0.15)


def test_waves_are_the_same_at_any_resolution_and_go_on_from_plane_to_plane() -> None:
    waves = Waves(12.0, 200, np.random.default_rng(0))
    fine, coarse = waves.on(Plane(63, 0.5, 3.0)), waves.on(Plane(21, 1.5, 3.0))
    assert fine[1::3, 1::3] == pytest.approx(coarse, abs=1e-4)
    near, far = (waves.on(Plane(63, 0.5, z)) for z in (3.1, 15.0))
    assert np.abs(near - fine).mean() < 0.06 < np.abs(far - fine).mean()
    # a wave longer or shorter by `spread`, no more
    lengths = 2 * np.pi / np.linalg.norm(waves._k, axis=0)
    assert 12 * np.exp(-0.2) <= lengths.min() < lengths.max() <= 12 * np.exp(0.2)


def test_the_distance_to_where_waves_are_zero_is_their_height_over_their_slope() -> None:
    plane = Plane(64, 0.5)
    waves = Waves(12.0, 1, np.random.default_rng(1))
    across = np.hypot(*waves._k[:2, 0]) / np.linalg.norm(waves._k[:, 0])
    near = np.abs(waves.on(plane)) < 0.2
    found = waves.distance(plane)
    assert found.min() >= 0 and found.max() < 12
    # of one wave: the arc sine of its height, over its frequency in space
    exact = np.arcsin(np.abs(waves.on(plane)) / np.sqrt(2)) / np.linalg.norm(waves._k[:, 0])
    assert found[near] == pytest.approx(exact[near], rel=0.05, abs=1e-3) and 0 < across <= 1
