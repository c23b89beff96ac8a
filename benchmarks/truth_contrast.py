"""Trials of low contrast: discs inserted in flat places under noise, and the discs of the ACR phantom.

The share of contrast kept is that between a disc's core and a ring around it, in the result over the truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter

from benchmarks.cases import NoisyCase
from benchmarks.peers import as_series
from benchmarks.pictures import split_files
from benchmarks.truth_exact import (
    FIRST_SEED,
    KINDS,
    SIDE,
    held_back,
    middle_planes,
    model_of,
    noises_of,
    peak_of,
)
from benchmarks.truth_trial import Judge, TruthOutcome, TruthTrial
from meddenoise.engine.planes import as_map
from meddenoise.io import read
from meddenoise.noise.models import NoiseOptions
from meddenoise.phantom import Phantom
from meddenoise.phantom.acquire import acquire, to_series
from meddenoise.series import Image

ACROSS_PX = 8
"""Diameter of the discs inserted; their contrast is the noise around them: CNR 1."""
APART_PX, MARGIN_PX, CLEAR_PX = 24, 20, 12
FLAT = 0.6
"""A place is flat where the truth has less than that standard deviation, in units of the noise."""
FEWEST = 8
"""Discs that a median needs; more seeds are drawn until there are that many."""
CORE, RING = 0.75, (1.75, 2.75)
"""Radii in units of the disc's."""


@dataclass(frozen=True)
class Discs:
    """Places of discs of one radius: core and ring of each as weights on a plane, rows [disc, pixel]."""

    centres: tuple[tuple[float, float], ...]
    radius: float
    shape: tuple[int, int]

    def contrasts(self, plane: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean of the core less mean of the ring, of each disc; discs are whole radii from the border."""
        reach = int(np.ceil(RING[1] * self.radius)) + 1
        found = []
        for row, column in self.centres:
            top, left = max(round(row) - reach, 0), max(round(column) - reach, 0)
            part = plane[top : round(row) + reach + 1, left : round(column) + reach + 1].astype(np.float64)
            down, right = np.indices(part.shape)
            distance = np.hypot(down + top - row, right + left - column) / self.radius
            core, ring = distance <= CORE, (distance >= RING[0]) & (distance <= RING[1])
            found.append(float(part[core].mean() - part[ring].mean()))
        return np.array(found)

    def drawn(self, heights: Sequence[float]) -> Image:
        """A plane of the discs with soft edges, each of its height, 0 elsewhere."""
        down, right = np.indices(self.shape)
        plane = np.zeros(self.shape)
        for (row, column), height in zip(self.centres, heights, strict=True):
            plane += height * np.clip(self.radius + 0.5 - np.hypot(down - row, right - column), 0, 1)
        return plane.astype(np.float32)


def flat_places(truth: Image, sigma: Image) -> list[tuple[float, float]]:
    """Centres on a grid around which all planes [N, Y, X] of the truth are flat beside the noise."""
    height, width = truth.shape[-2:]
    found: list[tuple[float, float]] = []
    for row in range(MARGIN_PX, height - MARGIN_PX + 1, APART_PX // 2):
        for column in range(MARGIN_PX, width - MARGIN_PX + 1, APART_PX // 2):
            near = (
                ...,
                slice(row - CLEAR_PX, row + CLEAR_PX + 1),
                slice(column - CLEAR_PX, column + CLEAR_PX + 1),
            )
            free = all(max(abs(row - r), abs(column - c)) >= APART_PX for r, c in found)
            if free and truth[near].std(axis=(-2, -1)).max() < FLAT * sigma[row, column]:
                found.append((float(row), float(column)))
    return found


def inserted(seeds: int) -> Iterator[TruthTrial]:
    """Discs of CNR 1 in all kinds of phantoms at their lower dose, and in a flat field with white noise."""
    for kind in KINDS:
        count, seed = 0, FIRST_SEED
        while count < FEWEST * seeds and seed < FIRST_SEED + 10 * seeds:
            phantom = held_back(kind, seed)
            name, noise = noises_of(phantom)[-1]
            trial, discs = _in_phantom(phantom, noise, f"{kind} {name}")
            if discs:
                yield trial
            count, seed = count + discs, seed + 1
    yield _in_flat_field()


def _in_phantom(phantom: Phantom, noise: NoiseOptions, row: str) -> tuple[TruthTrial, int]:
    """The same noisy phantom without discs and with: what differs in the results is contrast, not noise."""
    noisy, infos = acquire(phantom, [noise], phantom.seed)
    sigma = np.sqrt(
        np.mean(
            [gaussian_filter((n - t) ** 2, 8.0) for n, t in zip(noisy, phantom.truth, strict=True)], axis=0
        )
    )
    places = flat_places(phantom.truth, sigma)
    discs = Discs(tuple(places), ACROSS_PX / 2, phantom.truth.shape[1:])
    heights = [(-1) ** n * float(sigma[int(r), int(c)]) for n, (r, c) in enumerate(places)]
    drawn = discs.drawn(heights)
    planes = middle_planes(len(noisy))
    kind, peak, image = phantom.kind.modality, peak_of(phantom), f"{phantom.name} seed {phantom.seed}"
    models = {n: model_of(phantom, noise, infos[0], noisy, n) for n in planes}
    cases = tuple(
        NoisyCase("contrast", row, image, kind, phantom.truth[n] + extra, noisy[n] + extra, peak, *models[n])
        for extra in (np.float32(0), drawn)
        for n in planes
    )
    series = tuple(as_map(to_series(phantom, noisy, row), noisy + extra) for extra in (np.float32(0), drawn))
    judged = tuple((which, n) for which in (0, 1) for n in planes)
    judge = judge_pairs(discs, drawn, peak)
    return TruthTrial("contrast", row, kind, image, series, judged, cases, judge), len(places)


def _in_flat_field() -> TruthTrial:
    """A grid of discs of both signs on a flat field, white noise of 25 of 255."""
    sigma, level = 25.0, 128.0
    rng = np.random.default_rng(FIRST_SEED)
    noisy = (level + sigma * rng.standard_normal((SIDE, SIDE))).astype(np.float32)
    places = range(MARGIN_PX, SIDE - MARGIN_PX + 1, APART_PX)
    discs = Discs(tuple((float(r), float(c)) for r in places for c in places), ACROSS_PX / 2, noisy.shape)
    drawn = discs.drawn([(-1) ** n * sigma for n in range(len(discs.centres))])
    flat = np.full_like(noisy, level)
    cases = tuple(
        NoisyCase("contrast", "flat", "flat", "", flat + extra, noisy + extra, 255.0, sigma, sigma)
        for extra in (np.float32(0), drawn)
    )
    series = tuple(as_series(case.noisy, "") for case in cases)
    judge = judge_pairs(discs, drawn, 255.0)
    return TruthTrial(
        "contrast", "flat field white 25", "photo", "flat", series, ((0, 0), (1, 0)), cases, judge
    )


def judge_pairs(discs: Discs, drawn: Image, peak: float) -> Judge:
    """The share of contrast in the difference of results with discs and without, disc by disc."""
    true = discs.contrasts(drawn)

    def judge(planes: Sequence[Image]) -> list[TruthOutcome]:
        half = len(planes) // 2
        return [
            TruthOutcome(f"plane {plane} disc {n}", peak, share=float(share))
            for plane, (without, with_discs) in enumerate(zip(planes[:half], planes[half:], strict=True))
            for n, share in enumerate(discs.contrasts(with_discs - without) / true)
        ]

    return judge


@dataclass(frozen=True)
class Insert:
    """Place of the low-contrast insert of an ACR series: the planes of slices 8 to 11, a square in pixels."""

    planes: tuple[int, ...]
    centre: tuple[int, int]
    radius: int


INSERTS = {
    "Philips3TdStream": Insert((7, 8, 9, 10), (133, 127), 40),
    # stored from slice 11 down to slice 1
    "GE": Insert((3, 2, 1, 0), (270, 254), 82),
}
"""Read off slice 11 of each series."""
DISC_MM = 2.0
"""Radius by which discs are looked for and measured: those of the ACR phantom have 3.5 to 0.75 mm."""
CLEARLY = 6.0
"""A disc counts where its contrast is that many times the standard error of the scan itself."""


def acr(folder: Path) -> Iterator[TruthTrial]:
    """The discs of slices 8 to 11 of ACR phantoms, as scanned and with white noise as strong as they are."""
    for path in split_files(folder, "val"):
        name = path.name.split(".")[0]
        if "acr_phantoms" in path.parts and name in INSERTS:
            series, insert = read(path)[0], INSERTS[name]
            values = series.values(0, len(series))
            box = (
                slice(insert.centre[0] - insert.radius, insert.centre[0] + insert.radius),
                slice(insert.centre[1] - insert.radius, insert.centre[1] + insert.radius),
            )
            radius = DISC_MM / series.geometry.spacing_mm[1]
            found = [find_discs(values[n][box], radius) for n in insert.planes]
            heights = np.concatenate(
                [d.contrasts(values[n][box]) for d, n in zip(found, insert.planes, strict=True)]
            )
            peak = float(np.percentile(values, 99.9))
            for row, sigma in (("as scanned", 0.0), ("CNR 1", float(np.median(heights)))):
                rng = np.random.default_rng(FIRST_SEED)
                noisy = values + np.float32(sigma) * rng.standard_normal(values.shape, dtype=np.float32)
                cases = tuple(
                    NoisyCase("contrast", row, name, "MR", values[n][box], noisy[n][box], peak, level, level)
                    for n in insert.planes
                    for level in [sigma or scan_noise(values[n][box])]
                )
                judge = judge_discs(found, [values[n][box] for n in insert.planes], peak)
                judged = tuple((0, n) for n in insert.planes)
                whole = (as_map(series, noisy),)
                yield TruthTrial("contrast", f"ACR {row}", "MR", name, whole, judged, cases, judge, box)


def find_discs(plane: Image, radius: float) -> Discs:
    """Bright discs of about that radius inside the round insert that fills the plane."""
    fine = plane.astype(np.float64)
    response = -gaussian_laplace(fine, radius / np.sqrt(2))
    down, right = np.indices(plane.shape)
    middle = (len(plane) - 1) / 2
    inside = np.hypot(down - middle, right - middle) < middle - RING[1] * radius
    peaks = inside & (response == maximum_filter(response, size=2 * round(1.5 * radius) + 1))
    every = Discs(tuple((float(r), float(c)) for r, c in np.argwhere(peaks)), radius, fine.shape)
    # a mean over the core is uncertain by its noise over the root of its pixels
    error = scan_noise(plane) / np.sqrt(np.pi * (CORE * radius) ** 2)
    clear = every.contrasts(fine) > CLEARLY * error
    return Discs(tuple(c for c, keep in zip(every.centres, clear, strict=True) if keep), radius, fine.shape)


def scan_noise(plane: Image) -> float:
    """Noise of a plane of an insert: half its pixels are flat, so the median of fine differences is noise."""
    fine = plane.astype(np.float64) - gaussian_filter(plane.astype(np.float64), 2.0)
    return float(np.median(np.abs(fine)) / 0.6745)


def judge_discs(found: Sequence[Discs], scans: Sequence[Image], peak: float) -> Judge:
    """The share of each disc's contrast, in the result over the scan as it was."""
    true = [discs.contrasts(scan) for discs, scan in zip(found, scans, strict=True)]

    def judge(planes: Sequence[Image]) -> list[TruthOutcome]:
        return [
            TruthOutcome(f"plane {plane} disc {n}", peak, share=float(share))
            for plane, (discs, contrasts) in enumerate(zip(found, true, strict=True))
            for n, share in enumerate(discs.contrasts(planes[plane]) / contrasts)
        ]

    return judge
