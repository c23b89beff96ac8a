"""A NIfTI header for series of other formats, and what NIfTI files keep beside their voxels."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from meddenoise.errors import OutputError
from meddenoise.series import Geometry, Series

HEADERS: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
"""By the header size that a file begins with."""
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's axes to DICOM's and back."""
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")


@dataclass(frozen=True, slots=True)
class KeptNifti:
    """Everything of a file but its voxels."""

    head: bytes
    """All bytes before the voxels: header and extensions."""
    tail: bytes
    dtype: str
    """NumPy's name of the voxel type, with byte order."""
    compressed: bool


def new_file(series: Series, target: Path) -> tuple[KeptNifti, NDArray[Any]]:
    """Header and planes for a series of another format: stored values where one scale fits, else float32."""
    if series.channels != 1:
        raise OutputError(f"{target} cannot hold colour: write PNG or DICOM instead.")
    pixels = series.pixels
    one_scale = np.ptp(series.slope) == 0 and np.ptp(series.intercept) == 0
    keep = one_scale and pixels.dtype.kind in "iuf"
    planes = pixels if keep else series.values(0, len(series))
    wide = max(planes.shape) > 32767
    header = HEADERS[540 if wide else 348]()
    cine = series.frame_time_ms is not None
    volumes = (series.volumes,) if series.volumes > 1 else ()
    depth = (1, len(planes)) if cine else (len(planes) // series.volumes, *volumes)
    header.set_data_dtype(planes.dtype)
    header.set_data_shape((planes.shape[2], planes.shape[1], *depth))
    affine = _affine(series.geometry)
    header.set_qform(affine, code="scanner" if series.geometry.known else "unknown")
    header.set_sform(affine, code="scanner" if series.geometry.known else "unknown")
    header.set_xyzt_units("mm", "msec" if cine else "unknown")
    if cine:
        header["pixdim"][4] = series.frame_time_ms
    header["scl_slope"] = series.slope[0] if keep else 1
    header["scl_inter"] = series.intercept[0] if keep else 0
    header["magic"] = b"n+2" if wide else b"n+1"
    # the four bytes after the header say that no extension follows
    header["vox_offset"] = header.sizeof_hdr + 4
    return KeptNifti(bytes(header.binaryblock) + bytes(4), b"", planes.dtype.str, True), planes


def millimetres(header: Any) -> float:
    """Millimetres in the unit of length of a header; 1 where the header states none that NIfTI knows."""
    return {1: 1000.0, 3: 0.001}.get(int(header["xyzt_units"]) & 7, 1.0)


def scale(header: Any) -> tuple[float, float]:
    """Slope and intercept of a header; 1 and 0 where it states none, or none that is a number."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


def refined(kept: KeptNifti, series: Series) -> KeptNifti:
    """The header for a grid `series.finer` times as fine; the same one where it is not finer."""
    if series.finer == (1.0, 1.0):
        return kept
    header = _parsed(kept)
    header["dim"][1:3] = series.pixels.shape[2], series.pixels.shape[1]
    rows, columns = series.finer
    shrink = np.diag([1 / columns, 1 / rows, 1.0, 1.0])
    # the corner stays, half a pixel before the centre of the first one
    shrink[:2, 3] = (1 / columns - 1) / 2, (1 / rows - 1) / 2
    qform, sform = header.get_qform(), header.get_sform()
    codes = int(header["qform_code"]), int(header["sform_code"])
    header["pixdim"][1:3] /= np.array([columns, rows], header["pixdim"].dtype)
    if codes[0] > 0:
        header.set_qform(qform @ shrink, code=codes[0], strip_shears=False)
    if codes[1] > 0:
        header.set_sform(sform @ shrink, code=codes[1])
    return _with_header(kept, header)


def typed(kept: KeptNifti, series: Series) -> KeptNifti:
    """The header for values of another type or scale, such as those of a map; as it is where they agree."""
    header, dtype = _parsed(kept), np.dtype(kept.dtype)
    slope, intercept = float(series.slope[0]), float(series.intercept[0])
    if series.pixels.dtype == dtype.newbyteorder("=") and scale(header) == (slope, intercept):
        return kept
    header.set_data_dtype(series.pixels.dtype)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header["cal_min"] = header["cal_max"] = 0  # the display range was that of the image
    order = series.pixels.dtype.newbyteorder(header.endianness)
    return replace(_with_header(kept, header), dtype=order.str)


def _parsed(kept: KeptNifti) -> Any:
    size = next(size for size in HEADERS if size in (int.from_bytes(kept.head[:4], o) for o in _ORDERS))
    return HEADERS[size](kept.head[:size], check=False)


def _with_header(kept: KeptNifti, header: Any) -> KeptNifti:
    return replace(kept, head=bytes(header.binaryblock) + kept.head[header.sizeof_hdr :])


def _affine(geometry: Geometry) -> NDArray[np.float64]:
    """RAS affine from column, row and plane index to millimetres."""
    affine = np.eye(4)
    for column, (axis, step) in enumerate(zip(geometry.axes[::-1], geometry.spacing_mm[::-1], strict=True)):
        affine[:3, column] = np.array(axis) * step
    affine[:3, 3] = geometry.origin_mm
    return RAS_LPS @ affine
