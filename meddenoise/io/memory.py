"""Images in memory as series and back: NumPy arrays, torch tensors, SimpleITK and nibabel images."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, UnsupportedError, UsageError
from meddenoise.io.modality import take
from meddenoise.series import Geometry, Series, Vector

MEMORY = "memory"
"""The format of a series that comes from no file."""
CINES = ("XA", "RF")
"""Modalities of which a 3-D array holds frames that follow each other in time."""
SKEW = 1e-3
"""Cosine from which two directions are not perpendicular: headers round theirs to 4 digits and more."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An image in memory: its values [..., Y, X] in C order, and where they lie where it says so."""

    values: NDArray[Any]
    name: str
    geometry: Geometry | None = None
    hint: str = ""


def as_series(
    image: Any, *, modality: str | None = None, spacing_mm: float | Sequence[float] | None = None
) -> Series:
    """The series of an image in memory: planes [N, Y, X] in its own dtype.

    `image` is a NumPy array, a torch tensor on the CPU, a SimpleITK or a nibabel image of integers or floats
    up to 64 bits: 2-D [Y, X], 3-D [Z, Y, X] (slices; of an array of the modality XA or RF [T, Y, X], frames)
    or 4-D [T, Z, Y, X]. SimpleITK and nibabel images are taken in their own order of axes. `modality` is a
    DICOM code. `spacing_mm` is one number or (between rows, between columns), with the distance between
    planes before them for 3-D and 4-D; only for arrays and tensors, which state none.

    Raises InputError for an image that cannot be used and UsageError for the other arguments.

    >>> import numpy as np, meddenoise
    >>> volume = np.zeros((5, 64, 48), np.int16)
    >>> series = meddenoise.as_series(volume, modality="MR", spacing_mm=(3, 0.9, 0.9))
    >>> series.pixels.shape, series.modality, series.geometry.spacing_mm
    ((5, 64, 48), 'MR', (3.0, 0.9, 0.9))
    """
    found = _look_at(image)
    _check(found)
    values = found.values
    geometry = found.geometry
    if geometry is None:
        geometry = Geometry(known=False) if spacing_mm is None else _spaced(spacing_mm, values.ndim)
    elif spacing_mm is not None:
        raise UsageError(f"the {found.name} states its own spacing: leave spacing_mm out.")
    planes = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    planes = planes.reshape(-1, *values.shape[-2:])
    info: Any = np.finfo(planes.dtype) if planes.dtype.kind == "f" else np.iinfo(planes.dtype)
    series = Series(
        pixels=planes,
        slope=np.ones(len(planes)),
        intercept=np.zeros(len(planes)),
        stored_range=(float(info.min), float(info.max)),
        geometry=geometry,
        format=MEMORY,
        path=Path(f"the {found.name}"),
        files=(),
        hint=found.hint,
    )
    if modality is not None:
        series = take(series, modality).series
    frames = values.ndim == 3 and found.geometry is None and series.modality in CINES
    in_time = values.ndim == 4 and values.shape[1] == 1 < values.shape[0]
    if frames or in_time:
        return replace(series, frame_time_ms=0.0)
    return replace(series, volumes=values.shape[0]) if values.ndim == 4 else series


def as_image(series: Series, like: Any) -> Any:
    """The pixels of a series as an image of type, shape, dtype and place of `like`, which it came from."""
    found = _look_at(like)
    values = series.pixels.reshape(found.values.shape).astype(found.values.dtype, copy=False)
    description = "" if series.derivation is None else series.derivation.description
    if _is_of(like, "torch", "Tensor"):
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(like.dtype)
    if _is_of(like, "SimpleITK", "Image"):
        return _sitk_image(values, like, description)
    if _is_of(like, "nibabel.spatialimages", "SpatialImage"):
        return _nibabel_image(values, like, series)
    return values


def _look_at(image: Any) -> _Found:
    """Values and geometry of an image of any kind. Raises InputError for what is not one."""
    if isinstance(image, np.ndarray):
        if isinstance(image, np.ma.MaskedArray):
            raise UnsupportedError("the array is masked: give image.filled(numpy.nan) of a float array.")
        return _Found(np.asarray(image), "array")
    if _is_of(image, "torch", "Tensor"):
        return _look_at_tensor(image)
    if _is_of(image, "SimpleITK", "Image"):
        return _look_at_sitk(image)
    if _is_of(image, "nibabel.spatialimages", "SpatialImage"):
        return _look_at_nibabel(image)
    if isinstance(image, str | Path):
        raise InputError(f"{image} is a path: give meddenoise.read(path)[0] for the first series in it.")
    raise InputError(
        f"an object of type {type(image).__name__} is not an image: give a NumPy array, a torch tensor, "
        "a SimpleITK or nibabel image, or a series of meddenoise.read."
    )


def _is_of(image: Any, module: str, name: str) -> bool:
    """True for an instance of a class whose library somebody has imported: nothing is imported here."""
    return module in sys.modules and isinstance(image, getattr(sys.modules[module], name))


def _look_at_tensor(tensor: Any) -> _Found:
    import torch

    if tensor.device.type != "cpu":
        raise UnsupportedError(
            f"the tensor is on {tensor.device}: give tensor.cpu(); Options(device=...) chooses where to "
            "compute."
        )
    if tensor.is_nested:
        raise UnsupportedError("the tensor is nested: give one of tensor.unbind() at a time.")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UnsupportedError("the tensor is sparse or quantized: give tensor.to_dense() of plain values.")
    plain = tensor.detach()
    try:
        return _Found((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy(), "tensor")
    except TypeError as error:
        raise UnsupportedError(f"the tensor holds {tensor.dtype}: give tensor.float().") from error


def _look_at_sitk(image: Any) -> _Found:
    import SimpleITK

    name = "SimpleITK image"
    labels = [getattr(SimpleITK, f"sitkLabelUInt{bits}") for bits in (8, 16, 32, 64)]
    # first of all: to ask a label map for anything else can end the process
    if image.GetPixelID() in labels:
        raise UnsupportedError(f"the {name} is a label map: give SimpleITK.Cast(image, SimpleITK.sitkUInt8).")
    samples = image.GetNumberOfComponentsPerPixel()
    if samples != 1:
        raise UnsupportedError(f"the {name} holds {samples} values a pixel: give one channel at a time.")
    dimension = image.GetDimension()
    axes = np.array(image.GetDirection()).reshape(dimension, dimension)
    geometry = Geometry(known=False)
    if dimension > 1:
        geometry = place(axes, image.GetSpacing(), image.GetOrigin(), f"the {name}")
    hint = "; ".join(f"{key}: {image.GetMetaData(key)}" for key in image.GetMetaDataKeys())
    return _Found(SimpleITK.GetArrayFromImage(image), name, geometry, hint[:4096])


def _look_at_nibabel(image: Any) -> _Found:
    name = "nibabel image"
    values = np.asanyarray(image.dataobj)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ (np.eye(4) if image.affine is None else image.affine)
    if "xyzt_units" in _names(image.header):
        from meddenoise.io.nifti_new import millimetres

        affine[:3] *= millimetres(image.header)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0:
        raise InputError(f"the {name} has an affine without an inverse: give it a valid one.")
    geometry = place(affine[:3, :3] / lengths, lengths.tolist(), affine[:3, 3].tolist(), f"the {name}")
    return _Found(values.T, name, geometry)


def _names(header: Any) -> Sequence[str]:
    """The fields of a nibabel header; none for kinds that hold no such."""
    return list(header.keys()) if hasattr(header, "keys") else []


def place(axes: NDArray[Any], spacing: Sequence[float], origin: Sequence[float], name: str) -> Geometry:
    """LPS geometry of axes in the columns of `axes` [D, D], D 2 to 4, x first; beyond 3 is not of space.

    Raises UnsupportedError where two directions are not perpendicular and InputError for a spacing that is
    not positive.
    """
    count = min(len(axes), 3)
    steps, start = np.ones(3), np.zeros(3)
    steps[:count], start[:count] = spacing[:count], origin[:count]
    units = np.eye(3)
    units[:count, :count] = np.asarray(axes, float)[:count, :count]
    if not (np.isfinite(steps).all() and steps.min() > 0):
        raise InputError(f"{name} states a spacing of {steps[:count].tolist()} mm: give positive numbers.")
    if not np.abs(units.T @ units - np.eye(3)).max() < SKEW:
        raise UnsupportedError(f"{name} has directions that are not orthogonal: resample it first.")
    columns = [_vector(units[:, axis]) for axis in (2, 1, 0)]
    return Geometry(_vector(steps[::-1]), _vector(start), (columns[0], columns[1], columns[2]))


def _check(found: _Found) -> None:
    """Raises InputError for a shape or dtype that is not of an image."""
    values, name = found.values, found.name
    if values.dtype.kind not in "iuf" or values.dtype.itemsize > 8:
        kind = "Python objects" if values.dtype.kind == "O" else str(values.dtype)
        raise UnsupportedError(f"the {name} holds {kind}: give integers or floats of up to 64 bits.")
    if not 2 <= values.ndim <= 4:
        raise InputError(
            f"the {name} has {values.ndim} dimensions: give 2 [Y, X], 3 [Z, Y, X] or 4 [T, Z, Y, X]."
        )
    if not values.size:
        raise InputError(f"the {name} of shape {values.shape} is empty: give an image.")
    colours = values.ndim == 3 and values.shape[2] in (3, 4) and min(values.shape[:2]) > 4
    if found.geometry is None and colours:
        raise UnsupportedError(
            f"the {name} of shape {values.shape} looks like colour [Y, X, C]: give one channel at a time."
        )


def _spaced(spacing_mm: float | Sequence[float], dimensions: int) -> Geometry:
    """Geometry of an array without a place. Raises UsageError for a spacing that does not fit it."""
    most = min(dimensions, 3)
    message = (
        f"spacing_mm is {spacing_mm!r}: give a positive number, or {most} of them, columns last, "
        f"for an image of {dimensions} dimensions."
    )
    try:
        steps = np.asarray(spacing_mm, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(message) from error
    if steps.ndim > 1 or (steps.ndim == 1 and len(steps) not in {2, most}):
        raise UsageError(message)
    if not (np.isfinite(steps).all() and steps.min() > 0):
        raise UsageError(message)
    three = np.ones(3)
    if steps.ndim == 0:
        three[3 - most :] = steps
    else:
        three[3 - len(steps) :] = steps
    return Geometry(spacing_mm=_vector(three))


def _sitk_image(values: NDArray[Any], like: Any, description: str) -> Any:
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(values, isVector=False)
    image.CopyInformation(like)
    for key in like.GetMetaDataKeys():
        image.SetMetaData(key, like.GetMetaData(key))
    image.SetMetaData("meddenoise", description)
    return image


def _nibabel_image(values: NDArray[Any], like: Any, series: Series) -> Any:
    image = type(like)(values.T.reshape(like.shape), like.affine, like.header)
    if "descrip" in _names(image.header) and series.derivation is not None:
        image.header["descrip"] = f"meddenoise {series.derivation.method}"
    return image


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
