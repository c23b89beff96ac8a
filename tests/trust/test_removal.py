"""Noise before, after and removed: near the truth, on the same places, and silent where it cannot be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from meddenoise.metrics.flat import find_places
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.models import RicianNoise
from meddenoise.noise.simulate import simulate
from meddenoise.phantom import make_phantom
from meddenoise.trust.removal import Removal, measure_removal, noise_entry
from tests.page_samples import series

SHAPE = (160, 192)
SIGMA = 20.0
Y, X = np.indices(SHAPE)
TRUTH = (300.0 + 40 * np.sin(X / 19)) * (np.hypot(Y - 80, X - 96) < 70)
ALL = np.ones(SHAPE, bool)


def estimates(*levels):
    return SeriesNoise(tuple(NoiseEstimate(level) for level in levels))


def noise(planes=1, seed=0, width=0.0):
    """Noise of level 1, white or blurred."""
    made = np.random.default_rng(seed).normal(0, 1, (planes, *SHAPE))
    if width:
        made = np.stack([gaussian_filter(plane, width) for plane in made])
    return made / made.std()


@pytest.mark.parametrize("width", [0.0, 0.7, 1.0])
def test_the_noise_of_white_and_of_coarse_noise_is_near_the_truth(width):
    places = find_places(TRUTH + SIGMA * noise(width=width)[0], ALL)
    assert len(places) >= 6
    # a place of 16 pixels sees less of the coarsest noise: its own mean is taken out
    assert places.cut(SIGMA * noise(width=width)[0]).std() == pytest.approx(SIGMA, rel=0.12)
    assert places.cut(TRUTH + SIGMA * noise(width=width)[0]).std() == pytest.approx(SIGMA, rel=0.12)
    assert places.cut(TRUTH).std() < 0.25 * SIGMA


def test_places_lie_in_the_bright_part_and_on_no_edge():
    places = find_places(TRUTH + SIGMA * noise()[0], ALL)
    inside = np.stack([TRUTH[y : y + places.side, x : x + places.side] for y, x in places.corners])
    assert inside.min() > 200


@pytest.mark.parametrize("percent", [3.0, 6.0])
def test_the_few_flat_places_of_a_brain_are_found(percent):
    phantom = make_phantom("mr", size=256, planes=1, seed=9000)
    sigma = percent / 100 * float(np.percentile(phantom.truth, 99.9))
    noisy = simulate(phantom.truth, RicianNoise(sigma), np.random.default_rng(0))[0][0]
    places = find_places(noisy, np.ones(noisy.shape, bool))
    assert places.cut(noisy).std() == pytest.approx(sigma, rel=0.1)
    assert places.cut(phantom.truth[0]).std() < 0.3 * sigma


def test_texture_alone_has_no_flat_place():
    texture = 300 * np.sin(X / 3.0) * np.cos(Y / 3.5) + noise()[0]
    assert find_places(texture, ALL) is None
    assert find_places(np.zeros(SHAPE), ALL) is None
    assert find_places(np.full((12, 200), 5.0), np.ones((12, 200), bool)) is None


def test_before_after_and_removed_are_those_of_the_same_places():
    noisy, after = series(TRUTH + SIGMA * noise()), series(TRUTH + 0.25 * SIGMA * noise())
    found = measure_removal(noisy, after)
    assert found.before == pytest.approx(SIGMA, rel=0.06)
    assert found.after == pytest.approx(0.25 * SIGMA, rel=0.1)
    assert found.removed == pytest.approx(0.75 * SIGMA, rel=0.06)
    assert found.left == pytest.approx(0.25, rel=0.02)
    assert found.misfit("HU") == ""
    # the histogram and the spectra say the same
    assert found.values.std(axis=1) == pytest.approx([found.before, found.after], rel=0.05)
    assert [np.sqrt(one.variance) for one in found.spectra] == pytest.approx(
        [found.before, found.after], rel=0.05
    )


def test_the_places_do_not_depend_on_the_result():
    noisy = series(TRUTH + SIGMA * noise())
    results = [series(TRUTH[None]), series(np.zeros((1, *SHAPE))), noisy]
    before = {measure_removal(noisy, result).before for result in results}
    assert len(before) == 1


def test_other_noise_in_place_of_the_old_does_not_fit():
    noisy, other = series(TRUTH + SIGMA * noise()), series(TRUTH + SIGMA * noise(seed=9))
    sentence = measure_removal(noisy, other).misfit("HU")
    assert "do not fit together" in sentence and "HU were removed" in sentence
    assert measure_removal(noisy, noisy).misfit("HU") == ""


def test_every_plane_has_its_own_numbers_and_a_blank_one_none():
    levels = np.array([5.0, 20.0, 0.0, 40.0])
    planes = TRUTH + levels[:, None, None] * noise(4)
    planes[2] = 0
    found = measure_removal(series(planes), series(np.where(planes == 0, 0, TRUTH)))
    assert found.by_plane[2] == (None, None)
    measured = [found.by_plane[n][0] for n in (0, 1, 3)]
    # 5 is raised by the slope of the image that no place is free of
    assert measured == pytest.approx([5.0, 20.0, 40.0], rel=0.15)
    assert found.before == pytest.approx(measured[1])


def test_without_a_flat_place_all_is_none():
    blank = series(np.zeros((2, *SHAPE)))
    found = measure_removal(blank, blank)
    assert (found.before, found.after, found.removed, found.left) == (None,) * 4
    assert noise_entry(found, "HU") == {
        "sigma_before": None, "sigma_after": None, "removed_rms": None, "unit": "HU",
        "by_plane": [[None, None]] * 2,
    }  # fmt: skip
    assert found.misfit("HU") == "" and noise_entry(None, "")["by_plane"] == []


def test_a_colour_frame_is_one_frame():
    planes = TRUTH + SIGMA * noise(6)
    colour = replace(series(planes), channels=3)
    found = measure_removal(colour, colour)
    assert len(found.by_plane) == 2 and found.before == pytest.approx(SIGMA, rel=0.06)


def test_pixels_that_are_no_image_are_left_out():
    planes = TRUTH + SIGMA * noise()
    planes[:, :, :100] = -2000
    padded = replace(series(planes), padding=(-2000.0, -2000.0))
    assert measure_removal(padded, padded).before == pytest.approx(SIGMA, rel=0.1)


def test_a_plane_that_shows_more_than_its_level_holds_structure_and_a_louder_one_does_not():
    planes = TRUTH + np.array([20.0, 20.0, 20.0, 60.0])[:, None, None] * noise(4)
    noisy = series(planes)
    loud = measure_removal(noisy, noisy, estimates(20, 20, 20, 60)).by_plane
    assert loud[3][0] == pytest.approx(60, rel=0.06)
    held = measure_removal(noisy, noisy, estimates(20, 20, 20, 20)).by_plane
    assert held[3] == (None, None) and held[:3] == loud[:3]


def test_places_that_show_many_times_the_estimated_level_hold_structure():
    noisy = series(TRUTH + SIGMA * noise(2))
    assert measure_removal(noisy, noisy, estimates(SIGMA / 3, SIGMA / 3)).before is None
    assert measure_removal(noisy, noisy, estimates(SIGMA / 2, SIGMA / 2)).before == pytest.approx(
        SIGMA, rel=0.06
    )


def test_places_with_some_structure_tell_how_much_is_left_but_are_not_shown_as_noise():
    noisy = series(TRUTH + SIGMA * noise(2))
    measured = measure_removal(noisy, noisy, estimates(0.7 * SIGMA, 0.7 * SIGMA))
    assert measured.left == pytest.approx(1) and not measured.flat
    shown = measured.of_noise()
    assert shown.before is None and shown.spectra is None and shown.by_plane == ((None, None),) * 2
    right = measure_removal(noisy, noisy, estimates(SIGMA, SIGMA))
    assert right.of_noise() is right


def test_noise_that_is_stronger_in_some_places_is_expected_there():
    field = np.ones((4, 4), np.float32)
    field[:, :2] = 0.3
    local = NoiseEstimate(SIGMA, field=field)
    noisy = series((TRUTH + noise_like(local, TRUTH, np.random.default_rng(0)))[None])
    found = measure_removal(noisy, noisy, SeriesNoise((local,)))
    assert found.flat and found.before > 0


levels = st.floats(0.1, 50)


@settings(max_examples=60, deadline=None)
@given(levels, st.floats(0, 1), st.floats(0, 100))
def test_the_share_left_of_noise_scaled_down_is_that_scale_whatever_structure_lies_in_the_places(
    sigma, share, structure
):
    before, after = np.hypot(sigma, structure), np.hypot(share * sigma, structure)
    gone = (1 - share) * sigma
    found = Removal(before, after, gone, gone * sigma)
    assert found.left == pytest.approx(share if gone > 0 else 1, abs=1e-6)
    # where nothing that was removed was there before, only the levels tell
    assert Removal(before, after, gone, 0.0).left == pytest.approx(min(1, after / before))
    assert Removal(before, 2 * before, before, -1.0).left == 1
    for missing in ("before", "after", "removed", "shared"):
        assert replace(found, **{missing: None}).left is None
        assert missing == "shared" or replace(found, **{missing: None}).misfit("HU") == ""
    assert Removal(0.0, 1.0, 1.0, 1.0).left is None


@settings(max_examples=60, deadline=None)
@given(levels, levels, st.floats(0, 2))
def test_numbers_fit_together_within_three_tenths(after, removed, ratio):
    before = np.hypot(after, removed) / ratio if ratio else 1e9
    said = Removal(before, after, removed, 1.0).misfit("HU")
    assert abs(abs(ratio - 1) - 0.3) < 1e-6 or bool(said) == (abs(ratio - 1) > 0.3)


@pytest.mark.parametrize(("share", "width"), [(0.5, 0.0), (0.5, 1.0), (0.25, 1.0)])
def test_noise_is_coarser_by_the_fall_of_its_mean_frequency_where_enough_is_left(share, width):
    fresh = SIGMA * noise(seed=4)
    after = share * SIGMA * (noise(seed=4, width=width) if width else noise(seed=4))
    found = measure_removal(series(TRUTH + fresh), series(TRUTH + after))
    if found.left < 0.3:
        assert found.coarser is None
    else:
        frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256)] * 2))
        power = np.exp(-((2 * np.pi * width * frequency) ** 2))
        fall = 1 - (power * frequency).sum() / power.sum() / frequency.mean()
        assert found.coarser == pytest.approx(fall, abs=0.1)
        assert replace(found, spectra=None).coarser is None
