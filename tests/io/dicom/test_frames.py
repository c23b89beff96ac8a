"""Places of frames become one geometry, and what is odd about them a sentence."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from meddenoise.io.dicom.frames import Frame, frames_of, geometry, oddities, positions

some = settings(max_examples=40, deadline=None)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frame(origin: Any = (0.0, 0.0, 0.0), **facts: Any) -> Frame:
    plain = {"orientation": AXIAL, "spacing": (0.6, 0.7), "step": 2.0, "slope": 1.0, "intercept": 0.0}
    return Frame(tuple(origin), **plain | {"rescale_type": None} | facts)


def stack(heights: Any, **facts: Any) -> list[Frame]:
    return [frame((1.0, 2.0, height), **facts) for height in heights]


@some
@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(0.3, 6), st.integers(1, 6))
def test_evenly_spaced_slices_are_placed_as_they_were(
    turn: float, lean: float, gap: float, count: int
) -> None:
    one, two = np.deg2rad([turn, lean])
    row = np.array([np.cos(one), np.sin(one), 0.0])
    column = np.array([-np.sin(one) * np.cos(two), np.cos(one) * np.cos(two), np.sin(two)])
    axis = np.cross(row, column)
    first = np.array([-30.0, 12.0, 7.0])
    frames = [frame(first + n * gap * axis, orientation=(*row, *column)) for n in range(count)]
    found = geometry(frames)
    assert found.known and found.origin_mm == pytest.approx(tuple(first))
    assert found.spacing_mm == pytest.approx((gap if count > 1 else 2.0, 0.6, 0.7))
    assert np.array(found.axes) == pytest.approx(np.stack([axis, column, row]), abs=1e-9)
    along = positions(frames)
    assert along is not None and np.diff(along) == pytest.approx([gap] * (count - 1))
    assert oddities(frames) == []


@some
@given(st.floats(-40, 40), st.floats(1, 5))
def test_tilted_slices_follow_each_other_along_the_way_they_take(degrees: float, gap: float) -> None:
    tilt = np.tan(np.deg2rad(degrees))
    frames = [frame((0.0, n * gap * tilt, n * gap)) for n in range(5)]
    found = geometry(frames)
    last = np.array(found.origin_mm) + 4 * found.spacing_mm[0] * np.array(found.axes[0])
    assert last == pytest.approx(np.array(frames[-1].origin))
    said = oddities(frames)
    assert bool(said) == (abs(degrees) > 1) or abs(abs(degrees) - 1) < 1e-6
    assert all(text.endswith(f"(gantry tilt of {abs(degrees):.0f} degrees)") for text in said)


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        ([0, 2, 2], ["1 of 3 planes repeat the position of another"]),
        ([0, 2, 2.004, 4, 4], ["2 of 5 planes repeat the position of another"]),
        ([0, 2, 4, 8, 10], ["slices are missing between the others (about 1)"]),
        ([0, 2, 4, 10, 12, 16], ["slices are missing between the others (about 3)"]),
        ([0, 2, 4.2, 6.2], ["slices are unevenly spaced (2.00 to 2.20 mm)"]),
        ([0, 2, 4.09, 6.09], []),
        ([0, 3], []),
    ],
)
def test_odd_heights_are_said_and_counted(heights: list[float], words: list[str]) -> None:
    assert oddities(stack(heights)) == words


def test_the_distance_is_that_of_most_slices_and_a_stated_one_only_where_all_are_at_one_place() -> None:
    assert geometry(stack([0, 3, 6, 15])).spacing_mm[0] == pytest.approx(3 * 15 / 15)
    assert geometry(stack([5, 5, 5])).spacing_mm == (2.0, 0.6, 0.7)
    assert geometry(stack([5, 5, 5], step=None)).spacing_mm[0] == 1.0
    assert geometry(stack([4], step=-1.0)).spacing_mm[0] == 1.0


@pytest.mark.parametrize(
    "facts",
    [
        {"orientation": ()},
        {"origin": ()},
        {"orientation": (0.0,) * 6},
        {"orientation": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)},
    ],
)
def test_without_a_place_there_is_a_spacing_only(facts: dict[str, Any]) -> None:
    frames = [frame(**({"origin": (3.0, 4.0, 5.0)} | facts))] * 2
    assert positions(frames) is None and oddities([*frames, *frames]) == []
    found = geometry(frames)
    assert found.spacing_mm == (2.0, 0.6, 0.7) and found.known
    assert found.origin_mm == ((0.0, 0.0, 0.0) if "origin" in facts else (3.0, 4.0, 5.0))


def test_frames_that_turn_are_no_stack_but_rounding_is_no_turn() -> None:
    turned = (1.0, 0.0, 0.0, 0.0, 0.995, 0.1)
    rounded = (1.0, 0.0, 0.0, 0.0, 1.0, 0.019)
    assert positions([frame(), frame((0, 0, 2), orientation=turned)]) is None
    assert positions([frame(), frame((0, 0, 2), orientation=rounded)]) is not None


@pytest.mark.parametrize("spacing", [(), (0.5,), (0.0, 0.5), (-1.0, 0.5)])
def test_a_spacing_that_is_none_is_not_known(spacing: tuple[float, ...]) -> None:
    found = geometry(stack([0, 3], spacing=spacing))
    assert not found.known and found.spacing_mm == pytest.approx((3.0, 1.0, 1.0))


def test_the_first_element_that_states_something_counts() -> None:
    dataset = Dataset()
    dataset.ImagerPixelSpacing = [0.2, 0.3]
    dataset.SliceThickness, dataset.SpacingBetweenSlices = 5, -4
    dataset.ImageOrientationPatient = [1, 0, 0]
    dataset.RescaleIntercept = -1024
    dataset.XRayTubeCurrent = 70
    (found,) = frames_of(dataset, 1)
    assert (found.spacing, found.step, found.orientation) == ((0.2, 0.3), 4.0, ())
    assert (found.slope, found.intercept, found.rescale_type) == (1.0, -1024.0, None)
    assert found.exposures == (0, 0, 0, 70)
    dataset.PixelSpacing, dataset.SpacingBetweenSlices = [0.1, 0.1], 0
    dataset.RescaleSlope, dataset.RescaleType = 2, "HU"
    (found,) = frames_of(dataset, 1)
    assert (found.spacing, found.step, found.slope, found.rescale_type) == ((0.1, 0.1), 5.0, 2.0, "HU")


def test_groups_of_a_frame_win_over_shared_ones_and_those_over_the_header() -> None:
    def group(x: float) -> Dataset:
        place, holder = Dataset(), Dataset()
        place.ImagePositionPatient = [x, 0, 0]
        holder.PlanePositionSequence = [place]
        return holder

    dataset = Dataset()
    dataset.ImagePositionPatient, dataset.PixelSpacing = [9, 0, 0], [1, 1]
    dataset.SharedFunctionalGroupsSequence = [group(5)]
    assert [one.origin[0] for one in frames_of(dataset, 2)] == [5, 5]
    dataset.PerFrameFunctionalGroupsSequence = [group(1)]
    found = frames_of(dataset, 2)
    assert [one.origin[0] for one in found] == [1, 5] and found[0].spacing == (1, 1)
