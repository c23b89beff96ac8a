"""A series of image planes: stored pixels, geometry and the source's header, three separate things."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""Pixels [..., Y, X] or other values, float32."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Numbers = NDArray[np.floating]
"""Of either width."""
Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Place of the planes in the patient, in millimetres and DICOM's LPS axes.

    `spacing_mm` is (between planes, between rows, between columns); `origin_mm` the centre of the first
    voxel as (x, y, z); `axes` the unit vectors along growing plane, row and column index. `known` is False
    where the file states no pixel spacing (spacing is then 1).
    """

    spacing_mm: Vector = (1.0, 1.0, 1.0)
    origin_mm: Vector = (0.0, 0.0, 0.0)
    axes: tuple[Vector, Vector, Vector] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    known: bool = True


DENOISED, UPSCALED, INPAINTED = RESULTS = "denoised", "upscaled", "inpainted"


@dataclass(frozen=True, slots=True)
class Derivation:
    """Processing of a series: written into the result by every format that has a place for it.

    `settings` holds everything that can change the pixels (method, weights hash, sigma, seed, strength...):
    the same source with the same settings gives the same DICOM UIDs.
    """

    method: str
    description: str
    settings: str
    verb: str = DENOISED
    """Name of the new series next to its source; noise reduction for the default only."""


@dataclass(frozen=True, slots=True)
class Series:
    """Planes of one acquisition in their stored form, with the map to physical units beside them.

    `pixels` is [N, Y, X] in the file's own dtype; planes are slices, frames, or, with `channels` 3, the
    red, green and blue planes of one frame after another (N = frames x channels).
    A value in `unit` is `pixels[n] * slope[n] + intercept[n]`.
    """

    pixels: NDArray[Any]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    stored_range: tuple[float, float]
    """Smallest and largest stored value the file's pixel format can hold, inclusive."""
    geometry: Geometry
    format: str
    path: Path
    """The file, or the folder the series was found in."""
    files: tuple[Path, ...]
    """The source files in plane order; a single one for multi-frame formats."""
    modality: str = ""
    """DICOM modality code (CT, MR, XA, RF, DX, CR, US, ...), empty where the format has none."""
    unit: str = ""
    name: str = ""
    label: str = ""
    """Number and end of the identifier, which tell the series of a study apart; empty where there is none."""
    subject: str = ""
    """Tells patients apart: a hash, never the identifier itself; empty where the file says nothing."""
    identity: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    """Patient and dates of the images, label and value: shown only if the user asks for it."""
    channels: int = 1
    frame_time_ms: float | None = None
    """Time between frames that follow each other in time (a cine), 0 where unknown; None for slices."""
    volumes: int = 1
    """Volumes of one place, such as a diffusion series has: so many equal parts of the planes."""
    exposures: tuple[float, ...] = ()
    """Exposure or tube current of each slice or frame; empty where it does not change or one lacks it."""
    padding: tuple[float, float] | None = None
    """Stored values in this inclusive range are no image (pixel padding) and are never changed."""
    inverted: bool = False
    """True where low values are shown white (MONOCHROME1)."""
    hint: str = field(default="", repr=False, compare=False)
    """Text of the header, of formats that state no modality: it may tell it. It may name people too."""
    shown: tuple[float, float] | None = None
    """Values that the file says to display as black and white; None where it does not say so."""
    finer: tuple[float, float] = (1.0, 1.0)
    """Rows and columns over one row and column of the grid that `header` tells of."""
    warnings: tuple[str, ...] = ()
    derivation: Derivation | None = None
    header: Any = field(default=None, repr=False, compare=False)
    """Data with which the format writes the series again; no other module looks inside."""

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def is_cine(self) -> bool:
        """True where several frames follow each other in time."""
        return self.frame_time_ms is not None and len(self) > self.channels

    @property
    def first_file(self) -> Path:
        """The file to name in a message: several series may share the folder that is the `path` of each."""
        return self.files[0] if self.files else self.path

    @property
    def pixel_spacing_mm(self) -> tuple[float, ...]:
        """Between rows and between columns; empty where the file states none."""
        return self.geometry.spacing_mm[1:] if self.geometry.known else ()

    def values(self, start: int, stop: int) -> NDArray[np.float32]:
        """Planes `start` to `stop` in physical units, float32 [n, Y, X]; padding and NaN as stored."""
        # what float32 cannot hold becomes infinite, and infinity stays what it is
        with np.errstate(invalid="ignore", over="ignore"):
            stored = self.pixels[start:stop].astype(np.float32)
            stored *= self.slope[start:stop, None, None].astype(np.float32)
            stored += self.intercept[start:stop, None, None].astype(np.float32)
        return stored

    def valid(self, start: int, stop: int) -> NDArray[np.bool_]:
        """True where planes `start` to `stop` hold image, no padding, NaN or infinity; [n, Y, X]."""
        stored = self.pixels[start:stop]
        mask = np.isfinite(stored) if stored.dtype.kind == "f" else np.ones(stored.shape, bool)
        if self.padding is not None:
            low, high = self.padding
            mask &= (stored < low) | (stored > high)
        return mask

    def store(self, values: NDArray[np.float32], start: int, stop: int) -> NDArray[Any]:
        """Stored pixels for new `values` [n, Y, X]: the source plus the *change*, rounded and kept in range.

        Writing the change keeps every pixel bit-identical where nothing was changed, whatever the rescale;
        pixels that are no image (`valid`) keep their stored value.
        """
        stored = self.pixels[start:stop]
        slope = self.slope[start:stop, None, None]
        # values beyond float32 have no finite difference: they stay
        with np.errstate(invalid="ignore", over="ignore"):
            change = (values - self.values(start, stop)) / np.where(slope == 0, 1.0, slope)
        changed = self.valid(start, stop) & np.isfinite(change) & (change != 0)
        new = stored[changed] + change[changed]
        if stored.dtype.kind != "f":
            new = _clip_to_integers(new, self.stored_range, stored.dtype)
        result: NDArray[Any] = stored.copy()
        result[changed] = new.astype(stored.dtype)
        if self.padding is not None:
            # A denoised pixel must not become padding: it stops one step before.
            low, high = self.padding
            fell = changed & (result >= low) & (result <= high)
            before = np.where(stored[fell] > high, high + 1, low - 1)
            result[fell] = stored[fell] if stored.dtype.kind == "f" else before.astype(stored.dtype)
        return result

    def with_pixels(self, pixels: NDArray[Any], derivation: Derivation) -> Self:
        """The same series, header and geometry, with new stored pixels and what made them.

        Raises ValueError where shape or dtype differ from the source.
        """
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            raise ValueError(
                f"new pixels are {pixels.dtype}{list(pixels.shape)}, "
                f"the series {self.pixels.dtype}{list(self.pixels.shape)}"
            )
        return replace(self, pixels=pixels, derivation=derivation)


def _clip_to_integers(
    values: NDArray[np.float64], stored_range: tuple[float, float], dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """`values` rounded and within the stored range, which for 64-bit types float64 rounds beyond them."""
    low, high = stored_range
    if high > np.iinfo(dtype).max:
        high = float(np.nextafter(high, 0.0))
    return np.clip(np.rint(values), low, high)


def fill_holes(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`values` [N, Y, X], changed in place: where not `valid`, the nearest pixel of its plane that is.

    Planes without a valid pixel become 0.
    """
    for plane, mask in zip(values, valid, strict=True):
        if mask.all():
            continue
        if not mask.any():
            plane[...] = 0
            continue
        plane[~mask] = plane.ravel()[_nearest(np.packbits(mask).tobytes(), mask.shape)]
    return values


@lru_cache(maxsize=2)
def _nearest(packed: bytes, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Index in a flat plane of the valid pixel nearest to each hole; the planes of a series share holes."""
    from scipy.ndimage import distance_transform_edt  # takes long to import, and most series have no holes

    holes = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape) == 0
    rows, columns = distance_transform_edt(holes, return_distances=False, return_indices=True)
    nearest: NDArray[np.int32] = rows[holes] * np.int32(shape[1]) + columns[holes]
    return nearest
