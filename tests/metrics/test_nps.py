"""Noise spectra, regions and edges whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.errors import InputError, UsageError
from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.mtf import measure_mtf, mtf_10, mtf_50
from meddenoise.metrics.nps import detrend, mean_frequency, measure_nps, nps_mean, nps_peak, peak_frequency
from meddenoise.metrics.regions import Box, Circle, parse_box, parse_edge
from meddenoise.metrics.residual import residual_nps_distance, residual_whiteness
from meddenoise.metrics.roi import roi_cnr, roi_nps_mean, roi_snr
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.spectrum import coloured_noise, ct_amplitude, gaussian_amplitude, white_noise

Planes = NDArray[np.float64]
SPACING = (0.7, 0.7)
Y, X = np.mgrid[:128, :128].astype(float)


def white(count: int = 6, side: int = 192, seed: int = 0) -> Planes:
    return white_noise((count, side, side), np.random.default_rng(seed)).astype(np.float64)


def whole(planes: Planes) -> list[tuple[Planes, NDArray[np.bool_]]]:
    return [(plane, np.ones(plane.shape, bool)) for plane in planes]


@pytest.mark.parametrize("spacing", [None, SPACING, (0.5, 1.5)])
def test_the_integral_of_the_spectrum_is_the_variance(spacing: tuple[float, float] | None) -> None:
    noise = 20 * white()
    nps = measure_nps(whole(noise), spacing)
    assert nps.variance == pytest.approx(400, rel=0.02)
    one = measure_nps(whole(noise[:1, :64, :64]), spacing)
    assert one.patches == 1
    assert one.variance == pytest.approx(detrend(noise[:1, :64, :64]).var(), rel=1e-9)


def test_white_noise_is_flat_at_its_variance_times_the_area_of_a_pixel() -> None:
    frequency, power = measure_nps(whole(20 * white()), SPACING).radial()
    assert frequency[0] == pytest.approx(1 / (64 * 0.7)) and frequency[-1] == pytest.approx(0.5 / 0.7)
    assert power[3:] == pytest.approx(np.full(len(power) - 3, 400 * 0.49), rel=0.1)


def test_coloured_noise_has_its_own_spectrum_peak_and_mean() -> None:
    amplitude = ct_amplitude(0.25)
    noise = coloured_noise((12, 256, 256), amplitude, np.random.default_rng(1)).astype(np.float64)
    nps = measure_nps(whole(noise), SPACING)
    frequency, power = nps.radial()
    expected = np.square(amplitude((frequency * 0.7).astype(np.float32)), dtype=np.float64)
    top = expected > 0.2 * expected.max()
    assert power[top] / power.max() == pytest.approx(expected[top] / expected.max(), abs=0.12)
    # sqrt(f) exp(-(f / c)²) squared is highest at c / 2
    assert peak_frequency(nps) == pytest.approx(0.125 / 0.7, rel=0.2)
    mean = (frequency * expected).sum() / expected.sum()
    assert mean_frequency(nps) == pytest.approx(mean, rel=0.03)
    zeros = np.zeros_like(noise)
    known = Protocol(spacing_mm=SPACING)
    assert nps_peak(zeros, noise, known) == peak_frequency(nps)
    assert nps_mean(zeros, noise, known) == pytest.approx(nps_mean(zeros, noise, Protocol()) / 0.7)


def test_a_slope_is_no_noise_and_holes_are_left_out() -> None:
    noise = white(2)
    rows, columns = np.indices(noise.shape[1:])
    tilted = measure_nps(whole(noise + 5 * rows - 3 * columns), None)
    assert tilted.variance == pytest.approx(measure_nps(whole(noise), None).variance, rel=1e-6)
    mask = np.ones(noise.shape, bool)
    mask[:, :40, :40] = False
    spoilt = np.where(mask, noise, 1e4)
    assert measure_nps(zip(spoilt, mask, strict=True), None).variance == pytest.approx(1, rel=0.05)
    with pytest.raises(UndefinedError, match="no patch of 16"):
        measure_nps(whole(noise[:, :15]), None)
    with pytest.raises(UndefinedError, match="no noise"):
        nps_mean(noise, noise, Protocol())


def test_what_was_removed_is_white_or_not_and_like_the_noise_or_not() -> None:
    noise = white()
    zeros = np.zeros_like(noise)
    assert residual_whiteness(zeros, noise, Protocol()) > 0.97
    smooth = coloured_noise(noise.shape, gaussian_amplitude(1.5), np.random.default_rng(2)).astype(np.float64)
    assert residual_whiteness(zeros, smooth, Protocol()) < 0.2
    known = Protocol(noise=NoiseEstimate(1.0))
    assert residual_nps_distance(zeros, noise, known) < 0.1
    assert residual_nps_distance(noise, noise, known) == pytest.approx(1)
    assert residual_nps_distance(zeros, smooth, known) > 0.7
    with pytest.raises(UndefinedError, match="not known"):
        residual_nps_distance(zeros, noise, Protocol())
    with pytest.raises(UndefinedError, match="no noise"):
        residual_whiteness(noise, noise, Protocol())


def test_snr_and_cnr_are_those_of_the_regions() -> None:
    image = 100 + 10 * white(4, 128)
    image[:, 60:, :] += 40
    first, second = Box(10, 10, 40, 40), Box(70, 70, 40, 40)
    protocol = Protocol(rois=(first, second))
    parts = [box.cut(image) for box in (first, second)]
    assert roi_snr(image, image, protocol) == pytest.approx(10, rel=0.03)
    deviations = [np.sqrt(part.var(axis=(1, 2), ddof=1).mean()) for part in parts]
    expected = abs(parts[0].mean() - parts[1].mean()) / np.sqrt(np.square(deviations).mean())
    assert roi_cnr(image, image, protocol) == pytest.approx(expected, rel=1e-9) == pytest.approx(4, rel=0.05)
    one = replace(protocol, rois=(replace(first, first=2, last=2), replace(second, first=3, last=3)))
    assert roi_snr(image, image, one) == pytest.approx(parts[0][1].mean() / parts[0][1].std(ddof=1))
    shaded = image + np.linspace(0, 200, 128)
    assert roi_snr(shaded, shaded, protocol) < 8 < roi_snr(shaded, shaded, protocol, detrended=True)
    below = image - 300
    assert roi_snr(below, below, protocol) == pytest.approx(20, rel=0.05)
    assert roi_nps_mean(image, image, protocol) == pytest.approx(0.26, abs=0.02)


def test_regions_that_are_small_constant_or_no_image_have_no_value() -> None:
    image = white(2, 64)
    for box, why in ((Box(0, 0, 9, 9), "fewer than 100"), (Box(0, 0, 20, 20), "outside the image")):
        spoilt = image.copy()
        spoilt[:, 5, 5] = np.nan
        with pytest.raises(UndefinedError, match=why):
            roi_snr(spoilt, spoilt, Protocol(rois=(box,)))
    with pytest.raises(UndefinedError, match="constant"):
        roi_snr(0 * image + 7, image, Protocol(rois=(Box(0, 0, 20, 20),)))
    with pytest.raises(UndefinedError, match="as many planes"):
        roi_cnr(image, image, Protocol(rois=(Box(0, 0, 20, 20), Box(0, 0, 20, 20, 1, 1))))


def edge(blur: float, angle: float = 5.0) -> Planes:
    """A step of 100 across the middle, `angle` degrees off the columns, blurred with a Gaussian."""
    fine = 8
    y, x = (
        (np.arange(128 * fine) + 0.5)[:, None] / fine - 0.5,
        (np.arange(128 * fine) + 0.5)[None] / fine - 0.5,
    )
    step = 100.0 * ((x - 63.3) * np.cos(np.radians(angle)) + (y - 63.3) * np.sin(np.radians(angle)) > 0)
    return gaussian_filter(step, blur * fine).reshape(128, fine, 128, fine).mean(axis=(1, 3))[None]


def half_frequency(blur: float, level: float) -> float:
    """Frequency at which the transfer of Gaussian blur and of the area of a pixel falls to `level`."""
    f = np.linspace(0, 1, 100001)
    return float(f[np.argmax(np.exp(-2 * (np.pi * blur * f) ** 2) * np.sinc(f) < level)])


@pytest.mark.parametrize("blur", [0.8, 1.5, 2.5])
@pytest.mark.parametrize("turned", [False, True])
def test_a_slanted_edge_has_the_mtf_of_its_blur(blur: float, turned: bool) -> None:
    image = edge(blur)
    image = np.swapaxes(image, 1, 2) if turned else image
    protocol = Protocol(edge=Box(40, 40, 48, 48))
    for measured, level in ((mtf_50, 0.5), (mtf_10, 0.1)):
        value = measured(image, image, protocol)
        assert value == pytest.approx(half_frequency(blur, level), rel=0.03)
        in_mm = measured(image, image, replace(protocol, spacing_mm=SPACING))
        assert in_mm == pytest.approx(value / 0.7)
    assert abs(measure_mtf(image, image, protocol).contrast) == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("blur", [0.8, 1.5])
def test_a_round_edge_has_the_mtf_of_its_blur_wherever_its_centre_is_said_to_be(blur: float) -> None:
    fine = 4
    t = (np.arange(128 * fine) + 0.5) / fine - 0.5
    disc = -60.0 * (np.hypot(t[:, None] - 60.3, t[None] - 66.8) < 24)
    image = gaussian_filter(disc, blur * fine).reshape(128, fine, 128, fine).mean(axis=(1, 3))[None]
    for circle in (Circle(60.3, 66.8, 24), Circle(62, 65.5, 23)):
        value = mtf_50(image, image, Protocol(edge=circle))
        assert value == pytest.approx(half_frequency(blur, 0.5), rel=0.05)


def test_noise_moves_the_mtf_little_where_the_edge_is_located_in_the_reference() -> None:
    image = edge(1.5)
    noisy = image + 10 * white(20, 128)
    value = mtf_50(noisy, np.broadcast_to(image, noisy.shape), Protocol(edge=Box(32, 32, 64, 64)))
    assert value == pytest.approx(half_frequency(1.5, 0.5), rel=0.1)
    blurred = gaussian_filter(noisy, (0, 1.5, 1.5))
    assert mtf_50(blurred, noisy, Protocol(edge=Box(32, 32, 64, 64))) < 0.85 * value


def test_what_is_no_edge_has_no_mtf() -> None:
    box = Protocol(edge=Box(32, 32, 64, 64))
    for image, why in (
        (0 * edge(1.0), "no edge"),
        (edge(1.0, angle=0.0), "along the pixels"),
        (0.1 * edge(1.0) + 30 * white(1, 128), "not straight"),
        (np.where(X == 50, np.nan, edge(1.0)), "not finite"),
    ):
        with pytest.raises(UndefinedError, match=why):
            mtf_50(image, image, box)
    with pytest.raises(UndefinedError, match="lost in the noise"):
        mtf_50(0.1 * edge(1.0) + 30 * white(1, 128), edge(1.0), box)
    with pytest.raises(UndefinedError, match="fewer than 6 pixels"):
        mtf_50(edge(1.0), edge(1.0), Protocol(edge=Box(60, 60, 5, 5)))
    ellipse = gaussian_filter(100.0 * (np.hypot((Y - 64) / 40, (X - 64) / 25) < 1), 1)[None]
    with pytest.raises(UndefinedError, match="not round"):
        mtf_50(ellipse, ellipse, Protocol(edge=Circle(64, 64, 32)))
    with pytest.raises(UndefinedError, match="not straight"):
        mtf_50(ellipse, ellipse, Protocol(edge=Box(24, 60, 80, 50)))
    with pytest.raises(UndefinedError, match="circle has no edge"):
        mtf_50(0 * edge(1.0), 0 * edge(1.0), Protocol(edge=Circle(64, 64, 20)))


def test_regions_are_read_as_they_are_written() -> None:
    for text in ("10,20,30,40", "10,20,30,40@3", "10,20,30,40@2-5"):
        assert str(parse_box(text, "--roi")) == text
    assert parse_box(" 1, 2,3 ,4@2", "--roi") == Box(1, 2, 3, 4, 2, 2)
    assert parse_edge("10.5,20,7", "--edge") == Circle(10.5, 20, 7)
    assert parse_edge("1,2,3,4", "--edge") == Box(1, 2, 3, 4)
    assert str(parse_edge("10.5,20,7@4", "--edge")) == "10.5,20,7@4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1,2,3",
        "1,2,3,4,5",
        "1.5,2,3,4",
        "1,2,0,4",
        "-1,2,3,4",
        "1,2,3,4@0",
        "1,2,3,4@5-2",
        "1,,3,4",
        "1.2.3,4,5,6",
    ],
)
def test_what_is_no_region_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--roi"):
        parse_box(text, "--roi")
    if text != "1,2,3":
        with pytest.raises(UsageError, match="--edge"):
            parse_edge(text, "--edge")


@pytest.mark.parametrize(
    "text", ["30,0,3,4", "0,30,4,3", "0,0,33,4", "0,0,4,4@3", "0,0,4,4@2-3", "2,16,3", "16,30,3"]
)
def test_a_region_outside_the_image_is_told_with_its_size(text: str) -> None:
    with pytest.raises(InputError, match=r"a\.dcm.*(32 x 32|it has 2)"):
        parse_edge(text, "--edge").check((2, 32, 32), "a.dcm")


def test_regions_move_with_a_crop_and_must_lie_in_it() -> None:
    crop = Box(10, 20, 30, 30)
    assert Box(12, 25, 5, 5, 2, 2).inside(crop) == Box(2, 5, 5, 5, 2, 2)
    assert Circle(20, 35, 4).inside(crop) == Circle(10, 15, 4)
    for region in (Box(9, 25, 5, 5), Box(36, 25, 5, 5), Circle(12, 35, 4)):
        assert region.inside(None) is region
        with pytest.raises(InputError, match="outside the crop 10,20,30,30"):
            region.inside(crop)
