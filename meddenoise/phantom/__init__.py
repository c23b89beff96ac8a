"""SHELF of phantoms: what a phantom is, the PHANTOMS table, and how one is made.

    phantom = make_phantom("ct", size=256, planes=8, seed=0)
    noisy, info = acquire(phantom, dose_noise(phantom, 0.25), seed=0)        # meddenoise.phantom.acquire

A phantom is exact: drawn from formulas with anti-aliased edges, the same for the same seed. Its detail does
not depend on the size: twice the size shows the same patient with pixels of half the size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import UsageError, unknown_name
from meddenoise.series import Geometry

SMALLEST, LARGEST = 32, 4096
MOST_PIXELS = 1 << 28
"""One GiB of truth; making and writing it takes some times as much."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of PHANTOMS: who draws it, what its values are and how they are stored and shown.

    `make` names a function (size, planes, rng) -> float32 [N, Y, X]. `dose` is the default fraction of a
    normal dose, None where dose has no meaning.
    """

    make: str
    title: str
    modality: str
    unit: str
    field_mm: float
    between_mm: float
    planes: int
    dose: float | None
    window: tuple[float, float]
    """Centre and width of the display window, in units."""
    stored_range: tuple[int, int]
    """Range of the DICOM pixel format; values are stored as they are, rounded."""
    frame_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Phantom:
    """A known truth: `truth` float32 [N, Y, X] in `kind.unit`, and where it lies."""

    name: str
    kind: Kind
    truth: NDArray[np.float32]
    geometry: Geometry
    seed: int


PHANTOMS: Mapping[str, Kind] = {
    "ct": Kind(
        make="meddenoise.phantom.ct:make_ct",
        title="Abdomen phantom",
        modality="CT",
        unit="HU",
        field_mm=360.0,
        between_mm=3.0,
        planes=8,
        dose=0.1,
        window=(60.0, 400.0),
        stored_range=(-32768, 32767),
    ),
    "mr": Kind(
        make="meddenoise.phantom.mr:make_mr",
        title="Head phantom T1",
        modality="MR",
        unit="",
        field_mm=220.0,
        between_mm=3.0,
        planes=8,
        dose=None,
        window=(700.0, 1400.0),
        stored_range=(0, 4095),
    ),
    "xray": Kind(
        make="meddenoise.phantom.xray:make_xray",
        title="Chest phantom PA",
        modality="DX",
        unit="",
        field_mm=380.0,
        between_mm=1.0,
        planes=1,
        dose=0.1,
        window=(4800.0, 7600.0),
        stored_range=(0, 16383),
    ),
    "fluoro": Kind(
        make="meddenoise.phantom.fluoro:make_fluoro",
        title="Coronary phantom cine",
        modality="XA",
        unit="",
        field_mm=180.0,
        between_mm=1.0,
        planes=16,
        dose=1.0,
        window=(1150.0, 2000.0),
        stored_range=(0, 4095),
        frame_ms=1000 / 15,
    ),
}


def make_phantom(name: str, *, size: int = 256, planes: int | None = None, seed: int = 0) -> Phantom:
    """The phantom of that name: square planes of `size` pixels, `planes` slices, frames or radiographs.

    Raises UsageError for an unknown name, or a size, number of planes or seed out of range.

    >>> phantom = make_phantom("ct", size=64, planes=2)
    >>> phantom.truth.shape, phantom.kind.unit
    ((2, 64, 64), 'HU')
    """
    if name not in PHANTOMS:
        raise unknown_name("phantom", name, PHANTOMS)
    kind = PHANTOMS[name]
    count = kind.planes if planes is None else planes
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(
            f"the size of a phantom is {SMALLEST} to {LARGEST} pixels, not {size}: change --size."
        )
    if not 1 <= count <= MOST_PIXELS // size**2:
        most = MOST_PIXELS // size**2
        raise UsageError(f"a phantom of {size} pixels has 1 to {most} planes, not {count}: change --slices.")
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, not {seed}: change --seed.")
    module, function = kind.make.split(":")
    make = getattr(import_module(module), function)
    # The kind is part of the seed, so that phantoms of one seed do not share their random fields.
    rng = np.random.default_rng([seed, *name.encode()])
    truth: NDArray[np.float32] = make(size, count, rng).astype(np.float32)
    return Phantom(name, kind, truth, _geometry(kind, size, count), seed)


def _geometry(kind: Kind, size: int, planes: int) -> Geometry:
    """Planes centred on the patient's origin, image left the patient's right, slices from the feet up."""
    pixel = kind.field_mm / size
    corner = -pixel * (size - 1) / 2
    spacing = (kind.between_mm, pixel, pixel)
    if kind.modality in ("DX", "XA"):
        return Geometry(spacing_mm=spacing)
    bottom = -kind.between_mm * (planes - 1) / 2
    return Geometry(spacing_mm=spacing, origin_mm=(corner, corner, bottom))
