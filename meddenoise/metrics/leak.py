"""Leak of a denoiser: the share of the noise it lets through, on real images without a reference."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from meddenoise.metrics import UndefinedError
from meddenoise.noise import BAND_EDGES
from meddenoise.noise.spectrum import coloured_noise
from meddenoise.series import Image

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(noisy [B, 1, H, W], sigma [B] or [B, 1, H, W]) -> clean [B, 1, H, W]; every call draws the same noise."""

STEP = 0.1
"""Size of a perturbation in sigmas: well above rounding, and small against what shapes the result."""


def leak(
    denoise: Denoise,
    noisy: Tensor,
    sigma: Tensor,
    seed: int = 0,
    valid: Tensor | None = None,
    probes: int = 4,
) -> float:
    """The share of each pixel's own noise that its result keeps: 0 for a blind spot, 1 for the identity.

    The mean of the Jacobian's diagonal d clean_i / d noisy_i by `probes` random signs, over the pixels of
    `noisy` [B, 1, H, W] where `valid` (same shape, None: everywhere). With a map `sigma` [B, 1, H, W] the
    perturbation is 0.1 sigma_i and each pixel counts by sigma_i², its share of the noise power. For
    independent Gaussian noise n it is, by Stein's lemma, the expectation of sum((clean - truth) n) /
    sum(sigma²), so that the risk is mean(residual² - sigma² + 2 leak sigma²) (`residual.sure`).

    Takes probes + 1 passes. Raises UndefinedError where no valid pixel has noise.

    Source: Stein 1981, Annals of Statistics 9(6); Ramani, Blu, Unser 2008, IEEE TIP 17(9).
    """
    level = as_map(sigma, noisy)
    amplitude = level if valid is None else level * valid
    return kept_share(denoise, noisy, level, denoise(noisy, level), sign_steps(amplitude, seed, probes))


def kept_share(
    denoise: Denoise, noisy: Tensor, sigma: Tensor, clean: Tensor, steps: Iterable[Tensor]
) -> float:
    """The share of small perturbations `steps` of `noisy` that stays in `clean` = denoise(noisy, sigma).

    sum(step (denoise(noisy + step) - clean)) / sum(step²). Steps of random signs tell of each pixel's own
    noise, steps with the spectrum of the noise of all that is correlated with it.

    Raises UndefinedError where all steps are zero.
    """
    kept = power = 0.0
    for step in steps:
        change = (denoise(noisy + step, sigma) - clean).double()
        kept += float((step.double() * change).sum())
        power += float(step.double().square().sum())
    if power <= 0:
        raise UndefinedError("no valid pixel has noise")
    return kept / power


def sign_steps(amplitude: Tensor, seed: int, count: int) -> Iterator[Tensor]:
    """`count` steps of 0.1 `amplitude` [B, 1, H, W] with independent random signs."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        signs = rng.choice(np.array([-1, 1], np.float32), tuple(amplitude.shape))
        yield STEP * amplitude * torch.from_numpy(signs).to(amplitude.device)


def spectral_steps(amplitude: Tensor, bands: Sequence[float], seed: int, count: int) -> Iterator[Tensor]:
    """`count` steps of 0.1 `amplitude` [B, 1, H, W] times normal noise of variance 1.

    Its spectrum is `bands`, relative amplitudes between BAND_EDGES as in NoiseEstimate.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        noise = coloured_noise(tuple(amplitude.shape), lambda f: _in_bands(f, bands), rng)
        yield STEP * amplitude * torch.from_numpy(noise).to(amplitude.device)


def as_map(sigma: Tensor, noisy: Tensor) -> Tensor:
    """`sigma` [B] or [B, 1, H, W] as [B, 1, H, W]."""
    return sigma.reshape(-1, 1, 1, 1).expand_as(noisy) if sigma.ndim == 1 else sigma


def _in_bands(frequency: Image, bands: Sequence[float]) -> Image:
    index = np.digitize(frequency, BAND_EDGES[1:-1])
    return np.asarray(bands, np.float32)[index]
