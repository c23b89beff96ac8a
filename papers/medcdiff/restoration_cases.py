"""Fixed test cases of Med-cDiff's three tasks: crops of validation images in network units, degraded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.pictures import Picture, central_crop, load_pictures
from meddenoise.methods.conditional import Condition
from meddenoise.methods.medcdiff import Noisy
from meddenoise.noise import WHITE
from meddenoise.noise.spectrum import coloured_noise, gaussian_amplitude
from meddenoise.series import Image
from meddenoise.training.data.corrupt import FINEST, degrade_holed
from meddenoise.training.spectra import bands_of, blurring

Task = Literal["medcdiff", "medcdiff-upscale", "medcdiff-inpaint"]
"""By the name its checkpoint has as a method."""

TASKS: tuple[Task, ...] = ("medcdiff", "medcdiff-upscale", "medcdiff-inpaint")
NOISES = ((0.1, 0.02, 0.0), (0.1, 0.0, 0.0), (0.03, 0.0, 0.0), (0.06, 0.0, 1.0))
"""Standard deviation of noise relative to the range, share of impulses, pixels of the blurring kernel."""
FACTORS = (2 * math.sqrt(2), 4.0, 4 * math.sqrt(2))
"""Those of the paper's table."""
AIR_HU = -1000.0


@dataclass(frozen=True)
class RestorationCase:
    """A clean crop [1, 1, H, W] in [-1, 1] for its window, and what is told of it.

    `sigma` is the level of the Gaussian noise in the same units, `bands` its spectrum, `factor` that of the
    grid; 0 and 1 where there is none.
    """

    task: Task
    setting: str
    modality: str
    picture: str
    clean: Tensor
    condition: Condition
    sigma: float = 0.0
    factor: float = 1.0
    bands: tuple[float, ...] = WHITE


def load_cases(data: Path, task: Task, count: int, side: int, split: str = "val") -> list[RestorationCase]:
    """Every setting of `task` on up to `count` crops of `side` pixels of each modality, always the same."""
    cases: list[RestorationCase] = []
    for number, picture in enumerate(load_pictures(data, count, split=split, side=side)):
        clean = in_units(picture, side)
        cases += DEGRADED[task](clean, picture, np.random.default_rng((7, number)))
    return cases


def in_units(picture: Picture, side: int) -> Image:
    """The middle of a picture in [-1, 1] for its window."""
    low = AIR_HU if picture.modality == "CT" else 0.0
    crop = central_crop(picture.plane, side)
    return ((crop - np.float32(low)) * np.float32(2 / picture.peak) - 1).astype(np.float32)


def add_noise(
    clean: Image, level: float, share: float, rng: np.random.Generator, kernel: float = 0.0
) -> Image:
    """Gaussian noise of `level` times the range, then impulses on a `share` of the pixels."""
    noisy = clean + 2 * level * coloured_noise(clean.shape, gaussian_amplitude(kernel), rng)
    drawn = rng.random(clean.shape)
    noisy = np.where(drawn < share / 2, -1, np.where(drawn > 1 - share / 2, 1, noisy))
    return noisy.astype(np.float32)


def _noisy(clean: Image, picture: Picture, rng: np.random.Generator) -> Iterator[RestorationCase]:
    for level, share, kernel in NOISES:
        noisy = add_noise(clean, level, share, rng, kernel)
        setting = f"noise {level:g}" + (f", impulses {share:.0%}" if share else "")
        setting += f", kernel {kernel:g} px" if kernel else ""
        bands = bands_of(blurring(clean.shape, kernel)) if kernel else WHITE
        condition = told_condition(noisy, level, bands)
        yield _case("medcdiff", setting, picture, clean, condition, sigma=2 * level, bands=bands)


def told_condition(noisy: Image, level: float, bands: tuple[float, ...] = WHITE) -> Condition:
    """The condition of a noisy plane [H, W], with noise of `level` times the range."""
    plane = torch.from_numpy(noisy)[None, None]
    return Noisy(torch.tensor(bands))(plane, torch.full_like(plane, 2 * level))


def _coarse(clean: Image, picture: Picture, rng: np.random.Generator) -> Iterator[RestorationCase]:
    image = torch.from_numpy(clean)[None, None]
    for wanted in FACTORS:
        side = round(len(clean) / wanted)
        coarse = functional.interpolate(image, size=(side, side), mode="area")
        again = functional.interpolate(coarse, size=clean.shape, mode="bicubic", align_corners=False)
        factor = len(clean) / side
        told = torch.full_like(again, math.log2(factor) / FINEST)
        condition = Condition(torch.cat([again, told], dim=1))
        yield _case("medcdiff-upscale", f"factor {wanted:.3g}", picture, clean, condition, factor=factor)


def _holed(clean: Image, picture: Picture, rng: np.random.Generator) -> Iterator[RestorationCase]:
    channels = torch.from_numpy(degrade_holed(clean, rng))[None]
    yield _case("medcdiff-inpaint", "hole", picture, clean, Condition(channels, 1 - channels[:, 1:]))


def _case(
    task: Task, setting: str, picture: Picture, clean: Image, condition: Condition, **told: Any
) -> RestorationCase:
    image = torch.from_numpy(clean)[None, None]
    return RestorationCase(task, setting, picture.modality, picture.name, image, condition, **told)


DEGRADED = {"medcdiff": _noisy, "medcdiff-upscale": _coarse, "medcdiff-inpaint": _holed}
