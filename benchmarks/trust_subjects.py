"""The noisy series that the trust checks are measured on, each with what is known of its truth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import physics, white
from benchmarks.peers import as_series
from benchmarks.pictures import load_pictures
from meddenoise.io import discover, read_item
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.series import Series

FRAMES = {"fluoro": 3}
SETTLED = 3
"""Frames of a real run before its noise is the usual one."""
RUN_FRAMES = 3


@dataclass(frozen=True)
class TrustSubject:
    """One noisy series and a reference; `kind` is the row it is counted in, `seed` its number in there.

    `power` is the noise power of the reference, which is taken off every error against it.
    """

    kind: str
    seed: int
    noisy: Series
    truth: NDArray[np.floating]
    power: float = 0.0
    clean: Series | None = None
    """The reference where it is exact."""

    def error(self, result: Series) -> float:
        """Root mean square error against the truth."""
        values = result.values(0, len(result))
        square = float(np.mean(np.square(values - self.truth, dtype=np.float64)))
        return float(np.sqrt(max(square - self.power, 0.0)))


def phantoms(seeds: Sequence[int], kinds: Sequence[str], size: int) -> Iterator[TrustSubject]:
    """Every one a patient of its own, with the noise of its modality."""
    for seed in seeds:
        for kind in kinds:
            phantom = make_phantom(kind, size=size, planes=FRAMES.get(kind, 1), seed=seed)
            noisy, _ = acquire(phantom, dose_noise(phantom), seed)
            series, clean = (
                to_series(phantom, values, name)
                for values, name in ((noisy, "noisy"), (phantom.truth, "clean"))
            )
            yield TrustSubject(f"phantom {kind}", seed, series, phantom.truth, clean=clean)


def images(data: Path, count: int, size: int) -> Iterator[TrustSubject]:
    """Validation images with white noise of 25 of 255, and with that of their modality."""
    for seed, picture in enumerate(load_pictures(data, count)):
        for case in (*white(picture, size, seed, (25,)), *physics(picture, size, seed)):
            noisy = as_series(case.noisy, case.modality)
            yield TrustSubject(f"{case.modality}, {case.name}", seed, noisy, case.clean[None])


def repeats(data: Path, size: int) -> Iterator[TrustSubject]:
    """Real MR acquired twice: the middle of the middle slice of one, judged by the other."""
    for seed, path in enumerate(sorted((data / "mr" / "repeats").glob("*_1.nii.gz"))):
        pair = [_read(path), _read(path.with_name(path.name.replace("_1.", "_2.")))]
        middle = len(pair[0]) // 2
        noisy, other = (replace(_cut(series, (middle, middle + 1), size), modality="MR") for series in pair)
        truth = other.values(0, 1)
        difference = noisy.values(0, 1) - truth
        power = float(np.var(difference, dtype=np.float64)) / 2
        yield TrustSubject("real MR repeat", seed, noisy, truth + float(difference.mean()), power)


def cines(data: Path, size: int) -> Iterator[TrustSubject]:
    """The middle of some frames of still real runs, judged by the mean of all others."""
    for seed, path in enumerate(sorted((data / "fluoro" / "xa_vessel_phantom_cine_dicom").glob("*.dcm"))):
        run = _read(path)
        frames = _cut(run, (SETTLED, SETTLED + RUN_FRAMES), size)
        rest = _cut(run, (SETTLED + RUN_FRAMES, len(run)), size)
        others = rest.values(0, len(rest)).astype(np.float64)
        spread = float(others.var(axis=0, ddof=1).mean())
        yield TrustSubject("real cine", seed, frames, others.mean(axis=0)[None], spread / len(others))


def _read(path: Path) -> Series:
    return read_item(discover([path]).items[0])


def _cut(series: Series, planes: tuple[int, int], size: int) -> Series:
    """The middle of some planes."""
    top, left = (max(0, (side - size) // 2) for side in series.pixels.shape[1:])
    kept = slice(*planes)
    return replace(
        series,
        pixels=np.ascontiguousarray(series.pixels[kept, top : top + size, left : left + size]),
        slope=series.slope[kept],
        intercept=series.intercept[kept],
    )


Source = Callable[[], Iterator[TrustSubject]]
