"""Noisy frame sequences for networks that see neighbouring frames: motion and noise of X-ray cines."""

import numpy as np

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.physics import share_noise
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.spectrum import shaped_noise
from meddenoise.series import Image
from meddenoise.training.data import Batch, PatchSource, TrainingImage, to_batch
from meddenoise.training.data.degradation import (
    Degraded,
    Truth,
    draw_level,
    signal_level,
    stored,
    tell,
)
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.motion import MARGIN, make_sequence
from meddenoise.training.data.row_noise import draw_row_noise
from meddenoise.training.matched import FrameNoise, match_noise
from meddenoise.training.spectra import draw_amplitude, white_spectrum

LAGS = 0.05, 0.8
"""Correlation of the noise of a frame with that of the next, where there is any: recursive filters."""
COUNT = 3
"""Frames of a sequence: one on either side."""
TYPICAL = NoiseMix(white=0.2, signal_dependent=0.65, lagged=0.35)
"""The mix of a detector's noise, which networks are validated on."""
ALONE = 0.1
"""Share of sequences that are one frame several times: what a single image is given as."""


class FrameSource:
    """Random sequences of moving, noisy frames, of (seed, step) alone."""

    def __init__(
        self, images: list[TrainingImage], weights: dict[str, float], mix: NoiseMix, side: int, seed: int
    ) -> None:
        """`side` of the frames. Raises TrainingError where no image is as large as they need."""
        self.patches = PatchSource(images, weights, mix, side + 2 * MARGIN, seed, runs=True)
        self.mix, self.seed = mix, seed

    def batch(self, step: int, size: int) -> Batch:
        """The `size` sequences of training step `step`; the same step always gives the same batch."""
        rng = np.random.default_rng((self.seed, step))
        return to_batch([self.draw(rng) for _ in range(size)])

    def draw(self, rng: np.random.Generator) -> tuple[Degraded, Image]:
        """Noisy frames [COUNT, side, side] in 0..255, and the clean middle one: of a cine as they follow
        each other, or the other way round, of single images by made motion."""
        image, patch, _ = self.patches.draw_patch(rng)
        if patch.ndim == 3:
            clean = patch[:: int(rng.choice((-1, 1))), MARGIN:-MARGIN, MARGIN:-MARGIN]
            return degrade_frames(clean, image.own, self.mix, rng, image.device), clean[COUNT // 2]
        _, other, _ = self.patches.draw_patch(rng)
        other = other if other.ndim == 2 else other[COUNT // 2]
        return draw_frames((patch, other), image.own, self.mix, rng, image.device)


def draw_frames(
    layers: tuple[Image, Image],
    own: NoiseEstimate,
    mix: NoiseMix,
    rng: np.random.Generator,
    device: NoiseProfile | None = None,
) -> tuple[Degraded, Image]:
    """Noisy frames made of a frame, and of another where parts move apart, and the clean middle one."""
    clean = make_sequence(*layers, COUNT, rng)
    return degrade_frames(clean, own, mix, rng, device), clean[COUNT // 2]


def tell_frames(noisy: Degraded) -> Image:
    """Condition of a diffusion network [COUNT + 1, H, W], in network units: the middle frame, the others, the
    noise of the middle one."""
    middle = len(noisy.noisy) // 2
    order = [middle, *(index for index in range(len(noisy.noisy)) if index != middle)]
    frames = noisy.noisy[order] * np.float32(2 / 255) - 1
    return np.concatenate([frames, noisy.told[None] * np.float32(2 / 255)]).astype(np.float32)


def degrade_frames(
    clean: Image,
    own: NoiseEstimate,
    mix: NoiseMix,
    rng: np.random.Generator,
    device: NoiseProfile | None = None,
) -> Degraded:
    """Noisy versions of the frames `clean` [T, H, W] (0..255), and the report of the middle one's noise.

    With a `device`, the profile of one in these units, its noise (`matched.match_noise`), else that of any.
    `own` is what is estimated of the clean frame itself.
    """
    middle = len(clean) // 2
    drawn = draw_row_noise(clean, "XA", mix.models, rng) if device is None else None
    if drawn is not None:
        noisy, level, amplitude = drawn
    else:
        added = (
            _any_noise(clean, own, mix, rng) if device is None else match_noise(clean, device, own, mix, rng)
        )
        level, amplitude = added.level, added.amplitude
        noise = shaped_noise(clean.shape, amplitude, rng)
        share_noise(noise, added.lag)
        noisy = clean + level * noise
    if rng.random() < mix.clipped:
        noisy = stored(noisy, clean)
    if rng.random() < ALONE:
        noisy = np.repeat(noisy[middle, None], len(noisy), axis=0)
    return tell(Truth(noisy, level[middle], amplitude, own), False, mix, rng)


def _any_noise(clean: Image, own: NoiseEstimate, mix: NoiseMix, rng: np.random.Generator) -> FrameNoise:
    """A variance linear in the signal, and the spectrum of a detector, but for the shares of `mix` that are
    white or flat; frames share both.

    Source: methods of X-ray noise as in `degrade`; the lag of a first-order recursive filter.
    """
    sigma = draw_level(mix, rng, own)
    shape = clean.shape[1:]
    amplitude = white_spectrum(shape) if rng.random() < mix.white else draw_amplitude(shape, "XA", rng)
    flat = rng.random() >= mix.signal_dependent
    level = np.full_like(clean, sigma) if flat else signal_level(clean, sigma, rng)
    lag = float(rng.uniform(*LAGS)) if rng.random() < mix.lagged else 0.0
    return FrameNoise(level, amplitude, lag)
