"""The noise profile: measured from simulated sequences, kept in a file, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.engine.level import expect_noise
from meddenoise.errors import InputError, OutputError, UnsupportedError, UsageError
from meddenoise.noise import SignalVariance
from meddenoise.noise.models import XrayNoise
from meddenoise.noise.parse import parse_noise
from meddenoise.noise.profile import Counts, NoiseProfile
from meddenoise.noise.profile.curve import robust_variance
from meddenoise.noise.profile.file import read_profile, write_profile
from meddenoise.noise.profile.lag import covariance, differences, lag_of, predictions
from meddenoise.noise.profile.radial import RadialSpectrum, bands_of, correlation_length
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.noise.spectrum import (
    coloured_noise,
    ct_amplitude,
    detector_mtf,
    gaussian_amplitude,
    mean_power,
    radial_frequency,
    sampled_amplitude,
)
from meddenoise.noise.table import Scale
from meddenoise.normalize import fit_window
from meddenoise.phantom import make_phantom
from meddenoise.pipeline.profile import measure_profile
from meddenoise.series import Geometry, Series

MTF = 0.3


def as_series(pixels: np.ndarray, *, cine: bool = True, modality: str = "XA", name: str = "cine") -> Series:
    limits = np.finfo(pixels.dtype) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype)
    ends = float(limits.min), float(limits.max)
    return Series(
        pixels, np.ones(len(pixels)), np.zeros(len(pixels)), ends, Geometry(), "test", Path(name), (),
        modality=modality, frame_time_ms=66.7 if cine else None,
    )  # fmt: skip


def ramp(frames: int, size: int = 192) -> np.ndarray:
    """A still scene whose brightness rises fifteenfold from left to right."""
    row = np.linspace(200, 3000, size, dtype=np.float32)
    return np.broadcast_to(row, (frames, size, size)).copy()


def expose(truth: np.ndarray, noise: XrayNoise, seed: int) -> tuple[Series, NoiseInfo]:
    """A fluoroscopy run of a scene in whole numbers."""
    noisy, info = simulate(truth, noise, np.random.default_rng(seed))
    return as_series(np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)), info


def true_line(noise: XrayNoise, size: int) -> tuple[float, float]:
    """Gain and offset behind the scintillator and the recursive filter, rounding included."""
    passed = mean_power(detector_mtf(noise.mtf_nyquist)(radial_frequency(size, size)), size)
    kept = noise.recursion / (2 - noise.recursion)
    return noise.gain * passed * kept, noise.electronic**2 * kept + 1 / 12


def true_spectrum(noise: XrayNoise, truth: np.ndarray, profile: NoiseProfile) -> np.ndarray:
    """NPS in units of the local noise at the frequencies of a profile, mean over pixels, mean 1."""
    gain, offset = true_line(noise, truth.shape[-1])
    quantum = float(np.mean(gain * truth / (gain * truth + offset)))
    mtf = detector_mtf(noise.mtf_nyquist)
    passed = mean_power(mtf(radial_frequency(256, 256)), 256)
    return quantum * mtf(np.array(profile.frequency, np.float32)) ** 2 / passed + 1 - quantum


@settings(max_examples=4, deadline=None)
@given(
    gain=st.floats(10, 60),
    electronic=st.floats(3, 5),
    recursion=st.sampled_from([1.0, 0.8, 0.6]),
    seed=st.integers(0, 99),
)
def test_a_still_cine_gives_its_physics_back(gain, electronic, recursion, seed):
    """24 frames tell the offset with a standard error of 1 %; 2 % if electronic noise were half as strong."""
    truth = ramp(24)
    noise = XrayNoise(gain, electronic * gain, MTF, recursion)
    series, info = expose(truth, noise, seed)
    profile = measure_profile([series]).profile
    a, b = true_line(noise, truth.shape[-1])
    assert profile.source == "frames"
    assert profile.gain == pytest.approx(a, rel=0.05)
    assert profile.offset == pytest.approx(b, rel=0.05)
    assert profile.rho == pytest.approx(1 - recursion, abs=0.03)
    assert profile.sigma == pytest.approx(np.sqrt(np.mean(info.sigma**2)), rel=0.02)
    check_steps(profile, series, info)


def check_spectrum(profile: NoiseProfile, noise: XrayNoise, truth: np.ndarray) -> None:
    """Within 10 % up to Nyquist; patches have too few coefficients of the lowest ring and of the corners."""
    frequency = np.array(profile.frequency)
    measured, true = np.array(profile.power), true_spectrum(noise, truth, profile)
    shown = (frequency > 0.02) & (frequency <= 0.5)
    assert measured[shown] == pytest.approx(true[shown], rel=0.1)


def check_steps(profile: NoiseProfile, series: Series, info: NoiseInfo) -> None:
    """The matched step of every frame is within one of that of its true noise."""
    low, high = fit_window(series)
    schedule = get_schedule("linear-1000")
    assert len(profile.steps) == len(series)
    for step, sigma in zip(profile.steps, info.sigma, strict=True):
        true = schedule.index_of(2 * float(np.sqrt(np.mean(sigma**2))) / (high - low))
        assert abs(step - true) <= 1


@pytest.mark.parametrize(("recursion", "seed"), [(1.0, 0), (0.6, 1)])
def test_a_beating_heart_does_not_count_as_noise(recursion, seed):
    truth = make_phantom("fluoro", size=256, planes=16, seed=seed).truth
    gain = float(truth.mean()) / 40
    noise = XrayNoise(gain, 2 * gain, MTF, recursion)
    series, info = expose(truth, noise, seed + 10)
    profile = measure_profile([series]).profile
    a, b = true_line(noise, 256)
    assert profile.gain == pytest.approx(a, rel=0.05)
    assert profile.offset == pytest.approx(b, rel=0.05)
    assert profile.rho == pytest.approx(1 - recursion, abs=0.03)
    assert profile.counts.settled == 16
    assert 0 < profile.counts.moved < 0.2
    check_steps(profile, series, info)
    check_spectrum(profile, noise, truth)


@settings(max_examples=3, deadline=None)
@given(mtf=st.floats(0.15, 1), seed=st.integers(0, 99))
def test_the_spectrum_comes_back_at_every_frequency(mtf, seed):
    truth = ramp(16)
    noise = XrayNoise(20, 30, mtf)
    profile = measure_profile([expose(truth, noise, seed)[0]]).profile
    check_spectrum(profile, noise, truth)


def test_repeated_scans_give_what_frames_give_without_a_lag():
    truth, noise = ramp(6), XrayNoise(30, 60, MTF)
    series, info = expose(truth, noise, 3)
    repeats = [replace(series, pixels=series.pixels[k : k + 1], slope=np.ones(1), intercept=np.zeros(1),
                       frame_time_ms=None) for k in range(6)]  # fmt: skip
    measured = measure_profile(repeats)
    a, _ = true_line(noise, truth.shape[-1])
    assert measured.profile.source == "repeats"
    assert measured.profile.rho == 0
    assert measured.profile.gain == pytest.approx(a, rel=0.07)
    assert measured.profile.sigma == pytest.approx(np.sqrt(np.mean(info.sigma**2)), rel=0.02)
    counts = measured.profile.counts
    assert (counts.series, counts.planes, counts.settled) == (6, 6, 6)


def test_one_image_says_so_and_gives_what_the_estimator_gives():
    series, info = expose(ramp(1), XrayNoise(30, 60, MTF), 4)
    measured = measure_profile([replace(series, frame_time_ms=None)])
    assert measured.profile.source == "one image"
    assert "one image was used" in measured.notes[0]
    assert measured.profile.sigma == pytest.approx(np.sqrt(np.mean(info.sigma**2)), rel=0.2)


def test_frames_before_the_filter_has_settled_keep_their_own_level_alone():
    rng = np.random.default_rng(5)
    levels = np.array([40.0, 20.0, *[10.0] * 12])
    frames = ramp(14, 128) + levels[:, None, None] * rng.standard_normal((14, 128, 128))
    measured = measure_profile([as_series(frames.astype(np.float32))])
    assert measured.profile.sigma == pytest.approx(10, rel=0.03)
    assert np.array(measured.profile.sigmas) == pytest.approx(levels, rel=0.1)
    assert measured.profile.counts.settled == 12
    assert "2 of 14 planes are outside" in measured.notes[0]


def test_saturated_pixels_are_left_out_and_said():
    rng = np.random.default_rng(6)
    bright = np.clip(ramp(10, 128) / 3000 * 400, 0, 400) + 8 * rng.standard_normal((10, 128, 128))
    measured = measure_profile([as_series(np.clip(np.rint(bright), 0, 255).astype(np.uint8))])
    assert measured.profile.sigma == pytest.approx(8, rel=0.05)
    assert measured.profile.counts.saturated > 0.3
    assert "saturated" in measured.notes[-1]


def test_subtracted_images_have_one_level_for_every_brightness():
    rng = np.random.default_rng(7)
    scene = np.broadcast_to(np.linspace(-200, 200, 128), (8, 128, 128))
    level = 5 + 10 * np.linspace(0, 1, 128)
    frames = np.rint(scene + level * rng.standard_normal((8, 128, 128))).astype(np.int16)
    measured = measure_profile([as_series(frames)])
    assert measured.profile.gain == 0
    assert measured.profile.offset == pytest.approx(np.mean(level**2), rel=0.05)
    assert "subtracted" in measured.notes[0]


def test_colours_constants_motion_and_odd_sizes_are_refused_in_a_sentence():
    cine = as_series(np.zeros((6, 64, 64), np.uint8), name="flat.dcm")
    with pytest.raises(InputError, match=r"flat\.dcm shows no noise: its frames are equal"):
        measure_profile([cine])
    with pytest.raises(InputError, match=r"flat\.dcm shows no noise: give an image"):
        measure_profile([replace(cine, frame_time_ms=None)], "image")
    with pytest.raises(UnsupportedError, match="colour"):
        measure_profile([replace(cine, channels=3)])
    with pytest.raises(UsageError, match=r"small\.dcm has planes of 32 x 64 pixels, flat\.dcm of 64 x 64"):
        measure_profile([cine, as_series(np.zeros((6, 32, 64), np.uint8), name="small.dcm")])
    with pytest.raises(UsageError, match="single frame"):
        measure_profile([as_series(np.zeros((1, 64, 64), np.uint8))], "frames")
    with pytest.raises(UsageError, match="no kind of measurement 'films'"):
        measure_profile([cine], "films")
    with pytest.raises(UsageError, match="CT in no unit"):
        measure_profile([cine, replace(cine, modality="CT")])
    with pytest.raises(UnsupportedError, match="rescale"):
        measure_profile([as_series(np.full((3, 64, 64), 1e30, np.float32))])


@given(rho=st.floats(0, 0.94), order=st.integers(1, 2))
def test_the_lag_of_a_recursive_filter_is_read_off_its_differences(rho, order):
    weights = differences(order)
    ratio = covariance(weights, weights, rho, 1) / covariance(weights, weights, rho)
    assert lag_of(ratio, order) == pytest.approx(rho, abs=1e-3)
    assert np.square(weights).sum() == pytest.approx(1)
    if order == 1:
        assert lag_of(-(1 - rho) / 2, 1) == pytest.approx(rho, abs=1e-9)


@given(count=st.integers(2, 12), data=st.data())
def test_predictions_cancel_a_still_scene_and_leave_the_noise_of_one_frame(count, data):
    frame = data.draw(st.integers(0, count - 1))
    first, second = predictions(frame, count)
    assert first.sum() == pytest.approx(0) and second.sum() == pytest.approx(0)
    assert covariance(first, second, 0.0) == pytest.approx(1)


@given(share=st.floats(0, 0.05), whole=st.booleans(), seed=st.integers(0, 99))
def test_few_outliers_and_rounding_hardly_change_the_robust_variance(share, whole, seed):
    rng = np.random.default_rng(seed)
    values = 4 * rng.standard_normal(20000)
    values[rng.random(20000) < share] = 500
    values = np.rint(values) if whole else values
    assert robust_variance(values) == pytest.approx(16, rel=0.06)


@pytest.mark.parametrize("kernel_px", [0.8, 1.5])
def test_blurred_noise_is_correlated_over_its_kernel(kernel_px):
    assert correlation_length(gaussian_amplitude(kernel_px)) == pytest.approx(
        2 * np.sqrt(np.pi) * kernel_px, rel=0.01
    )
    assert correlation_length(np.ones_like) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("amplitude", [gaussian_amplitude(1.0), ct_amplitude(0.3)])
def test_steep_spectra_do_not_leak_into_empty_frequencies(amplitude):
    spectrum, noise = RadialSpectrum(), coloured_noise((6, 256, 256), amplitude, np.random.default_rng(8))
    for plane in noise:
        spectrum.add(plane, np.ones(plane.shape, bool))
    frequency, power = spectrum.mean()
    true = np.square(amplitude(np.array(frequency, np.float32))) / mean_power(
        amplitude(radial_frequency(256, 256)), 256
    )
    assert np.array(power)[1:] == pytest.approx(true[1:], rel=0.1, abs=0.05)
    measured = bands_of(sampled_amplitude(frequency, power))
    assert measured == pytest.approx(bands_of(amplitude), rel=0.06, abs=0.02)


numbers = st.floats(1e-3, 1e6)


@st.composite
def profiles(draw):
    frames = draw(st.integers(1, 5))
    return NoiseProfile(
        unit=draw(st.sampled_from(["", "HU"])), modality=draw(st.text("CTXA\"\\\n", max_size=4)),
        source=draw(st.sampled_from(["frames", "repeats", "one image"])),
        gain=draw(st.floats(-10, 10).filter(bool)), offset=draw(st.floats(-1e6, 1e6)), sigma=draw(numbers),
        means=(1.0, 2.0), deviations=(draw(numbers), 0.0),
        frequency=(0.1, 0.5), power=(draw(numbers), 0.0), correlation_px=draw(numbers),
        rho=draw(st.floats(0, 0.95)), window=(-draw(numbers), draw(numbers)),
        sigmas=tuple(draw(numbers) for _ in range(frames)), steps=tuple(range(frames)),
        counts=Counts(series=1, planes=frames, settled=frames, moved=draw(st.floats(0, 0.5))),
        spacing_mm=draw(st.sampled_from([(), (0.3, 0.7)])),
    )  # fmt: skip


@given(profile=profiles())
def test_a_profile_comes_back_from_its_file_bit_by_bit(profile, tmp_path_factory):
    path = tmp_path_factory.mktemp("p") / "profile.toml"
    write_profile(profile, path)
    assert read_profile(path) == profile


EXAMPLE = NoiseProfile(
    unit="", modality="XA", source="frames", gain=2.0, offset=9.0, sigma=20.0, frequency=(0.1, 0.5),
    power=(1.5, 0.5), correlation_px=1.4, window=(0.0, 255.0), sigmas=(20.0,), steps=(40,),
    counts=Counts(series=1, planes=1, settled=1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("gain = 2.0", "", "has no gain"),
        ("gain = 2.0", 'gain = "much"', "gain is much, it must be a number"),
        ("gain = 2.0", "gain = nan", "gain is nan, it must be a number"),
        ("gain = 2.0", "gain = 0", None),
        ("offset = 9.0", "offset = -9.0", None),
        ("rho = 0.0", "rho = 1.0", "rho is 1.0, it must be from 0 to below 1"),
        ("rho = 0.0", "rho = true", "rho is True, it must be a number"),
        ("power = [1.5, 0.5]", "power = [1.5]", "as long as frequency"),
        ("power = [1.5, 0.5]", "power = [0, 0]", "above 0 somewhere"),
        ("frequency = [0.1, 0.5]", "frequency = [0.5, 0.1]", "must be rising"),
        ("frequency = [0.1, 0.5]", "frequency = []", "must be rising"),
        ("steps = [40]", "steps = [1.5]", "whole numbers"),
        ("steps = [40]", "steps = [1, 2]", "as long as sigmas"),
        ("sigmas = [20.0]\nsteps = [40]", "sigmas = []\nsteps = []", "one number for each plane"),
        ("sigmas = [20.0]", "sigmas = [-1]", "one number for each plane, at least 0"),
        ("window = [0.0, 255.0]", "window = [3, 3]", "two rising numbers"),
        ('source = "frames"', 'source = "dreams"', "source is dreams, it must be one of frames"),
        ("sigma = 20.0", "sigma = -1", "at least 0"),
        ("sigma = 20.0", "sigma = 20.0\nsigmaa = 2", "did you mean 'sigma'"),
        ("format = 1", "format = 2", "format is 2"),
        ("spacing_mm = []", "", None),  # as profiles were written before
        ("spacing_mm = []", "spacing_mm = [0.3]", "it must be two numbers above 0"),
        ("[counts]", "[counted]", "no field 'counted'"),
        ("[noise]", "[noise", "not a noise profile"),
    ],
)
def test_every_fault_of_a_profile_is_named(old, new, told, tmp_path):
    path = tmp_path / "p.toml"
    write_profile(EXAMPLE, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if told is None:
        read_profile(path)
        return
    with pytest.raises(UsageError, match=told) as caught:
        read_profile(path)
    assert str(path) in str(caught.value)


def test_a_profile_that_is_not_there_or_not_toml_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_profile(tmp_path / "none.toml")
    with pytest.raises(OutputError, match=r"end it in \.toml"):
        write_profile(EXAMPLE, Path(tmp_path / "profile.json"))


def test_the_level_follows_the_brightness_of_new_images():
    dark, bright = (np.full((1, 32, 32), value, np.float32) for value in (100, 400))
    valid = np.ones((1, 32, 32), bool)
    assert EXAMPLE.estimate(dark, valid).sigma == pytest.approx(np.sqrt(209))
    assert EXAMPLE.estimate(bright, valid).sigma == pytest.approx(np.sqrt(809))
    assert EXAMPLE.estimate(dark, valid).variance == SignalVariance(2.0, 9.0)
    level = replace(EXAMPLE, gain=0.0).estimate(bright, valid)
    assert level.sigma == 20.0 and level.variance is None


def test_frames_of_a_profile_go_on_settled_and_several_runs_are_pooled():
    counts = Counts(series=2, planes=6, settled=4)
    profile = replace(EXAMPLE, sigmas=(60.0, 30.0, 20.0, 80.0, 30.0, 20.0), counts=counts)
    assert profile.levels(5) == (70.0, 30.0, 20.0, 20.0, 20.0)
    assert profile.levels(2) == (70.0, 30.0)
    assert replace(profile, sigmas=profile.sigmas[:5]).levels(5) is None
    assert replace(profile, source="repeats").levels(5) is None


def test_simulated_cines_take_the_levels_of_the_frames_that_were_measured(tmp_path):
    counts = Counts(series=1, planes=3, settled=1)
    profile = replace(EXAMPLE, sigmas=(60.0, 30.0, 20.0), steps=(90, 60, 40), counts=counts)
    path = tmp_path / "profile.toml"
    write_profile(profile, path)
    scale = Scale(peak=400, mean=200, pixel_mm=1.0, cine=True, unit=profile.unit, modality=profile.modality)
    cine, volume = parse_noise(str(path), scale), parse_noise(str(path), replace(scale, cine=False))
    assert cine.ratios == (3.0, 1.5, 1.0)
    assert volume.ratios == ()


@pytest.mark.parametrize("frames", [3, 12])
def test_a_run_keeps_the_ratio_of_its_frames_under_a_profile_of_fewer_frames(frames):
    true = np.array([4.0, 1.6, *[1.0] * 10])[:frames]
    rng = np.random.default_rng(0)
    scene = np.tile(np.linspace(100, 140, 96, dtype=np.float32), (96, 1))
    noise = np.sqrt(2 * scene + 9) * true[:, None, None] * rng.standard_normal((frames, 96, 96))
    values = (scene + noise).astype(np.float32)
    run = Series(
        pixels=values, slope=np.ones(frames), intercept=np.zeros(frames), stored_range=(-1e9, 1e9),
        geometry=Geometry(), format="dicom", path=Path("run.dcm"), files=(), modality="XA",
        frame_time_ms=66.0,
    )  # fmt: skip
    counts = Counts(series=1, planes=6, settled=4)
    profile = replace(EXAMPLE, sigmas=(64.0, 25.6, 16.0, 16.0, 16.0, 16.0), sigma=16.0, counts=counts)
    expected = expect_noise(run, profile)
    settled = np.sqrt(2 * 120 + 9)
    if frames > 3:
        assert [p.sigma for p in expected.planes] == pytest.approx((settled * true).tolist(), rel=0.12)
    assert all(plane.bands == expected.plane(0).bands for plane in expected.planes)
    still = expect_noise(replace(run, frame_time_ms=None), profile)
    assert [plane.sigma for plane in still.planes] == pytest.approx([settled] * frames, rel=0.05)
