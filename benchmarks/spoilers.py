"""Methods that do what a denoiser must not: smooth structure away, or plant some. For `trust.py` alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means
from torch import Tensor

from meddenoise import weights
from meddenoise.methods import Denoiser, Setup, get
from meddenoise.methods.classical import Classical
from meddenoise.noise import NoiseEstimate
from meddenoise.series import Floats
from meddenoise.trust.lesions import DETECTABILITY, RADII_PX, disc_spread

PLANTS = 12


def _blur(width: float, plane: Floats) -> Floats:
    blurred: Floats = gaussian_filter(plane, width)
    return blurred


def _nlm_3h(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """`filters.nlm` with h = 1.8 sigma instead of 0.6."""
    clean: Floats = denoise_nl_means(
        plane, patch_size=7, patch_distance=11, h=1.8, sigma=1.0, fast_mode=True, preserve_range=True
    )
    return clean


@dataclass(frozen=True, slots=True)
class Planted:
    """Another method, and bright and dark discs that nobody put into the image, just above the noise."""

    name: str
    base: str
    uses_weights: bool = False
    tile: int | None = None

    def load(self, setup: Setup) -> "Planting":
        """The base with its own weights."""
        base = get(self.base)
        found = weights.load(weights.choose(self.base, setup.modality).name) if base.uses_weights else None
        loaded = Setup(setup.noise, setup.modality, checkpoint=found, window=setup.window)
        return Planting(base.load(loaded), setup.noise or NoiseEstimate(1.0))


@dataclass(frozen=True, slots=True)
class Planting:
    """A Denoiser that adds the same discs to every plane."""

    base: Denoiser
    noise: NoiseEstimate

    @property
    def context(self) -> int:
        """Planes before and after that the base takes."""
        return self.base.context

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        clean = self.base(noisy, sigma)
        levels = torch.broadcast_to(sigma.reshape(len(sigma), 1, *sigma.shape[2:] or (1, 1)), clean.shape)
        for contrast, shape in draw_discs(self.noise, clean.shape[-2:]):
            clean = clean + contrast * levels * torch.from_numpy(shape)
        return clean


def draw_discs(
    noise: NoiseEstimate, shape: tuple[int, ...], detectability: float = DETECTABILITY
) -> Iterator[tuple[float, Floats]]:
    """Contrasts, in noise of level 1, and shapes [Y, X] of PLANTS bright and dark discs, always the same."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(shape)
    spreads = {radius: disc_spread(noise, radius, rng) for radius in RADII_PX}
    for number in range(PLANTS):
        radius = RADII_PX[number % 2]
        y, x = rng.uniform(0.25, 0.75, 2) * shape
        disc = np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0, 1).astype(np.float32)
        yield (-1) ** (number // 2) * detectability * spreads[radius], disc


BLUR = Classical("blur 3 px", lambda plane, bands: _blur(3.0, plane))
SLIGHT_BLUR = Classical("blur 1.5 px", lambda plane, bands: _blur(1.5, plane))
NLM_3H = Classical("nlm at 3 h", _nlm_3h)
NOTHING = Classical("does nothing", lambda plane, bands: plane)
PLANTED_DIRECT = Planted("planted in direct", "direct")
PLANTED_NLM = Planted("planted in nlm", "nlm")
