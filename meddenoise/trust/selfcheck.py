"""Self-checks of a method without a reference: measured on one plane, through the engine.

| key | unit | what |
|---|---|---|
| leak | | share of each pixel's own noise that the result keeps: 0 for a blind spot, 1 for the input |
| residual_std_ratio | | standard deviation of the removed part, over that of the noise |
| residual_gradient_correlation | | correlation of the removed part with the edges of the result |
| residual_spectrum_distance | | relative distance of its power spectrum from that of the noise |
| sure | unit of the image, squared | estimated mean square error against the unknown truth |
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from meddenoise.engine import Engine
from meddenoise.engine.planes import MiddlePlane
from meddenoise.metrics import UndefinedError
from meddenoise.metrics.leak import Denoise, kept_share, sign_steps, spectral_steps
from meddenoise.metrics.measure import Measurement
from meddenoise.metrics.residual import gradient_correlation, nps_distance, std_ratio, sure
from meddenoise.noise import NoiseEstimate

MEASURES = (
    "leak",
    "residual_std_ratio",
    "residual_gradient_correlation",
    "residual_spectrum_distance",
    "sure",
)
CROP = 256
"""Largest side of what is looked at, in pixels: the measures are means over tens of thousands of pixels."""
SIGN_PROBES, SPECTRAL_PROBES = 4, 2
"""Each is one pass; at this size one alone is already within about 0.01 of their mean."""
SEED = 0
"""Of the probes, so that the same result is judged the same."""


def check_method(engine: Engine, plane: MiddlePlane, noise: NoiseEstimate, strength: float) -> Measurement:
    """The measures of the table above in the middle of a plane, None and a warning where one has no value.

    They are those of the result as it is written, blended with the input where `strength` is less than 1.
    It takes 7 passes, or runs of a sampler with one and the same noise.
    """
    seen = _look(engine, plane.crop(CROP), strength)
    result, before, sigma, valid = (
        part[0, 0].numpy() for part in (seen.clean, seen.noisy, seen.sigma, seen.valid)
    )
    residual = before - result
    warnings: list[str] = []
    measures = (
        lambda: _kept(seen, sign_steps(seen.sigma * seen.valid, SEED, SIGN_PROBES)),
        lambda: std_ratio(residual, sigma, valid),
        lambda: gradient_correlation(result, before, valid),
        lambda: nps_distance(residual, sigma, noise.bands, valid),
        lambda: sure(residual, sigma, valid, _noise_kept(seen, noise)),
    )
    values = {name: _value(name, measure, warnings) for name, measure in zip(MEASURES, measures, strict=True)}
    return Measurement(values, tuple(warnings))


def estimate_risk(engine: Engine, plane: MiddlePlane, noise: NoiseEstimate) -> float:
    """`sure` alone of the table above, in 3 passes. Raises UndefinedError where it has no value."""
    seen = _look(engine, plane.crop(CROP), 1.0)
    residual, sigma, valid = (
        part[0, 0].numpy() for part in (seen.noisy - seen.clean, seen.sigma, seen.valid)
    )
    return sure(residual, sigma, valid, _noise_kept(seen, noise))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A crop, what became of it, and the function that did it; all [1, 1, Y, X]."""

    denoise: Denoise
    noisy: Tensor
    sigma: Tensor
    valid: Tensor
    clean: Tensor


def _look(engine: Engine, sample: MiddlePlane, strength: float) -> _Seen:
    middle = sample.noisy.shape[1] // 2

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        planes = sample.noisy.copy()
        planes[:, middle] = noisy[:, 0].numpy()
        clean = torch.from_numpy(engine.run(planes, sigma[:, 0].numpy(), sample.index).clean)[:, None]
        return noisy + strength * (clean - noisy)

    noisy, sigma = torch.from_numpy(sample.noisy[:, middle, None]), torch.from_numpy(sample.sigma[:, None])
    valid = torch.from_numpy(sample.valid[:, None])
    return _Seen(denoise, noisy, sigma, valid, denoise(noisy, sigma))


def _kept(seen: _Seen, steps: Iterable[Tensor]) -> float:
    return kept_share(seen.denoise, seen.noisy, seen.sigma, seen.clean, steps)


def _noise_kept(seen: _Seen, noise: NoiseEstimate) -> float:
    """The share of the noise that the result keeps: neighbours whose noise is correlated bring some back."""
    if noise.model != "gaussian":
        raise UndefinedError(f"the noise is {noise.model}, not Gaussian")
    return _kept(seen, spectral_steps(seen.sigma * seen.valid, noise.bands, SEED, SPECTRAL_PROBES))


def _value(name: str, measure: Callable[[], float], warnings: list[str]) -> float | None:
    try:
        value = measure()
    except UndefinedError as error:
        warnings.append(f"{name} has no value: {error}.")
        return None
    return value
