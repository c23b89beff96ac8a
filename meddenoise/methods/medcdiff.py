"""medcdiff: clean images from degraded ones by conditional diffusion, or by the network distilled from it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from meddenoise.diffusion.samplers import ancestral, draw_from
from meddenoise.errors import UsageError
from meddenoise.methods import Denoiser, Sampled, Setup
from meddenoise.methods.blindspot import load_part
from meddenoise.methods.conditional import STEPS, Condition, Diffusion, OnePass, narrow, widen
from meddenoise.methods.stabilised import as_map, on_stable
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.normalize import window_of

TILE = 512
"""Planes up to this side go through whole."""
LEAST_BAND = 0.05
"""Amplitude of a band below which networks are told no less."""
OWN_ERROR = 0.6 * 2 / 255
"""Error of the networks where there is hardly any noise, in network units: 0.6 255ths of the window."""
IMPULSE = 10 * OWN_ERROR
"""Change above which a pixel may have been an impulse."""
FINEST = 4.0
"""log2 of the largest factor of super-resolution, which the network is given as 1."""

Prepare = Callable[[Tensor, Tensor], Condition]
"""The condition of planes [B, C, H, W] and their noise maps [B, 1, H, W], all in network units."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Steps before and after the networks: planes to conditions, and back to the image's unit."""

    prepare: Prepare
    window: tuple[float, float] | None
    noisy: bool = True
    """False where sigma says nothing."""
    rician: bool = False
    """True where the noise is known to be Rician: the networks work behind the stabilising transform."""

    def of(self, noise: Sequence[NoiseEstimate]) -> "Ends":
        """The same for planes with noise of these spectra."""
        return replace(self, prepare=self.prepare.of(noise)) if isinstance(self.prepare, Noisy) else self

    def run(self, way: Callable[[Condition], Sampled], planes: Tensor, sigma: Tensor) -> Sampled:
        """`way`, in network units, on planes [B, C, H, W] and sigma in the image's unit.

        Without a window every plane has its own. Where sigma is 0 a noisy plane stays as it is. What lies in
        a hole, told by the second channel, is not looked at, be it NaN.
        """
        if not self.rician:
            return self._run(way, planes, sigma)
        level = as_map(sigma, planes)
        safe = torch.where(level > 0, level, torch.ones_like(level))
        made: list[Sampled] = []

        def run(stable: Tensor, _: Tensor) -> Tensor:  # both in units of sigma
            made.append(self._run(way, stable * safe, level))
            return made[0].clean / safe

        clean = on_stable(run, planes, sigma, rician=True)
        return Sampled(clean, made[0].spread)

    def _run(self, way: Callable[[Condition], Sampled], planes: Tensor, sigma: Tensor) -> Sampled:
        image, hole = planes[:, :1], (planes[:, 1:] > 0).any(dim=1, keepdim=True)
        seen = torch.where(hole, torch.nan, image)
        windows = [self.window or window_of(plane.cpu().numpy()) for plane in seen]
        low, high = image.new_tensor(windows).T.reshape(2, -1, 1, 1, 1)
        scale = 2 / (high - low)
        image = torch.where(hole, (low + high) / 2, image)
        level = as_map(sigma, image) if self.noisy else torch.ones_like(image)
        z = (image - low) * scale - 1
        made = way(self.prepare(widen(torch.cat([z, planes[:, 1:]], dim=1)), widen(level * scale)))
        # The change is what is added: pixels that do not change come back bit for bit.
        change = narrow(made.clean) - z
        if self.noisy:
            change = change * trusted(change, level * scale)
        clean = torch.where((change == 0) | (level == 0), image, image + change / scale)
        spread = None if made.spread is None else torch.where(level > 0, narrow(made.spread) / scale, 0.0)
        return Sampled(clean, spread)


def trusted(change: Tensor, level: Tensor) -> Tensor:
    """Share of a change to trust, 0 to 1: little where the noise is below the networks' own error.

    Weights of Wiener's kind, level^2 / (level^2 + OWN_ERROR^2), all in network units. Changes above
    IMPULSE are of impulses, which the level does not tell, and count as noise.
    """
    noise = level.square() + (change.abs() - IMPULSE).clamp(min=0).square()
    return noise / (noise + OWN_ERROR**2)


@dataclass(frozen=True, slots=True)
class Distilled:
    """One evaluation of the distilled network."""

    network: OnePass
    ends: Ends
    context: int = 0

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> Self:
        """As of `SpectralDenoiser`."""
        return replace(self, ends=self.ends.of(noise))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The result [B, 1, H, W] in the image's unit; arguments as for `Denoiser`."""
        return self.ends.run(lambda condition: Sampled(self.network(condition)), noisy, sigma).clean


@dataclass(frozen=True, slots=True)
class PairSampler:
    """Mean of `samples` symmetric pairs of `steps` steps each."""

    diffusion: Diffusion
    ends: Ends
    steps: int = STEPS
    samples: int = 1
    context: int = 0

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> Self:
        """As of `SpectralDenoiser`."""
        return replace(self, ends=self.ends.of(noise))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """The result and its uncertainty, in the image's unit; NFE = 2 steps a pair."""

        def way(condition: Condition) -> Sampled:
            return self.diffusion.pairs(condition, self.steps, self.samples, noise)

        return self.ends.run(way, noisy, sigma)


Restorer = Distilled | PairSampler
"""A Denoiser; a SamplingDenoiser where it is a sampler."""


@dataclass(frozen=True, slots=True)
class Noisy:
    """Conditions from noisy planes: the planes, the level of their noise, and its spectrum."""

    bands: Tensor | None = None
    """Amplitude of the noise in its radial bands, relative to white noise: [K], or [B, K] for a batch; None
    for networks that are not told."""

    def __call__(self, planes: Tensor, level: Tensor) -> Condition:
        """The condition of planes [B, 1, H, W] with noise of `level` [B, 1, H, W]."""
        if self.bands is None:
            return Condition(torch.cat([planes, level], dim=1))
        told = torch.log2(self.bands.clamp(min=LEAST_BAND)).to(planes)[..., None, None]
        shape = len(planes), told.shape[-3], *planes.shape[-2:]
        return Condition(torch.cat([planes, level, told.expand(shape)], dim=1))

    def of(self, noise: Sequence[NoiseEstimate]) -> "Noisy":
        """The same for planes with noise of these spectra."""
        if self.bands is None:
            return self
        return Noisy(torch.tensor([plane.bands for plane in noise], dtype=torch.float32))


def noisy_ends(setup: Setup) -> Ends:
    """Ends for the noise and the window of a set-up; older networks are not told the spectrum."""
    noise, condition = setup.noise, setup.checkpoint.metadata.network_options.get("condition", 2)
    bands = torch.tensor(WHITE if noise is None else noise.bands, dtype=torch.float32)
    told = bands if condition > 2 else None
    return Ends(Noisy(told), setup.window, rician=noise is not None and noise.model == "rician")


def _with_hole(planes: Tensor, level: Tensor) -> Condition:
    image, hole = planes[:, :1], (planes[:, 1:] > 0).to(planes.dtype)
    return Condition(torch.cat([image * (1 - hole), hole], dim=1), known=1 - hole)


def _upsampled(factor: float) -> Prepare:
    def prepare(planes: Tensor, level: Tensor) -> Condition:
        told = torch.full_like(planes, math.log2(factor) / FINEST)
        return Condition(torch.cat([planes, told], dim=1))

    return prepare


def load_restorer(setup: Setup, task: Literal["upscale", "inpaint"], factor: float = 1.0) -> Restorer:
    """Denoiser that `meddenoise upscale` and `meddenoise inpaint` run; its sigma has no meaning.

    It takes planes in the image's unit. "upscale": [B, 1, H, W], upsampled by `factor` (2 to 16) to the
    output grid by torch's bicubic interpolation, `align_corners` False, as in training. "inpaint":
    [B, 2, H, W], the plane and its hole (above 0: to be filled); pixels outside come back unchanged.
    One evaluation, or pairs of runs where `setup.sampling.mode` is "diffusion".

    Raises UsageError for a checkpoint without the network, WeightsError for one that does not fit.
    """
    prepare = _upsampled(factor) if task == "upscale" else _with_hole
    return _load(setup, Ends(prepare, setup.window, noisy=False))


def _load(setup: Setup, ends: Ends) -> Restorer:
    sampling = setup.sampling
    if sampling.mode != "diffusion":
        return Distilled(OnePass(load_part(setup, "student")), ends)
    return PairSampler(Diffusion.load(setup), ends, sampling.steps or STEPS, sampling.samples)


class Medcdiff:
    """Conditional diffusion given the noisy image, its noise level and spectrum; Gaussian noise and impulses.

    Source: Hung et al. 2023 (Med-cDiff, Bioengineering 10(11):1258), with the solver of Lu et al. 2022
    (arXiv 2211.01095) and symmetric pairs; `medcdiff-ddpm` is the paper's own sampler.
    """

    name = "medcdiff"
    uses_weights = True
    tile: int | None = TILE

    def load(self, setup: Setup) -> Denoiser:
        """One evaluation, or pairs of runs where `setup.sampling.mode` is "diffusion".

        Raises UsageError for a checkpoint without the network, WeightsError for one that does not fit.
        """
        return _load(setup, noisy_ends(setup))


MEDCDIFF = Medcdiff()


@dataclass(frozen=True, slots=True)
class AncestralSampler:
    """Mean of `samples` draws of `steps` steps each, the paper's 2000 by default; one draw is the paper."""

    diffusion: Diffusion
    ends: Ends
    steps: int
    samples: int = 1
    context: int = 0

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> Self:
        """As of `SpectralDenoiser`."""
        return replace(self, ends=self.ends.of(noise))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """The result in the image's unit; a CPU generator a plane; NFE = steps a draw."""
        draw, ratios = draw_from(noise), self.diffusion.schedule.trailing(self.steps)

        def run(condition: Condition) -> Sampled:
            denoise, total = self.diffusion.over(condition), torch.zeros_like(condition.image)
            for _ in range(self.samples):
                start = ratios[0] * draw(condition.image)
                total += ancestral(denoise, start, ratios, noise=draw, variance="large")
            return Sampled(total / self.samples)

        return self.ends.run(run, noisy, sigma)


class MedcdiffDdpm:
    """Ancestral sampling with the variance beta.

    Source: Hung et al. 2023 (Med-cDiff, Bioengineering 10(11):1258), equation 20.
    """

    name = "medcdiff-ddpm"
    uses_weights = True
    tile: int | None = TILE

    def load(self, setup: Setup) -> AncestralSampler:
        """The sampler. Raises UsageError for the mode "distilled" and a checkpoint without it."""
        sampling = setup.sampling
        if sampling.mode == "distilled":
            raise UsageError(
                "--mode distilled is not for 'medcdiff-ddpm', a sampler: give --method medcdiff."
            )
        diffusion = Diffusion.load(setup)
        steps = sampling.steps or len(diffusion.schedule)
        return AncestralSampler(diffusion, noisy_ends(setup), steps, sampling.samples)


MEDCDIFF_DDPM = MedcdiffDdpm()
