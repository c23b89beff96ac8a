"""The bundled weights of befoi on beating coronaries, whose truth is known in every frame."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise import Options
from meddenoise.noise.models import XrayNoise
from meddenoise.noise.simulate import simulate
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.result import Result
from meddenoise.series import Series

Values = NDArray[np.float32]
FRAMES = 6
MOVED = 0.02
"""Change to either neighbour, relative to the frame's range, from which on a pixel counts as moved."""


@cache
def run(recursion: float = 1.0) -> tuple[Series, Values]:
    """Noisy frames of 192 x 192 pixels, and the truth."""
    phantom = make_phantom("fluoro", size=192, planes=FRAMES, seed=5)
    gain = float(phantom.truth.mean()) / 60
    noisy, _ = simulate(phantom.truth, XrayNoise(gain, 2 * gain, 0.3, recursion), np.random.default_rng(5))
    return to_series(phantom, noisy, "noisy"), phantom.truth


@cache
def denoised(method: str = "befoi", recursion: float = 1.0, weights: str | None = None) -> Result:
    options = Options(method=method, weights=weights, device="cpu", precision="fp32")
    return denoise_series(run(recursion)[0], options)


def inner(values: Values) -> Values:
    """Frames that have two neighbours."""
    return values[1:-1]


def rms(difference: Values) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def frames(series: Series) -> Values:
    return series.values(0, len(series))


def moved(truth: Values) -> NDArray[np.bool_]:
    change = np.maximum(np.abs(truth[1:-1] - truth[:-2]), np.abs(truth[1:-1] - truth[2:]))
    return change > MOVED * float(np.ptp(truth))


@pytest.mark.parametrize("recursion", [1.0, 0.6])
def test_frames_come_nearer_to_the_truth_than_one_by_one_and_than_their_average(recursion: float) -> None:
    noisy, truth = run(recursion)
    made = rms(frames(denoised(recursion=recursion).series) - truth)
    # the network of single frames that its student began as
    assert made < rms(frames(denoised("direct", recursion, "direct-fast").series) - truth)
    values = frames(noisy)
    average = (values[:-2] + values[1:-1] + values[2:]) / 3
    assert rms(inner(frames(denoised(recursion=recursion).series)) - inner(truth)) < 0.7 * rms(
        average - inner(truth)
    )


def ghost(made: Values, truth: Values) -> float:
    """Share of the neighbours in what moved of the frames; what is merely blurred left out."""
    mask, exact = moved(truth), inner(truth).astype(np.float64)
    beside = (truth[:-2] + truth[2:]) / 2
    lost = [np.stack([gaussian_filter(frame, width) for frame in exact]) for width in (0.7, 1.5, 3.0)]
    regressors = np.stack([(image - exact)[mask] for image in (beside, *lost)], axis=1)
    return float(np.linalg.lstsq(regressors, (inner(made) - exact)[mask], rcond=None)[0][0])


def test_moving_vessels_are_sharper_than_frame_by_frame_and_leave_next_to_no_ghosts() -> None:
    noisy, truth = run()
    made, single = frames(denoised().series), frames(denoised("direct").series)
    mask = moved(truth)
    assert mask.mean() > 0.01, "something moves"
    assert rms((inner(made) - inner(truth))[mask]) < rms((inner(single) - inner(truth))[mask])
    average = frames(noisy).copy()
    average[1:-1] = (average[:-2] + average[1:-1] + average[2:]) / 3
    assert ghost(average, truth) > 0.5
    assert ghost(made, truth) < 0.3


def test_a_frame_alone_is_denoised_and_told_of() -> None:
    noisy, truth = run()
    alone = replace(noisy, pixels=noisy.pixels[2:3], slope=noisy.slope[2:3], intercept=noisy.intercept[2:3])
    result = denoise_series(alone, Options(method="befoi", device="cpu", precision="fp32"))
    assert any("befoi works on each by itself" in text for text in result.warnings)
    assert rms(frames(result.series) - truth[2:3]) < 0.6 * rms(frames(alone) - truth[2:3])


def test_the_sampler_and_the_mixing_rules_run_on_frames_and_the_published_rule_keeps_the_noise() -> None:
    noisy, truth = run()
    options = Options(method="befoi", mode="diffusion", steps=4, device="cpu", precision="fp32")
    pairs = frames(denoise_series(noisy, options).series)
    assert rms(pairs - truth) < 0.6 * rms(frames(noisy) - truth)
    budgeted, faithful = (
        frames(denoise_series(noisy, replace(options, method=f"befoi-{rule}", mode=None)).series)
        for rule in ("mixing", "faithful")
    )
    assert rms(budgeted - truth) < rms(faithful - truth)


def test_unit_and_offset_of_the_pixels_do_not_matter() -> None:
    noisy = run()[0]
    limit = float(np.finfo(np.float32).max)
    other = replace(
        noisy, pixels=(frames(noisy) * 3 + 500).astype(np.float32), stored_range=(-limit, limit)
    )  # fmt: skip
    made = frames(denoise_series(other, Options(method="befoi", device="cpu", precision="fp32")).series)
    back, own = (made - 500) / 3, frames(denoised().series)
    assert rms(back - own) < 0.05 * rms(own - frames(noisy))
