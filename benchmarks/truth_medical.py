"""Trials on medical images of the validation split, where their own noise is negligible beside what is added.

A reference with noise of its own rewards methods that leave such noise. With rho = s_r² / (s_r² + s_a²), own
noise s_r and added noise s_a, an image serves where rho < MOST_RHO: at 50 of 255, perhaps, and not at 15.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.cases import NoisyCase
from benchmarks.pictures import MODALITIES, Picture, central_crop, load_pictures, peak_of_series, split_files
from benchmarks.truth_exact import FIRST_SEED, held_back, noises, noisy_case, peak_of
from benchmarks.truth_trial import TruthTrial, against, plane_trial
from meddenoise.engine.planes import as_map
from meddenoise.io import read
from meddenoise.noise.estimate import estimate_plane
from meddenoise.noise.models import GaussianNoise
from meddenoise.noise.simulate import simulate
from meddenoise.phantom.acquire import to_series
from meddenoise.series import Image, Series

MOST_RHO = 0.02
POOL = 4
"""Candidates looked at for each image that is wanted."""
OTHER_GROUPS = ("repeats", "acr_phantoms")
"""Folders that other groups of trials use."""
SMALLEST = 128
"""Halved images have at least that many rows and columns."""
SLICES = 5
_PERCENT = re.compile(r"noise ([\d.]+) % of p99.9")


@dataclass(frozen=True)
class Reference:
    """A clean plane, what is added to it, and the level of its own noise."""

    picture: Picture
    own: float
    halved: bool

    def serves(self, added: float) -> bool:
        """True where the image's own noise is negligible beside noise of that level."""
        return self.own**2 < MOST_RHO * (self.own**2 + added**2)


def medical(
    folder: Path, images: int, side: int, levels: tuple[int, ...], every: bool
) -> Iterator[TruthTrial]:
    """Up to `images` of each modality for each noise; a trial without cases where none is clean enough."""
    listed = listed_noise(folder)
    for modality in MODALITIES:
        pictures = load_pictures(folder, POOL * images, modalities=(modality,))
        pictures = [p for p in pictures if not any(part in OTHER_GROUPS for part in Path(p.name).parts)]
        candidates = [reference for picture in pictures for reference in references(picture, listed)]
        names = [name for name, _ in noises(255.0, levels, every)]
        for index, name in enumerate(names):
            yield from _serving(candidates, modality, name, index, (images, side, levels, every))


def _serving(
    candidates: list[Reference],
    modality: str,
    name: str,
    index: int,
    wanted: tuple[int, int, tuple[int, ...], bool],
) -> Iterator[TruthTrial]:
    """The trials of one noise: whole images first, halved ones only of those that do not serve whole."""
    images, side, levels, every = wanted
    used: list[str] = []
    for halved in (False, True):
        for seed, one in enumerate(candidates):
            noise = noises(one.picture.peak, levels, every)[index][1]
            added = getattr(noise, "sigma")  # noqa: B009
            if (
                one.halved != halved
                or one.picture.name in used
                or len(used) == images
                or not one.serves(added)
            ):
                continue
            used.append(one.picture.name)
            case = noisy_case(one.picture, central_crop(one.picture.plane, side), noise, seed)
            yield plane_trial(case, "medical", f"{modality} {name}", "halved" if halved else "")
    if not used:
        yield TruthTrial(
            "medical", f"{modality} {name}", modality, "", (), (), (), against([], 1.0), note=NONE
        )


NONE = "no image is clean enough"


def references(picture: Picture, listed: dict[str, float]) -> list[Reference]:
    """The picture, and its 2x2 means where they are large enough, each with the noise it has of its own.

    That noise is the larger of the list's and an estimate: wavelets see too little where noise is correlated.
    """
    own = listed.get(picture.name, 0.0)
    found = [Reference(picture, max(own, own_noise(picture.plane, picture.modality)), False)]
    if min(picture.plane.shape) >= 2 * SMALLEST:
        small = halved(picture.plane)
        found.append(
            Reference(replace(picture, plane=small), max(own / 2, own_noise(small, picture.modality)), True)
        )
    return found


def own_noise(plane: Image, modality: str) -> float:
    """The program's estimate of the noise in a plane."""
    return estimate_plane(plane, modality=modality).sigma


def halved(plane: Image) -> Image:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    rows, columns = (size // 2 * 2 for size in plane.shape)
    small: Image = plane[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return small


def listed_noise(folder: Path) -> dict[str, float]:
    """Noise of each file by SPLITS.csv, in units; of volumes the note states it in percent of the peak."""
    splits = folder / "SPLITS.csv"
    if not splits.exists():
        return {}
    levels: dict[str, float] = {}
    with splits.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["split"] != "val":
                continue
            percent = _PERCENT.search(row.get("note") or "")
            if row.get("wavelet_sigma"):
                levels[row["file"]] = float(row["wavelet_sigma"])
            elif percent:
                levels[row["file"]] = (
                    float(percent[1]) / 100 * peak_of_series(read(folder / row["file"])[0], "MR")
                )
    return levels


def volumes(folder: Path) -> Iterator[TruthTrial]:
    """Contiguous slices with independent white noise, as a volume and slice by slice."""
    phantom = held_back("ct")
    yield from _both_ways(to_series(phantom, phantom.truth, "ct"), phantom.truth, peak_of(phantom), "CT")
    for path in split_files(folder, "val"):
        if path.name.startswith("fnndsc_sag_mprage"):
            series = read(path)[0]
            first = (len(series) - SLICES) // 2
            values = series.values(first, first + SLICES)
            middle = np.stack([central_crop(plane, 256) for plane in values])
            part = replace(
                series,
                pixels=middle,
                slope=np.ones(SLICES),
                intercept=np.zeros(SLICES),
            )
            yield from _both_ways(part, middle, peak_of_series(series, "MR"), "MR")


def _both_ways(series: Series, truth: Image, peak: float, modality: str) -> Iterator[TruthTrial]:
    sigma = 25 / 255 * peak
    noisy, _ = simulate(truth, GaussianNoise(sigma), np.random.default_rng(FIRST_SEED))
    inner = range(1, len(truth) - 1)
    cases = tuple(
        NoisyCase(
            "volumes", "white 25", f"{modality} slice {n}", modality, truth[n], noisy[n], peak, sigma, sigma
        )
        for n in inner
    )
    judge = against([truth[n] for n in inner], peak)
    image = f"{modality} volume"
    whole = as_map(series, noisy)
    judged = tuple((0, n) for n in inner)
    yield TruthTrial("volumes", f"{modality} as a volume", modality, image, (whole,), judged, cases, judge)
    single = tuple(
        replace(whole, pixels=noisy[n : n + 1], slope=np.ones(1), intercept=np.zeros(1)) for n in inner
    )
    judged = tuple((k, 0) for k in range(len(single)))
    yield TruthTrial("volumes", f"{modality} slice by slice", modality, image, single, judged, cases, judge)
