"""Training images and the patches drawn from them; every draw is a function of (seed, step) alone."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from meddenoise.errors import TrainingError
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.profile import NoiseProfile
from meddenoise.series import Image
from meddenoise.training.data.degradation import (
    EXACT,
    Degraded,
    blank,
    degrade,
    degrade_like,
    draw_level,
    pair,
    recorrupt,
)
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.data.spots import add_spots
from meddenoise.training.spectra import KSpaceWindow, Scan, half_matrix

SCENES = "phantom:scenes"
"""Source of the images whose patches are random scenes."""
ANY = "*"
"""Modality of images that stand for every one: each patch gets the noise of another."""
NAMES = {"": "image", ANY: "natural"}
"""Names of images without a modality in the scores."""
LEAST_SCALE = 0.3
"""Errors are weighed in units of sigma down to this level, in 255ths; of less noise no one sees any."""
MODALITIES = ("CT", "MR", "MR", "DX", "XA")
RINGING = 0.9
"""Share of exact MR patches that are scanned with this very matrix: their edges ring to the last pixel."""


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """One clean plane, scaled so that its modality's range is 255, and where it came from."""

    plane: Image
    modality: str
    source: str
    """The recipe's data row it belongs to; sources share the draws by their weight."""
    group: str
    """The file: planes of one volume share its weight."""
    own: NoiseEstimate
    """Noise estimated in the "clean" plane itself, in 255ths of the range; fine anatomy counts too."""
    noise: Image | None = None
    """Real noise: a noisy partner minus this plane, told as `own`; None where noise is to be simulated."""
    weight: float = 1.0
    """Frequency of draws, relative to the others of its source."""
    like: NoiseEstimate | None = None
    """The noise to simulate; None draws any kind."""
    device: NoiseProfile | None = None
    """The same for frames that follow each other: the profile of their device, in 255ths of the range."""
    run: Image | None = None
    """Of a cine or a volume: the plane with those before and after it [3, H, W]."""
    recorrupted: bool = False
    """True to learn from two noisy versions of plane and noise, not from the plane, itself an estimate."""
    content: int = 0
    """As of `load.FoundImages`; 0 where it is drawn."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Network inputs and target, see `NoiseUNet.forward`; `scale` [B] is the true sigma or LEAST_SCALE."""

    noisy: torch.Tensor
    sigma: torch.Tensor
    bands: torch.Tensor
    zero: torch.Tensor
    clean: torch.Tensor
    scale: torch.Tensor
    own_share: torch.Tensor
    """[B, 1, H, W / 2 + 1]: share of the noise power that is the reference's own, 0 where it is exact."""


class PatchSource:
    """Random clean patches with random noise, as batches.

    Raises TrainingError where no image is as large as a patch.
    """

    def __init__(
        self,
        images: list[TrainingImage],
        weights: dict[str, float],
        mix: NoiseMix,
        patch: int,
        seed: int,
        *,
        runs: bool = False,
    ) -> None:
        """With `runs`, patches of images that have a run are three frames."""
        self.runs = runs
        self.images = [image for image in images if min(image.plane.shape) >= patch]
        if not self.images:
            raise TrainingError(
                f"no training image is at least {patch} x {patch} pixels: give larger images, "
                "or a --recipe with a smaller patch."
            )
        self.mix, self.patch, self.seed = mix, patch, seed
        shares = draw_shares([(image.source, image.group) for image in self.images], weights)
        self.shares = np.cumsum(shares * [image.weight for image in self.images])

    def batch(self, step: int, size: int) -> Batch:
        """The `size` patches of training step `step`; the same step always gives the same batch."""
        rng = np.random.default_rng((self.seed, step))
        return to_batch([self._degrade(*self.draw_patch(rng), rng) for _ in range(size)])

    def draw_patch(self, rng: np.random.Generator) -> tuple[TrainingImage, Image, Image | None]:
        """A clean patch in 0..255, turned and mirrored with its real noise if any; seldom empty background.

        [H, W], or of a run [3, H, W].
        Contrast is bent only where the noise comes after: real noise would bend with it.
        """
        for attempt in range(4):
            image = self.images[int(np.searchsorted(self.shares, rng.random() * self.shares[-1]))]
            if image.modality == ANY:
                image = replace(image, modality=str(rng.choice(MODALITIES)))
            side = self.patch * (2 if self._rings(image, rng) else 1)
            if image.source == SCENES:
                patch = draw_scene(side, rng)
                break
            y, x = (int(rng.integers(length - side + 1)) for length in image.plane.shape)
            window = slice(y, y + side), slice(x, x + side)
            patch = (image.plane if image.run is None or not self.runs else image.run)[..., *window]
            if attempt == 3 or patch.std() > 2 or rng.random() < 0.1:
                break
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        patch = turn(patch, turns, mirrored)
        if image.noise is not None:
            return image, patch, turn(image.noise[window], turns, mirrored)
        if image.modality != "CT" and rng.random() < 0.4:
            bent = np.maximum(patch, 0) / 255
            patch = (255 * bent ** np.float32(rng.uniform(0.7, 1.4))).astype(np.float32)
        if image.modality != "MR" and rng.random() < 0.15:
            patch = patch.max() - patch  # the other photometric interpretation
        if side > self.patch:
            image = replace(image, own=replace(image.own, sigma=image.own.sigma / 2))
            patch = half_matrix(patch)
        return image, patch, None

    def _rings(self, image: TrainingImage, rng: np.random.Generator) -> bool:
        """True if the next patch of an image is drawn twice as large, to be scanned with half the matrix."""
        exact = image.noise is None and image.like is None and image.own.sigma < EXACT
        fits = min(image.plane.shape) >= 2 * self.patch
        return image.modality == "MR" and exact and fits and rng.random() < RINGING

    def spotted(
        self, clean: Image, image: TrainingImage, rng: np.random.Generator
    ) -> tuple[Image, float | None]:
        """`clean`, now and then with faint spots, and the level of noise for which they are faint."""
        if self.mix.spotted == 0 or rng.random() >= self.mix.spotted:
            return clean, None
        sigma = draw_level(self.mix, rng, image.own)
        return add_spots(clean, sigma, rng), sigma

    def _degrade(
        self, image: TrainingImage, patch: Image, noise: Image | None, rng: np.random.Generator
    ) -> tuple[Degraded, Image]:
        """A noisy patch, and what the network shall make of it."""
        magnitude = image.modality == "MR"
        if noise is not None and image.recorrupted:
            return recorrupt(patch, noise, image.own, magnitude, self.mix, rng)
        if noise is not None:
            return pair(patch, noise, image.own, magnitude, self.mix, rng), patch
        if image.like is not None:
            like = image.like
            if image.device is not None:  # some frame of the run: its first ones may be noisier
                like = replace(like, sigma=like.sigma * float(image.device.draw_ratios(1, rng)[0]))
            return degrade_like(patch, like, magnitude, self.mix, rng), patch
        exact, window = image.own.sigma < EXACT, None
        if exact and magnitude and patch.min() >= 0 and rng.random() < self.mix.windowed:
            window = KSpaceWindow.draw(rng)
            patch = window.scan(patch)
        patch, sigma = self.spotted(patch, image, rng)
        degraded = degrade(patch, image.own, image.modality, self.mix, rng, Scan(window, sigma=sigma))
        if exact and rng.random() < self.mix.blanked:
            return blank(degraded, patch, rng)
        return degraded, patch


def to_batch(pairs: Sequence[tuple[Degraded, Image]]) -> Batch:
    """Noisy patches [H, W], or sequences [T, H, W], and what the network shall make of them, as a batch."""
    parts, clean = [part for part, _ in pairs], np.stack([target for _, target in pairs])
    noisy = torch.from_numpy(np.stack([part.noisy for part in parts]))
    return Batch(
        noisy=noisy if noisy.dim() == 4 else noisy[:, None],
        sigma=torch.from_numpy(np.stack([part.told for part in parts]))[:, None],
        bands=torch.from_numpy(np.stack([part.bands for part in parts])),
        zero=torch.tensor([part.zero for part in parts], dtype=torch.float32),
        clean=torch.from_numpy(clean)[:, None],
        scale=torch.tensor([max(part.sigma, LEAST_SCALE) for part in parts], dtype=torch.float32),
        own_share=torch.from_numpy(np.stack([part.own_share for part in parts]))[:, None],
    )


def turn(patch: Image, turns: int, mirrored: bool) -> Image:
    """`patch` [..., H, W] turned by quarters and mirrored."""
    turned = np.rot90(patch, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned, np.float32)


def middle(plane: Image, size: int) -> Image:
    """The middle `size` x `size` pixels of planes [..., H, W], fewer where they are smaller."""
    y, x = (max(0, (side - size) // 2) for side in plane.shape[-2:])
    return plane[..., y : y + size, x : x + size]


def draw_shares(places: Sequence[tuple[str, str]], weights: dict[str, float]) -> NDArray[np.float64]:
    """Draw weight of each plane by its (source, volume): a source by its recipe weight, its volumes by the
    root of their size."""
    volumes = Counter(group for _, group in places)
    raw = np.array([volumes[group] ** -0.5 for _, group in places])
    totals: dict[str, float] = defaultdict(float)
    for (source, _), share in zip(places, raw, strict=True):
        totals[source] += float(share)
    return np.array(
        [weights[source] * share / totals[source] for (source, _), share in zip(places, raw, strict=True)]
    )
