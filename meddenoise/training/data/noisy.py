"""Noisy images, what is known of their noise, and the patches that self-supervised stages draw from them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from meddenoise.engine.level import estimate_series
from meddenoise.errors import TrainingError
from meddenoise.io.modality import likely_modality
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import blind_radius, nearest_radius
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.models import CorrelatedNoise
from meddenoise.noise.simulate import simulate
from meddenoise.noise.stabilise import Rician
from meddenoise.series import Image, Series, fill_holes
from meddenoise.training import TrainingSet
from meddenoise.training.data import draw_shares, turn
from meddenoise.training.data.load import FoundImages, halved, walk, window
from meddenoise.training.recipe import DataRow, Simulated
from meddenoise.training.spectra import bands_of, blurring
from meddenoise.training.split import Member, hold_out, patient_of, split_notes
from meddenoise.weights.manifest import OTHER

FEW = 20
"""TrainingSet below which a network is likely to learn them by heart."""
SMOOTHED = 0.3
"""Relative noise amplitude at the highest frequencies below which images were smoothed or interpolated."""
GRID = 128
"""Side of the plane on which the spectrum of simulated noise is summed up."""
LEAST_SIGMA = 0.2
"""In 255ths: less noise than that is rounding, and there is nothing to learn from it."""

UNUSABLE = " left out: no plane of it is large enough, varies, and shows noise."
LOSSY = ": lossy compressed; its noise is no longer that of the scanner."
BLURRED = (
    ": its noise has almost no high frequencies, so it was smoothed or interpolated before: train on the "
    "images as they were reconstructed."
)


@dataclass(frozen=True, slots=True)
class NoisyImage:
    """A noisy plane [H, W] in 255ths of its modality's range; nothing clean is known of it."""

    plane: Image
    noise: NoiseEstimate
    """In 255ths too."""
    modality: str
    source: str
    group: str
    rho: int
    """Blind radius that its noise correlation asks for."""
    content: int = 0
    """As of `load.FoundImages`; 0 where it is drawn."""

    def sigma(self) -> Image:
        """Local noise level [H, W]."""
        return np.maximum(sigma_map(self.noise, self.plane), np.float32(0.05))


@dataclass(frozen=True, slots=True)
class NoisyBatch:
    """Patches of one blind radius: `noisy` and `sigma` [B, 1, H, W], `bands` [B, 4]."""

    noisy: torch.Tensor
    sigma: torch.Tensor
    bands: torch.Tensor
    rho: int


class NoisySource:
    """Random patches of noisy images, turned and mirrored; a batch is a function of (seed, step) alone.

    Raises TrainingError where no image is as large as a patch.
    """

    def __init__(
        self, images: Sequence[NoisyImage], weights: dict[str, float], patch: int, seed: int
    ) -> None:
        self.patch, self.seed = patch, seed
        usable = [image for image in images if min(image.plane.shape) >= patch]
        if not usable:
            raise TrainingError(
                f"no training image is at least {patch} x {patch} pixels: give larger images, "
                "or a --recipe with a smaller patch."
            )
        shares = draw_shares([(image.source, image.group) for image in usable], weights)
        self.radii = sorted({image.rho for image in usable})
        self.groups = {rho: [image for image in usable if image.rho == rho] for rho in self.radii}
        self.shares = {
            rho: np.cumsum([s for s, image in zip(shares, usable, strict=True) if image.rho == rho])
            for rho in self.radii
        }

    def batch(self, step: int, size: int) -> NoisyBatch:
        """The `size` patches of training step `step`, all of one blind radius."""
        rng = np.random.default_rng((self.seed, step, 1))
        totals = np.array([self.shares[rho][-1] for rho in self.radii])
        rho = self.radii[int(rng.choice(len(totals), p=totals / totals.sum()))]
        drawn = [self._draw(rho, rng) for _ in range(size)]
        noisy, sigma, bands = (np.stack(part).astype(np.float32) for part in zip(*drawn, strict=True))
        return NoisyBatch(
            torch.from_numpy(noisy)[:, None], torch.from_numpy(sigma)[:, None], torch.from_numpy(bands), rho
        )

    def _draw(self, rho: int, rng: np.random.Generator) -> tuple[Image, Image, Image]:
        """A patch, its level and its spectrum as given to the network; seldom empty background."""
        groups, shares = self.groups[rho], self.shares[rho]
        for attempt in range(3):
            image = groups[int(np.searchsorted(shares, rng.random() * shares[-1]))]
            y, x = (int(rng.integers(side - self.patch + 1)) for side in image.plane.shape)
            cut = slice(y, y + self.patch), slice(x, x + self.patch)
            patch = image.plane[cut]
            if attempt == 2 or patch.std() > 1.15 * image.noise.sigma or rng.random() < 0.1:
                break
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        level = turn(image.sigma()[cut], turns, mirrored) * np.float32(np.exp(rng.normal(0, 0.1)))
        bands = np.asarray(image.noise.bands) * np.exp(rng.normal(0, 0.1, 4))
        return turn(patch, turns, mirrored), level, bands


@dataclass
class NoisySet:
    """Images that `load_noisy` found, and notes for the user."""

    training: list[NoisyImage] = field(default_factory=list)
    validation: list[NoisyImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def modalities(self) -> tuple[str, ...]:
        """DICOM codes of the training images; OTHER for those that state none."""
        return tuple(sorted({image.modality or OTHER for image in self.training}))


@dataclass(frozen=True, slots=True)
class NoisyReading:
    """Reading of noisy images: the least side, simulated noise if any, radii, a fixed radius if any."""

    patch: int
    radii: tuple[int, ...]
    simulated: Simulated | None = None
    blind_radius: int | None = None
    seed: int = 0


def load_noisy(
    data: TrainingSet, rows: Sequence[DataRow], reading: NoisyReading, progress: Callable[[int, int], None]
) -> NoisySet:
    """Noisy training and validation images of the folders in `rows`, split as `load_images` splits.

    Where the split leaves one side empty, one patient of several is held out, or of a single one every tenth
    image. Raises TrainingError where fewer than two usable images are found, NothingReadableError where a
    folder holds no image.
    """
    found = NoisySet()
    members: list[Member] = []
    kinds: set[str] = set()
    doubts: dict[str, list[str]] = {}
    for item in walk(data, rows, progress):
        images = list(_images(item, reading, doubts))
        if images:
            members.append(Member(patient_of(item.series), item.group, len(images)))
        else:
            doubts.setdefault(UNUSABLE, []).append(str(item.series.path))
        kinds |= {image.modality or "unknown" for image in images}
        (found.validation if item.held_out else found.training).extend(images)
    found.notes.extend(_name(paths) + doubt for doubt, paths in doubts.items())
    _balance(data.folder, found, members, reading.patch)
    if len(found.training) < FEW:
        found.notes.append(f"only {len(found.training)} training images: expect a weak result; add more.")
    if len(kinds) > 1 and reading.simulated is None:
        found.notes.append(
            f"the images are of several modalities ({', '.join(sorted(kinds))}): train each by itself "
            "for the best result."
        )
    return found


def _name(paths: list[str]) -> str:
    """The first of some series, and how many more there are."""
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _balance(data: Path, found: NoisySet, members: Sequence[Member], patch: int) -> None:
    """Images on both sides where the split left one empty; no patient is on both unless there is only one."""
    everything = found.training + found.validation
    if len(everything) < 2:
        raise TrainingError(
            f"{data} gives {len(everything)} usable noisy image(s), of at least {patch} x {patch} pixels and "
            "not constant: give at least 2, better 50 or more."
        )
    if found.validation and found.training:
        return
    held = hold_out(members) if len({member.patient for member in members}) > 1 else None
    if held is not None:
        found.validation = [image for image in everything if image.group in held.groups]
        found.training = [image for image in everything if image.group not in held.groups]
        sides = [[image.group for image in side] for side in (found.training, found.validation)]
        found.notes.extend(split_notes(*sides))
    else:
        found.validation = everything[::10]
        found.training = [image for n, image in enumerate(everything) if n % 10]
        found.notes.append(
            "all images seem to be of one patient: every tenth is held out for validation; choose with --val."
        )


def _images(item: FoundImages, reading: NoisyReading, doubts: dict[str, list[str]]) -> Iterator[NoisyImage]:
    """The noisy planes of a series; `doubts` gets what speaks against it, with its path."""
    series, row = item.series, item.row
    count = len(series)
    step = series.channels
    planes = fill_holes(series.values(0, count), series.valid(0, count))[::step]
    planes = -planes if series.inverted else planes
    modality = row.modality or series.modality or likely_modality(series)
    low, width = _window(planes, modality, row)
    scale = 255 / width
    scaled = (planes - np.float32(low)) * np.float32(scale)
    if reading.simulated is None:
        estimate = estimate_series(series)
        if _scaled(estimate.middle, series, low, scale).sigma < LEAST_SIGMA:
            return
        for doubt in _doubts(item, estimate.middle):
            doubts.setdefault(doubt, []).append(str(item.series.path))
        for plane, own in zip(scaled, estimate.planes[::step], strict=True):
            noise = _scaled(own, series, low, scale)
            if noise.sigma < LEAST_SIGMA:
                continue
            if noise.model == "rician":  # behind the transform the noise is white at every signal, as in use
                plane = Rician(noise.sigma).forward(plane).astype(np.float32)
                noise = NoiseEstimate(1.0, noise.bands)
            yield from _usable(plane, noise, modality, item, reading)
        return
    for number, plane in enumerate(scaled):
        small = [] if item.held_out or min(plane.shape) < 256 else [halved(plane)]
        for size, clean in enumerate([plane, *small]):
            noisy, noise = _simulate(clean, reading, f"{item.group} {number} {size}")
            yield from _usable(noisy, noise, modality, item, reading)


def _window(planes: Image, modality: str, row: DataRow) -> tuple[float, float]:
    """As `window`; from the darkest pixel on where nothing lies above 0, as in inverted images."""
    dark = float(planes.min()) if modality != "CT" and np.percentile(planes, 99) <= row.low else 0.0
    low, width = window(planes - np.float32(dark), modality, row)
    return low + dark, width


def _usable(
    plane: Image, noise: NoiseEstimate, modality: str, item: FoundImages, reading: NoisyReading
) -> Iterator[NoisyImage]:
    if min(plane.shape) < reading.patch or not plane.std() > 1.02 * noise.sigma:
        return
    rho = blind_radius(noise) if reading.blind_radius is None else reading.blind_radius
    rho = nearest_radius(rho, reading.radii)
    yield NoisyImage(plane, noise, modality, item.row.folder, item.group, rho, item.content)


def _simulate(clean: Image, reading: NoisyReading, name: str) -> tuple[Image, NoiseEstimate]:
    """The one noise realisation of an image, by its name and the seed."""
    simulated = reading.simulated
    assert simulated is not None
    digest = hashlib.sha256(f"{reading.seed} {name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    sigma = float(np.exp(rng.uniform(np.log(simulated.sigma_min), np.log(simulated.sigma_max))))
    kernel = float(rng.choice(simulated.kernels, p=simulated.shares))
    noisy, _ = simulate(clean, CorrelatedNoise(sigma, kernel), rng)
    return noisy, NoiseEstimate(sigma, bands_of(blurring((GRID, GRID), kernel)))


def _scaled(noise: NoiseEstimate, series: Series, low: float, scale: float) -> NoiseEstimate:
    """An estimate in the series' unit as one in 255ths above `low`."""
    variance = noise.variance
    if variance is not None:
        turned = replace(variance, slope=-variance.slope) if series.inverted else variance
        variance = turned.in_units(scale, low)
    return replace(noise, sigma=noise.sigma * scale, variance=variance)


def _doubts(item: FoundImages, noise: NoiseEstimate) -> Iterator[str]:
    if any("lossily" in warning for warning in item.series.warnings):
        yield LOSSY
    if noise.bands[-1] < SMOOTHED:
        yield BLURRED
