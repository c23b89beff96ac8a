"""Protocols by name: the range of PSNR and SSIM is of the reference and its kind, never of a result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import InputError, UsageError
from meddenoise.metrics.presets import PRESETS, data_range, parse_preset
from meddenoise.series import Series
from tests.plain import series

PLANES = np.arange(-500, 268, dtype=np.int16).reshape(3, 16, 16)
BYTES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


def range_of(
    image: Series, preset: str = "auto", valid: np.ndarray | None = None
) -> tuple[float | None, str]:
    mask = np.ones(image.pixels.shape, bool) if valid is None else valid
    return data_range(image, mask, parse_preset(preset))


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=12)
    | st.sampled_from(PRESETS)
    | st.text(alphabet="0123456789:.-einfa", max_size=9).map("ct-window:{}".format)
)
def test_any_text_is_a_protocol_or_one_sentence(text: str) -> None:
    try:
        preset = parse_preset(text)
    except UsageError as error:
        assert repr(text) in str(error) and str(error).endswith(".")
    else:
        assert preset.name == text and (preset.window is None) == (not text.startswith("ct-window"))
        assert preset.window is None or preset.window[0] < preset.window[1]


@settings(max_examples=50, deadline=None)
@given(st.floats(-2000, 2000), st.floats(1, 4000))
def test_a_window_is_as_wide_as_it_says_about_its_centre(centre: float, width: float) -> None:
    low, high = parse_preset(f"ct-window:{centre!r}:{width!r}").window or (0, 0)
    assert (low + high) / 2 == pytest.approx(centre, abs=1e-6) and high - low == pytest.approx(width)
    found, _ = range_of(series(PLANES, modality="CT", unit="HU"), f"ct-window:{centre!r}:{width!r}")
    assert found == pytest.approx(width)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [({"modality": "CT"}, 2000.0), ({"unit": "HU"}, 2000.0), ({"modality": "MR"}, 767.0), ({}, 767.0)],
)
def test_auto_goes_by_what_the_reference_states(facts: dict[str, str], expected: float) -> None:
    assert range_of(series(PLANES, **facts))[0] == expected


def test_images_of_eight_bits_have_their_grey_levels_in_the_unit_of_the_image() -> None:
    assert range_of(series(BYTES))[0] == 255
    assert range_of(series(BYTES // 2, slope=np.full(1, -0.5)), "8bit")[0] == 127.5
    with pytest.raises(InputError, match=r"in\.nii is not an 8-bit image, .*: give patient-range"):
        range_of(series(PLANES), "8bit")


def test_the_range_of_a_patient_is_of_valid_pixels_and_there_is_none_of_a_constant() -> None:
    valid = np.ones(PLANES.shape, bool)
    valid[0] = valid[2] = False
    assert range_of(series(PLANES), "patient-range", valid)[0] == 255
    assert range_of(series(PLANES), "patient-range", ~valid & False)[0] is None
    assert range_of(series(np.full((2, 4, 4), 9, np.int16)))[0] is None


@pytest.mark.parametrize("preset", ["ct-hu", "ct-window:40:400"])
@pytest.mark.parametrize(
    ("facts", "said"), [({"modality": "MR"}, "is MR,"), ({"modality": "CT", "unit": "x"}, "is CT in x,")]
)
def test_a_protocol_of_ct_refuses_what_says_that_it_is_none(preset: str, facts, said: str) -> None:
    with pytest.raises(InputError, match=said):
        range_of(series(PLANES, **facts), preset)
