"""Simulated noise has the level, the spectrum and the distribution that were asked for."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.errors import UnsupportedError, UsageError
from meddenoise.noise.ct import kernel_amplitude, project
from meddenoise.noise.insert import insert_noise
from meddenoise.noise.models import (
    CorrelatedNoise,
    CtDoseNoise,
    GaussianNoise,
    ImpulseNoise,
    ProfileNoise,
    RicianNoise,
    SpectralNoise,
    XrayNoise,
)
from meddenoise.noise.parse import measure, parse_noise
from meddenoise.noise.simulate import simulate
from meddenoise.noise.spectrum import coloured_noise, gaussian_amplitude, mean_power, radial_frequency
from meddenoise.noise.table import NOISES, Scale, worded
from meddenoise.series import Geometry, Series

WITHIN = 0.03
SCALE = Scale(peak=1000.0, mean=200.0, pixel_mm=0.7)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(value: float, planes: int = 64, size: int = 128) -> np.ndarray:
    return np.full((planes, size, size), value, np.float32)


def radial_nps(noise: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean power in rings of frequency, units² for pixels of size 1."""
    power = np.mean(np.abs(np.fft.rfft2(noise)) ** 2, axis=0) / (noise.shape[-1] * noise.shape[-2])
    ring = np.digitize(radial_frequency(*noise.shape[-2:]), edges)
    return np.array([power[ring == index].mean() for index in range(1, len(edges))])


def stated_nps(info, shape, edges: np.ndarray) -> np.ndarray:
    """The stated spectrum, averaged over the same rings."""
    grid = radial_frequency(*shape)
    power = np.interp(grid, info.frequency, info.nps)
    ring = np.digitize(grid, edges)
    return np.array([power[ring == index].mean() for index in range(1, len(edges))])


STATIONARY = [
    GaussianNoise(7.0),
    CorrelatedNoise(7.0, 0.8),
    CorrelatedNoise(7.0, 2.0),
    SpectralNoise(7.0, (0.0, 0.1, 0.3, 0.5, 0.7072), (0.2, 1.0, 2.0, 0.5, 0.5)),
    RicianNoise(7.0),
    RicianNoise(7.0, band=0.6),
    XrayNoise(gain=2.0, electronic=3.0),
    XrayNoise(gain=2.0, electronic=0.0, mtf_nyquist=1.0),
]


@pytest.mark.parametrize("options", STATIONARY, ids=str)
def test_level_and_spectrum_are_as_stated(options):
    clean = flat(500.0, planes=96)
    noisy, info = simulate(clean, options, rng())
    noise = noisy - clean
    noise -= noise.mean()
    assert noisy.dtype == np.float32
    assert info.sigma.shape == clean.shape
    assert noise.std() == pytest.approx(float(info.sigma.mean()), rel=WITHIN)
    edges = np.array([0.05, 0.12, 0.2, 0.28, 0.36, 0.44, 0.5])
    stated = stated_nps(info, (128, 128), edges)
    # where there is practically no power there is nothing to compare
    strong = stated > 0.02 * stated.max()
    assert radial_nps(noise, edges)[strong] == pytest.approx(stated[strong], rel=WITHIN)


@pytest.mark.parametrize("options", STATIONARY[:4], ids=str)
def test_sigma_is_the_one_asked_for(options):
    noise = simulate(flat(0.0), options, rng(1))[0]
    assert noise.std() == pytest.approx(7.0, rel=WITHIN)
    assert abs(noise.mean()) < 0.3


def test_the_spectrum_integrates_to_the_variance():
    _, info = simulate(flat(500.0, 1, 256), XrayNoise(2.0, 3.0), rng())
    power = mean_power(np.sqrt(np.interp(radial_frequency(256, 256), info.frequency, info.nps)), 256)
    assert power == pytest.approx(float(np.mean(info.sigma**2)), rel=WITHIN)


@pytest.mark.parametrize("shape", [(61, 64), (64, 61), (1, 33), (5, 64, 48)])
def test_coloured_noise_has_unit_variance_in_odd_and_even_planes(shape):
    noises = [coloured_noise(shape, gaussian_amplitude(0.7), rng(seed)) for seed in range(2000)]
    assert np.mean(np.square(noises)) == pytest.approx(1.0, rel=WITHIN)
    assert noises[0].shape == shape
    assert noises[0].dtype == np.float32


def test_neighbours_of_correlated_noise_are_correlated_as_the_kernel_says():
    noise = coloured_noise((64, 128, 128), gaussian_amplitude(1.0), rng())
    lag = np.mean(noise[:, :, 1:] * noise[:, :, :-1])
    assert lag == pytest.approx(np.exp(-0.25), rel=WITHIN)


def test_an_empty_spectrum_is_refused():
    with pytest.raises(ValueError, match="zero everywhere"):
        coloured_noise((8, 8), np.zeros_like, rng())


@pytest.mark.parametrize("coils", [1, 4])
def test_magnitude_noise_lifts_the_background_and_keeps_the_second_moment(coils):
    sigma = 10.0
    dark, _ = simulate(flat(0.0), RicianNoise(sigma, coils), rng())
    assert np.mean(dark**2) == pytest.approx(2 * coils * sigma**2, rel=WITHIN)
    bright, _ = simulate(flat(25.0), RicianNoise(sigma, coils), rng())
    assert np.mean(bright**2) == pytest.approx(25.0**2 + 2 * coils * sigma**2, rel=WITHIN)
    if coils == 1:
        assert dark.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=WITHIN)


def test_the_g_factor_raises_noise_in_the_middle():
    clean = flat(1000.0, 200, 64)
    noisy, info = simulate(clean, RicianNoise(5.0, g_peak=1.0), rng())
    measured = (noisy - clean).std(axis=0)
    assert measured[28:36, 28:36].mean() == pytest.approx(9.9, rel=WITHIN)
    assert measured.mean() == pytest.approx(float(info.sigma.mean()), rel=WITHIN)


def test_quantum_noise_grows_with_the_root_of_the_signal_and_is_unbiased():
    for level in (20.0, 200.0, 2000.0):
        noisy, info = simulate(flat(level), XrayNoise(gain=4.0, mtf_nyquist=1.0), rng())
        assert noisy.std() == pytest.approx(np.sqrt(4.0 * level), rel=WITHIN)
        assert float(info.sigma.mean()) == pytest.approx(np.sqrt(4.0 * level), rel=1e-3)
        assert noisy.mean() == pytest.approx(level, rel=0.01)


def test_the_scintillator_blurs_quantum_noise_and_leaves_electronic_noise_white():
    def neighbours(options):
        noise = simulate(flat(100.0), options, rng())[0] - 100
        return np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()

    assert neighbours(XrayNoise(gain=4.0, electronic=0.0)) > 0.2
    assert abs(neighbours(XrayNoise(gain=1e-9, electronic=5.0))) < 0.01


def test_the_recursive_filter_lowers_noise_and_ties_frames_together():
    weight = 0.5
    noise = simulate(flat(100.0, 200, 64), XrayNoise(4.0, 2.0, recursion=weight), rng())
    settled = noise[0] - 100
    assert settled.std() == pytest.approx(float(noise[1].sigma.mean()), rel=WITHIN)
    assert settled[0].std() == pytest.approx(settled[-1].std(), rel=0.08)
    lag = np.mean(settled[1:] * settled[:-1]) / settled.var()
    assert lag == pytest.approx(1 - weight, rel=WITHIN)
    whole = simulate(flat(100.0, 200, 64), XrayNoise(4.0, 2.0), rng())[0] - 100
    assert settled.var() / whole.var() == pytest.approx(weight / (2 - weight), rel=WITHIN)


def test_salt_and_pepper_hit_the_fraction_asked_for():
    noisy, info = simulate(flat(50.0), ImpulseNoise(0.02, low=0.0, high=100.0), rng())
    assert np.mean(noisy == 0) == pytest.approx(0.01, rel=WITHIN)
    assert np.mean(noisy == 100) == pytest.approx(0.01, rel=WITHIN)
    assert np.all((noisy == 50) | (noisy == 0) | (noisy == 100))
    assert (noisy - 50).std() == pytest.approx(float(info.sigma.mean()), rel=WITHIN)


def disk(size: int, radius_mm: float = 140.0, field_mm: float = 360.0) -> np.ndarray:
    axis = (np.arange(size) - (size - 1) / 2) * field_mm / size
    return np.where(np.hypot(axis[:, None], axis) < radius_mm, 0, -1000).astype(np.float32)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("kernel", ["hann", "ramp"])
def test_ct_noise_matches_its_sigma_map_from_the_middle_to_the_edge(kernel, fast):
    image = disk(192)
    options = CtDoseNoise(0.1, pixel_mm=360 / 192, kernel=kernel, fast=fast)
    noise, infos = zip(*(simulate(image, options, rng(seed)) for seed in range(12)), strict=True)
    noise = np.stack(noise) - image
    for rows in (slice(86, 106), slice(30, 45)):
        window = (rows, slice(66, 126))
        stated = np.sqrt(np.mean(infos[0].sigma[window] ** 2))
        assert noise[:, *window].std() == pytest.approx(stated, rel=WITHIN)
    assert infos[0].sigma[96, 96] > 1.3 * infos[0].sigma[30, 96]


def test_ct_noise_has_the_spectrum_of_its_kernel():
    image = disk(192)
    options = CtDoseNoise(0.1, pixel_mm=360 / 192)
    patches = [(simulate(image, options, rng(seed))[0] - image)[64:128, 64:128] for seed in range(100)]
    edges = np.array([0.05, 0.12, 0.2, 0.28, 0.36])
    # A window keeps the strong low frequencies from leaking into the weak high ones.
    taper = np.outer(np.hanning(64), np.hanning(64)).astype(np.float32)
    measured = radial_nps(np.stack(patches) * taper, edges) / np.mean(taper**2)
    amplitude = kernel_amplitude("hann")(radial_frequency(64, 64))
    ring = np.digitize(radial_frequency(64, 64), edges)
    expected = np.array([np.mean(amplitude[ring == index] ** 2) for index in range(1, len(edges))])
    assert measured / measured.sum() == pytest.approx(expected / expected.sum(), rel=WITHIN)


def test_ct_noise_agrees_with_a_whole_scan_simulated_by_skimage():
    transform = pytest.importorskip("skimage.transform")
    size, pixel, photons, fraction = 96, 3.5, 1e5, 0.25
    image = disk(size, 120.0, size * pixel)
    angles = np.linspace(0, 180, 144, endpoint=False)
    path = transform.radon(np.maximum(1 + image / 1000, 0) * 0.0195 * pixel, angles, circle=True)
    random, scans = rng(), []
    for _ in range(6):
        counts = random.poisson(fraction * photons * np.exp(-path))
        line = -np.log(np.maximum(counts, 1) / (fraction * photons))
        scans.append(transform.iradon(line - path, angles, filter_name="ramp", circle=True))
    reference = np.std(np.stack(scans)[:, 38:58, 38:58]) * 1000 / (0.0195 * pixel)
    # A truth without noise: all of the noise of `fraction` is inserted into a far better scan.
    options = CtDoseNoise(fraction / 1e3, pixel, photons * 1e3, electronic=0.0, kernel="ramp")
    ours = [(simulate(image, options, rng(seed))[0] - image)[38:58, 38:58] for seed in range(6)]
    assert np.std(ours) == pytest.approx(reference, rel=0.06)


def test_ct_noise_falls_with_dose_and_vanishes_at_full_dose():
    image = disk(96)
    levels = []
    for fraction in (0.05, 0.1, 0.2):
        options = CtDoseNoise(fraction, pixel_mm=3.75, photons=1e7)
        levels.append(float(simulate(image, options, rng())[1].sigma[48, 48] ** 2))
    assert levels[0] / levels[1] == pytest.approx(19 / 9, rel=WITHIN)
    assert levels[1] / levels[2] == pytest.approx(9 / 4, rel=WITHIN)
    noisy, info = simulate(image, CtDoseNoise(1.0), rng())
    assert np.array_equal(noisy, image)
    assert not info.sigma.any()


def test_starved_rays_stay_finite_and_below_the_gaussian_formula():
    image = np.where(disk(96) == 0, 2500, -1000).astype(np.float32)
    options = CtDoseNoise(0.01, pixel_mm=3.75, photons=2e4)
    noisy, info = simulate(image, options, rng())
    assert np.isfinite(noisy).all()
    assert np.isfinite(info.sigma).all()
    longest = 0.0195 * 3.5 * 280
    added = (1 / 0.01 - 1) * np.exp(longest) / 2e4
    assert info.sigma.max() < 1000 / (0.0195 * 3.75) * np.sqrt(added * np.pi**2 / 12 / 144)


def test_a_bowtie_filter_costs_photons_at_the_edge_only():
    air = np.full((96, 96), -1000, np.float32)
    photons = project(air, CtDoseNoise(0.5, photons=1e6, bowtie=0.2), 96, 8).photons
    middle = photons.shape[1] // 2
    assert photons[:, middle] == pytest.approx(1e6, rel=0.01)
    assert photons[:, middle + 48] == pytest.approx(2e5, rel=0.02)


def test_path_lengths_through_a_disk_are_its_chords():
    rays = project(disk(192), CtDoseNoise(0.5, pixel_mm=360 / 192, photons=1e6), 192, 16)
    paths = -np.log(rays.photons / 1e6)
    middle = paths.shape[1] // 2
    assert paths[:, middle] == pytest.approx(0.0195 * 280, rel=0.02)
    assert paths[:, middle + 40] == pytest.approx(0.0195 * 2 * np.sqrt(140**2 - 75**2), rel=0.03)


def test_ct_planes_need_not_be_square():
    image = np.zeros((2, 40, 72), np.float32)
    noisy, info = simulate(image, CtDoseNoise(0.1, pixel_mm=3.0), rng())
    assert noisy.shape == info.sigma.shape == (2, 40, 72)
    assert not np.array_equal(noisy[0], noisy[1])


@pytest.mark.parametrize("level", [20.0, 200.0])
def test_profile_noise_has_its_level_at_every_brightness_and_its_lag(level):
    noise = ProfileNoise(2.0, 30.0, (0.05, 0.25, 0.5), (1.6, 1.2, 0.4), rho=0.5)
    image = flat(level, 12, 128)
    noisy, info = simulate(image, noise, rng(6))
    added = noisy - image
    assert added.std() == pytest.approx(np.sqrt(2 * level + 30), rel=WITHIN)
    assert info.sigma == pytest.approx(np.sqrt(2 * level + 30), rel=1e-5)
    assert np.mean(added[1:] * added[:-1]) / np.mean(added**2) == pytest.approx(0.5, abs=0.02)
    still, magnitude = replace(noise, rho=0.0), replace(noise, rho=0.0, rician=True)
    dark = np.zeros((1, 128, 128), np.float32)
    assert simulate(dark, still, rng(7))[0].std() == pytest.approx(np.sqrt(30), rel=WITHIN)
    assert simulate(dark, magnitude, rng(7))[0].mean() == pytest.approx(np.sqrt(30 * np.pi / 2), rel=WITHIN)


def test_frames_that_were_noisier_when_measured_are_noisier_again():
    noise = ProfileNoise(2.0, 30.0, (0.05, 0.25, 0.5), (1.6, 1.2, 0.4), ratios=(3.0, 1.5, 1.0))
    image = flat(50.0, 5, 128)
    noisy, info = simulate(image, noise, rng(6))
    usual = np.sqrt(2 * 50 + 30)
    assert (noisy - image).std(axis=(1, 2)) == pytest.approx(usual * np.array([3, 1.5, 1, 1, 1]), rel=WITHIN)
    assert info.sigma[:2, 0, 0] == pytest.approx(usual * np.array([3, 1.5]), rel=1e-5)
    with pytest.raises(ValueError, match="a ratio must be at least 0"):
        replace(noise, ratios=(-1.0,))


def test_noises_add_in_order_with_variance_and_spectrum():
    clean = flat(100.0)
    steps = [XrayNoise(4.0, 2.0), CorrelatedNoise(6.0, 1.0), GaussianNoise(3.0)]
    noisy, info = simulate(clean, steps, rng(5))
    single = [simulate(clean, step, rng(5))[1] for step in steps]
    assert info.nps == pytest.approx(sum(each.nps for each in single), rel=1e-6)
    assert (noisy - clean).std() == pytest.approx(float(info.sigma.mean()), rel=WITHIN)
    assert [step["noise"] for step in info.applied] == ["xray", "correlated", "gaussian"]
    assert info.applied[1]["kernel_px"] == 1.0
    assert info.seed == 5


@pytest.mark.parametrize("name", NOISES)
def test_the_same_seed_gives_the_same_noise_and_leaves_the_image_alone(name):
    options = {
        "gaussian": GaussianNoise(3.0),
        "correlated": CorrelatedNoise(3.0),
        "spectral": SpectralNoise(3.0, (0.0, 0.5), (1.0, 0.5)),
        "rician": RicianNoise(3.0, coils=2, band=0.8, g_peak=0.5),
        "ct-dose": CtDoseNoise(0.2, pixel_mm=5.0),
        "xray": XrayNoise(2.0, 1.0, recursion=0.5),
        "salt-pepper": ImpulseNoise(0.1),
        "profile": ProfileNoise(0.2, 3.0, (0.1, 0.5), (1.5, 0.5), rho=0.4),
    }[name]
    clean = flat(40.0, 2, 48)
    clean[:, 10:20] = 80.0
    kept = clean.copy()
    first, again, other = (simulate(clean, options, rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(clean, kept)


def test_an_image_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\[Y, X\] or \[N, Y, X\]"):
        simulate(np.zeros(5, np.float32), GaussianNoise(1.0), rng())


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(-1.0),
        lambda: GaussianNoise(float("nan")),
        lambda: CorrelatedNoise(1.0, -1.0),
        lambda: SpectralNoise(1.0, (0.0, 0.5), (1.0,)),
        lambda: SpectralNoise(1.0, (0.5, 0.0), (1.0, 1.0)),
        lambda: SpectralNoise(1.0, (0.0, 0.5), (1.0, -1.0)),
        lambda: RicianNoise(1.0, coils=0),
        lambda: XrayNoise(0.0),
        lambda: XrayNoise(1.0, recursion=0.0),
        lambda: ImpulseNoise(1.5),
        lambda: CtDoseNoise(0.0),
        lambda: CtDoseNoise(1.5),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must|needs"):
        make()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("gaussian:25", GaussianNoise(25.0)),
        ("correlated:10", CorrelatedNoise(10.0, 1.0)),
        ("correlated:10:1.5", CorrelatedNoise(10.0, 1.5)),
        ("rician:5", RicianNoise(50.0)),
        ("rician:5:8", RicianNoise(50.0, 8)),
        ("ct-dose:0.25", CtDoseNoise(0.25, 0.7)),
        ("ct-dose:0.25:1e5", CtDoseNoise(0.25, 0.7, 1e5)),
        ("xray:50", XrayNoise(4.0, 8.0)),
        ("xray:50:0", XrayNoise(4.0, 0.0)),
        ("salt-pepper:0.01", ImpulseNoise(0.01)),
    ],
)
def test_noise_can_be_asked_for_in_words(text, options):
    assert parse_noise(text, SCALE) == options


def test_every_word_is_tested_and_names_its_own_form():
    for name, row in worded().items():
        assert row.form.startswith(f"{name}:")
        assert row.meaning


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gausian:5", "did you mean 'gaussian'"),
        ("gaussian", "it has 0 values"),
        ("gaussian:1:2", "it has 2 values"),
        ("gaussian:x", "must be numbers"),
        ("gaussian:-1", "sigma must be at least 0"),
        ("gaussian:nan", "sigma must be at least 0"),
        ("rician:5:1.5", "coils must be whole"),
        ("ct-dose:2", "from 0.0001 to 1"),
        ("xray:0", "quanta must be above 0"),
        ("salt-pepper:2", "from 0 to 1"),
    ],
)
def test_words_that_cannot_be_used_say_why_and_what_to_write(text, said):
    with pytest.raises(UsageError, match=said):
        parse_noise(text, SCALE)


def test_quanta_need_a_positive_mean():
    with pytest.raises(UsageError, match="not exposures"):
        parse_noise("xray:50", Scale(10.0, -3.0, 1.0))


def test_the_scale_of_an_image_ignores_what_is_no_number():
    values = np.array([[1.0, np.nan], [3.0, np.inf]], np.float32)
    assert measure(values, 0.5).mean == pytest.approx(2.0)
    assert measure(np.full((2, 2), np.nan, np.float32), 0.5) == Scale(0.0, 0.0, 0.5)


def series(tmp_path, pixels: np.ndarray, **changes) -> Series:
    info = np.iinfo(pixels.dtype)
    facts = {
        "slope": np.full(len(pixels), 2.0),
        "intercept": np.full(len(pixels), -1000.0),
        "stored_range": (float(info.min), float(info.max)),
        "geometry": Geometry(),
        "format": "dicom",
        "path": tmp_path,
        "files": (),
        **changes,
    }
    return Series(pixels=pixels, **facts)


def test_noise_in_a_series_is_in_its_units_and_spares_padding(tmp_path):
    pixels = np.full((4, 64, 64), 500, np.int16)
    pixels[:, :8] = -2000
    clean = series(tmp_path, pixels, padding=(-2000.0, -2000.0), modality="CT")
    result = insert_noise(clean, ["gaussian:30"], seed=3)
    noisy = result.series
    assert np.all(noisy.pixels[:, :8] == -2000)
    change = noisy.values(0, 4)[:, 8:] - clean.values(0, 4)[:, 8:]
    assert change.std() == pytest.approx(30.0, rel=WITHIN)
    assert noisy.pixels.dtype == np.int16
    assert noisy.derivation is not None
    assert noisy.derivation.verb == "noise added"
    assert result.infos[0].seed == 3
    assert result.cut == 0


def test_series_of_one_seed_get_noise_of_their_own_and_repeatably(tmp_path):
    clean = series(tmp_path, np.full((1, 32, 32), 500, np.int16))
    first, again = (insert_noise(clean, ["gaussian:30"], 3, 0).series.pixels for _ in range(2))
    other = insert_noise(clean, ["gaussian:30"], 3, 1).series.pixels
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_meets_the_end_of_the_range_is_counted(tmp_path):
    clean = series(tmp_path, np.full((1, 64, 64), 250, np.uint8))
    cut = insert_noise(clean, ["gaussian:20"], 0).cut
    assert cut == pytest.approx(0.31, abs=0.04)  # beyond +0.45 to +0.5 sigma


def test_noise_that_does_not_fit_a_series_is_refused(tmp_path):
    brain = series(tmp_path, np.zeros((1, 8, 8), np.int16), modality="MR")
    with pytest.raises(UnsupportedError, match="is MR, not CT"):
        insert_noise(brain, ["ct-dose:0.5"], 0)
    unnamed = series(tmp_path, np.full((1, 8, 8), 500, np.int16), modality="")
    with pytest.raises(UnsupportedError, match="no value below 0, as air has"):
        insert_noise(unnamed, ["ct-dose:0.5"], 0)
    colour = series(tmp_path, np.zeros((3, 8, 8), np.uint8), channels=3)
    with pytest.raises(UnsupportedError, match="colour"):
        insert_noise(colour, ["gaussian:5"], 0)
