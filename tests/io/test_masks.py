"""Images that lie together in the patient, and masks that leave enough to fill in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import InputError
from meddenoise.io import write
from meddenoise.io.masks import lie_together, read_hole, read_mask
from meddenoise.io.memory import as_series
from meddenoise.series import Geometry, Series
from tests.plain import series

PLACE = Geometry((3.0, 0.5, 0.8), (-20.0, 5.0, 7.0))
SHAPE = (4, 24, 32)


def image(geometry: Geometry = PLACE, **facts: Any) -> Series:
    return series(np.ones(SHAPE, np.float32), geometry=geometry, **facts)


def save(path: Path, mask: np.ndarray) -> Path:
    write(as_series(mask.astype(np.float32), spacing_mm=1.0), path, format="nifti")
    return path


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2), st.floats(-0.6, 0.6))
def test_two_places_are_the_same_up_to_half_a_pixel(axis: int, off: float) -> None:
    # a quarter of a millimetre: half of the lesser of the spacings of a pixel
    x, y, z = np.array(PLACE.origin_mm) + off * np.eye(3)[axis]
    assert lie_together(image(replace(PLACE, origin_mm=(x, y, z))), image()) == (abs(off) <= 0.25 + 1e-12)


@pytest.mark.parametrize(
    ("spacing", "together"),
    [
        ((3.08, 0.5, 0.8), True), ((3.09, 0.5, 0.8), False),  # three steps between four planes
        ((3.0, 0.51, 0.8), True), ((3.0, 0.512, 0.8), False),  # 23 between the rows
        ((3.0, 0.5, 0.808), True), ((3.0, 0.5, 0.809), False),  # 31 between the columns
    ],
)  # fmt: skip
def test_outer_voxels_tell_another_spacing(spacing: Any, together: bool) -> None:
    assert lie_together(image(replace(PLACE, spacing_mm=spacing)), image()) == together


def test_frames_of_a_cine_have_no_way_and_projections_no_place() -> None:
    slow, other = replace(PLACE, spacing_mm=(9.0, 0.5, 0.8)), replace(PLACE, origin_mm=(99.0, 0.0, 0.0))
    assert not lie_together(image(slow), image())
    assert lie_together(image(slow), image(frame_time_ms=40.0))
    assert lie_together(image(other), image(modality="DX")) and not lie_together(image(other), image())
    turned = replace(PLACE, axes=(PLACE.axes[0], PLACE.axes[2], PLACE.axes[1]))
    assert not lie_together(image(turned), image())


@pytest.mark.parametrize("share", [0.5, 0.9, 0.91])
def test_up_to_nine_tenths_of_what_is_image_is_filled(share: float, tmp_path: Path) -> None:
    unplaced = Geometry(known=False)
    whole = image(unplaced)
    whole.pixels[2, :4] = np.nan  # 640 pixels of plane 3 are image
    mask = np.zeros(SHAPE)
    mask[2, 4:].flat[: round(share * 640)] = -2
    path = save(tmp_path / "mask.nii", mask)
    if share > 0.9:
        with pytest.raises(InputError, match=r"covers 91% of plane 3 of .*; up to 90% is filled in"):
            read_hole(path, whole)
        assert read_mask(path, whole, "measured").sum() == round(share * 640)
    else:
        assert np.array_equal(read_hole(path, whole), mask != 0)


def test_masks_of_another_number_of_planes_or_without_a_mark_are_refused(tmp_path: Path) -> None:
    whole = image(Geometry(known=False))
    one = np.zeros(SHAPE[1:])
    one[3, 4] = 1
    assert read_mask(save(tmp_path / "one.nii", one), whole, "measured").sum() == SHAPE[0]
    with pytest.raises(InputError, match=r"has 3 x 24 x 32 pixels, in\.nii has 4 x 24 x 32"):
        read_mask(save(tmp_path / "three.nii", np.ones((3, 24, 32))), whole, "measured")
    with pytest.raises(InputError, match=r"is 0 everywhere on .*: mark the part to be measured"):
        read_mask(save(tmp_path / "none.nii", np.zeros(SHAPE)), whole, "measured")
    with pytest.raises(InputError, match="is elsewhere in the patient"):
        read_mask(save(tmp_path / "all.nii", np.ones(SHAPE)), image(), "measured")
