"""Clean pictures for the benchmarks, from a folder with SPLITS.csv or from any folder of images."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from meddenoise.io import discover, read_item
from meddenoise.series import Image, Series

MODALITIES = ("CT", "MR", "DX", "XA")
ALIKE = {"CR": "DX", "RF": "XA"}
"""Modalities scored by another of the same physics."""
FOLDERS = {"ct": "CT", "mr": "MR", "xray": "DX", "fluoro": "XA"}
"""A folder name on the way to a file tells the modality where the file does not."""
LOOK_ONLY = ("real_noisy", "cine_dicom", "dicom_io")
"""Folders whose images are no clean references."""


@dataclass(frozen=True)
class Picture:
    """One plane [Y, X] in physical units; `peak` is what 255 grey levels stand for in them."""

    name: str
    modality: str
    plane: Image
    peak: float
    pixel_mm: float


@dataclass(frozen=True)
class Repeats:
    """Frames [T, Y, X] of one scene in which nothing moves: real noise."""

    name: str
    modality: str
    frames: Image
    peak: float


def load_pictures(
    folder: Path,
    count: int,
    split: str = "val",
    modalities: Sequence[str] = (*MODALITIES, ""),
    side: int = 0,
) -> list[Picture]:
    """Up to `count` pictures of each modality, spread evenly over the sub-folders; always the same ones.

    Pictures with less than `side` rows or columns are passed over.
    """
    groups: dict[str, dict[Path, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in split_files(folder, split):
        if not any(part in str(path) for part in LOOK_ONLY):
            groups[_modality_of(path.relative_to(folder))][path.parent].append(path)
    pictures: list[Picture] = []
    for modality in modalities:
        paths = (path for path in _take_turns(groups[modality].values()) if path is not None)
        found = (picture for path in paths for picture in _pictures(path, folder, modality))
        pictures += islice((picture for picture in found if min(picture.plane.shape) >= side), count)
    return pictures


def load_repeats(folder: Path, count: int) -> list[Repeats]:
    """Up to `count` cines of a still scene, of the validation split."""
    paths = [path for path in split_files(folder, "val") if "cine_dicom" in str(path)]
    repeats = []
    for path in paths[:count]:
        for item in discover([path]).items:
            series = read_item(item)
            if len(series) >= 6:
                frames = series.values(0, len(series))
                name = str(path.relative_to(folder))
                repeats.append(Repeats(name, series.modality or "XA", frames, peak_of_series(series, "XA")))
    return repeats


def split_files(folder: Path, split: str) -> list[Path]:
    """The files of `split` in SPLITS.csv, or all files below the folder where there is none."""
    splits = folder / "SPLITS.csv"
    if not splits.exists():
        return sorted(path for path in folder.rglob("*") if path.is_file())
    with splits.open(newline="") as stream:
        return sorted(folder / row["file"] for row in csv.DictReader(stream) if row["split"] == split)


def central_crop(plane: Image, side: int) -> Image:
    """The middle `side` x `side` pixels, all where the plane is smaller or `side` is 0."""
    if side == 0:
        return plane
    top, left = (max((size - side) // 2, 0) for size in plane.shape)
    return np.ascontiguousarray(plane[top : top + side, left : left + side])


def _pictures(path: Path, folder: Path, modality: str) -> list[Picture]:
    """The middle plane of each series in a file."""
    pictures = []
    for item in discover([path]).items:
        series = read_item(item)
        kind = series.modality or modality
        plane = series.values(len(series) // 2, len(series) // 2 + 1)[0]
        name = str(path.relative_to(folder))
        pixel_mm = series.geometry.spacing_mm[2] if series.geometry.known else 0.7
        pictures.append(Picture(name, kind, plane, peak_of_series(series, kind), pixel_mm))
    return pictures


def peak_of_series(series: Series, modality: str) -> float:
    """Range of 255 grey levels: 2000 HU, 255 of an 8-bit image, else the 99.9 percentile."""
    if modality == "CT":
        return 2000.0
    low, high = series.stored_range
    if modality != "MR" and high - low == 255:
        return 255.0
    values = series.values(0, len(series))[series.valid(0, len(series))]
    return float(np.percentile(values, 99.9))


def _modality_of(path: Path) -> str:
    return next((FOLDERS[part] for part in path.parts if part in FOLDERS), "")


def _take_turns(groups: Iterable[list[Path]]) -> list[Path | None]:
    """One of each group, the second of each group, and so on."""
    return [path for turn in zip_longest(*groups) for path in turn]
