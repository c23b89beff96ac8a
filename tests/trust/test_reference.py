"""The verdict with an exact reference: noise that is left passes, structure lost or invented does not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.result import Result
from meddenoise.series import Series
from meddenoise.trust import Values, judge
from meddenoise.trust.reference import examine_reference, judge_by_reference


@pytest.fixture(scope="module")
def head() -> tuple[Series, Series, Result]:
    """A noisy slice of 128 pixels, its exact reference, and the result of `direct`."""
    phantom = make_phantom("mr", size=128, planes=1, seed=0)
    noisy, clean = (
        to_series(phantom, values, "head")
        for values in (acquire(phantom, dose_noise(phantom), 0)[0], phantom.truth)
    )
    return noisy, clean, denoise_series(noisy, Options(method="direct", device="cpu"))


def error(series, clean):
    return float(np.sqrt(np.mean(np.square(series.values(0, 1) - clean.values(0, 1)))))


def changed(series, values):
    return replace(series, pixels=np.clip(np.rint(values), 0, 65535).astype(series.pixels.dtype))


def discs(noisy, contrast):
    """Six soft bright and dark discs, four pixels wide; contrast in the unit."""
    y, x = np.indices(noisy.pixels.shape[1:])
    places = ((40, 60), (52, 44), (60, 84), (76, 62), (84, 40), (88, 80))
    return sum(
        (-1) ** n * contrast * np.clip(4.5 - np.hypot(y - row, x - column), 0, 1)
        for n, (row, column) in enumerate(places)
    )


def verdict(noisy, result, clean, done):
    found = examine_reference(noisy, result, clean, done.seen_noise)
    return judge_by_reference(done.trust, found)


def test_a_result_far_nearer_to_the_truth_that_keeps_some_noise_is_ok(head):
    noisy, clean, done = head
    assert error(noisy, clean) > 1.6 * error(done.series, clean)  # from 23 to 28 dB
    found = verdict(noisy, done.series, clean, done)
    assert found.verdict == "ok", found.reasons


def test_the_noise_of_the_input_is_neither_lost_nor_invented(head):
    noisy, clean, done = head
    for result in (noisy, clean):
        values = examine_reference(noisy, result, clean, done.seen_noise).values
        assert values["reference_lost"] == values["reference_invented"] == 0


def test_a_blur_loses_structure(head):
    noisy, clean, done = head
    found = verdict(noisy, changed(noisy, gaussian_filter(noisy.values(0, 1), (0, 1.5, 1.5))), clean, done)
    assert found.verdict == "reject" and "a spot of the reference is missing" in found.reasons[0]


def test_discs_put_in_are_invented(head):
    noisy, clean, done = head
    level = done.seen_noise.sigma
    planted = changed(done.series, done.series.values(0, 1) + discs(noisy, 1.5 * level))
    assert verdict(noisy, planted, clean, done).verdict == "reject"


@pytest.mark.parametrize(("contrast", "verdicts"), [(1.5, {"reject"}), (0.9, {"look", "reject"})])
def test_discs_that_the_input_shows_and_the_result_lacks_are_lost(head, contrast, verdicts):
    noisy, clean, done = head
    lesions = discs(noisy, contrast * done.seen_noise.sigma)
    shown, truth = (changed(series, series.values(0, 1) + lesions) for series in (noisy, clean))
    assert verdict(shown, done.series, truth, done).verdict in verdicts


def test_without_a_value_the_verdict_stays(head):
    done = head[2]
    found = examine_reference(*(small(series) for series in (head[0], done.series, head[1])), done.seen_noise)
    assert set(found.values.values()) == {None} and "48 pixels" in found.notes[0]
    assert judge_by_reference(done.trust, found).verdict == done.trust.verdict


def test_where_hardly_any_pixel_is_image_the_verdict_stays_and_says_why(head):
    noisy, clean, done = head
    holes = [
        replace(one, pixels=one.pixels.copy(), padding=(65535, 65535)) for one in (noisy, done.series, clean)
    ]
    for one in holes:
        one.pixels[:, 40:] = 65535
        one.pixels[:, :, 50:] = 65535
    found = examine_reference(*holes, done.seen_noise)
    assert set(found.values.values()) == {None}
    judged = judge_by_reference(done.trust, found)
    assert judged.verdict == done.trust.verdict
    note = "the result was not checked against the reference: too few pixels are image."
    assert judged.notes == (*done.trust.notes, note)


def test_the_reference_speaks_in_place_of_the_input_and_the_other_checks_stay():
    seen = {"structure_lost": 2.0, "structure_invented": 1.3, "edges_lost": 9.0, "noise_left": 0.5}
    trust = judge(Values(seen, notes=("first.",)))
    assert trust.verdict == "reject"
    fine = judge_by_reference(trust, Values({"reference_lost": 0.1, "faint_lost": None}, notes=("then.",)))
    assert fine.values == {"noise_left": 0.5, "reference_lost": 0.1, "faint_lost": None}
    assert fine.verdict == "look" and fine.notes == ("first.", "then.")
    assert judge_by_reference(trust, Values({"reference_lost": 1.3})).verdict == "reject"


def small(series):
    return replace(series, pixels=series.pixels[:, :40, :40])
