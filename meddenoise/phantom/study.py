"""A phantom study on the disk: `noisy/` and `clean/` with the same geometry, and what the noise is."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meddenoise.errors import OutputError
from meddenoise.io import get_format, write, written_format
from meddenoise.io.atomic import write_whole
from meddenoise.noise.models import NoiseOptions
from meddenoise.noise.simulate import NoiseInfo
from meddenoise.phantom import Phantom
from meddenoise.phantom.acquire import acquire, to_series
from meddenoise.phantom.dicom import write_dicom
from meddenoise.series import Series
from meddenoise.version import __version__

PARTS = ("noisy", "clean")
RECORD = "phantom.json"


@dataclass(frozen=True, slots=True)
class Study:
    """Files written: all images by part, and the record next to them."""

    files: dict[str, list[Path]]
    record: Path


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise OutputError where `folder` is no folder, or holds something that may not be overwritten.

    Only an earlier study is ever replaced: a folder without its record keeps its images.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a folder for the phantom study.")
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({error.strerror}): choose another folder.") from error
    if names and not overwrite:
        raise OutputError(f"{folder} is not empty: choose another folder, or add --overwrite.")
    if names.intersection(PARTS) and RECORD not in names:
        raise OutputError(f"{folder} holds images that are not a phantom study: choose another folder.")


def write_study(
    phantom: Phantom, noises: Sequence[NoiseOptions], folder: Path, *, seed: int, format: str = "dicom"
) -> Study:
    """Write the noisy and the clean series below `folder` and a record of the noise; earlier parts give way.

    Raises UsageError for an unknown format, OutputError where something cannot be written.
    """
    written_format("", format)
    noisy, infos = acquire(phantom, noises, seed)
    record = describe(phantom, infos, phantom.truth, noisy)
    settings = json.dumps(record["noise"], sort_keys=True)
    files = {}
    for number, (part, values) in enumerate(zip(PARTS, (noisy, phantom.truth), strict=True), start=1):
        series = to_series(phantom, values, part)
        _clear(folder / part)
        if format == "dicom":
            told = settings if part == "noisy" else ""
            files[part] = write_dicom(phantom, series, folder / part, number, told)
        else:
            files[part] = _write_other(phantom, series, folder / part, format)
    target = folder / RECORD
    write_whole(target, (json.dumps(record, indent=2) + "\n").encode())
    return Study(files, target)


def describe(phantom: Phantom, infos: Sequence[NoiseInfo], truth: Any, noisy: Any) -> dict[str, Any]:
    """The record of a study, for JSON."""
    error = (noisy - truth).astype(np.float64)
    return {
        "meddenoise": __version__,
        "phantom": phantom.name,
        "modality": phantom.kind.modality,
        "shape": list(truth.shape),
        "spacing_mm": list(phantom.geometry.spacing_mm),
        "frame_time_ms": phantom.kind.frame_ms,
        "seed": phantom.seed,
        "unit": phantom.kind.unit,
        "rmse": float(np.sqrt(np.mean(error**2))),
        "noise": [info.summary() for info in infos],
    }


def _write_other(phantom: Phantom, series: Series, folder: Path, format: str) -> list[Path]:
    if len(series) == 1 or format != "png":
        return write(series, folder / f"{phantom.name}{get_format(format).SUFFIX}", format=format)
    return write(series, folder, format=format)


def _clear(part: Path) -> None:
    """Remove an earlier part: fewer planes must not leave old ones between the new."""
    try:
        if part.is_dir():
            shutil.rmtree(part)
    except OSError as error:
        raise OutputError(f"{part} cannot be replaced ({error.strerror}): choose another folder.") from error
