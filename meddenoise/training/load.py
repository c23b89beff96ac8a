"""Clean images from a data folder: read, scaled to 0..255, split by patient."""

import csv
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import TrainingError
from meddenoise.io import Item, discover, read_item
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.profile import NoiseProfile
from meddenoise.pairing import align_planes, pair_items
from meddenoise.series import Series
from meddenoise.training.data import TrainingImage
from meddenoise.training.drawn import draw_phantoms
from meddenoise.training.own import own_noise
from meddenoise.training.recipe import DataRow

SPLITS = "SPLITS.csv"
VALIDATION_SHARE = 0.1
ISOTROPIC = 1.4
"""Volumes whose spacings differ by less than this factor are also cut along the other two axes."""

Image = NDArray[np.float32]


def load_images(
    data: Path,
    references: Path | None,
    rows: Sequence[DataRow],
    patch: int,
    progress: Callable[[int, int], None],
    profile: NoiseProfile | None = None,
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Training and validation images of the folders in `rows`, relative to `data`.

    With `references`, a folder laid out like `data`, the images are noisy and their clean partners lie
    there; without it they are clean and noise is simulated: any, or that of a `profile`.

    A file SPLITS.csv (columns file, split: train or val) in `data` decides the split; without it a tenth of
    the patients is kept for validation, chosen by a hash so that it never changes. `progress(done, total)`
    counts series. Raises TrainingError where a folder is missing or one side of the split is empty.
    """
    training = [image for row in rows for image in draw_phantoms(row)]
    validation = [image for row in rows for image in draw_phantoms(row, held_out=True)]
    for item in walk(data, references, rows, progress):
        if item.partner is None:
            images = _images(item.series, item.row, item.group, not item.held_out, profile)
        else:
            images = _pairs(item.series, item.partner, item.row, item.group)
        (validation if item.held_out else training).extend(
            image for image in images if min(image.plane.shape) >= patch
        )
    if not training or not validation:
        side = "validation" if training else "training"
        raise TrainingError(
            f"{data} gives no {side} image of {patch} x {patch} pixels: add larger images or more patients, "
            f"or list which are for training in {data / SPLITS} (columns file, split: train or val)."
        )
    return training, validation


@dataclass(frozen=True, slots=True)
class Found:
    """A series of a data folder, its recipe row and clean partner, and the side of the split it is on."""

    series: Series
    partner: Series | None
    row: DataRow
    group: str
    """The file or folder, relative to the data folder."""
    held_out: bool


def walk(
    data: Path, references: Path | None, rows: Sequence[DataRow], progress: Callable[[int, int], None]
) -> Iterator[Found]:
    """Every series of the folders in `rows`, read one after another; arguments as for `load_images`."""
    splits = _read_splits(data / SPLITS)
    found = [(row, *items) for row in rows if not row.phantom for items in _items(data, references, row)]
    for done, (row, item, partner) in enumerate(found):
        series = read_item(item)
        held_out = _is_validation(series, data, splits)
        clean = None if partner is None else read_item(partner)
        yield Found(series, clean, row, _relative(series.path, data), held_out)
        progress(done + 1, len(found))


def _folder(data: Path, row: DataRow) -> Path:
    folder = data / row.folder
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder: the recipe expects images there; check --data.")
    return folder


def _items(data: Path, references: Path | None, row: DataRow) -> list[tuple[Item, Item | None]]:
    """The series of a row and their clean partners, None where noise is to be simulated."""
    items = discover([_folder(data, row)], results=False).items
    if references is None:
        return [(item, None) for item in items]
    partners = discover([_folder(references, row)]).items
    return list(zip(items, pair_items(items, partners, "--ref"), strict=True))


def _pairs(noisy: Series, clean: Series, row: DataRow, group: str) -> Iterator[TrainingImage]:
    """The planes of a clean series with the real noise of its partner."""
    order = align_planes(noisy, clean)
    target = clean.values(0, len(clean))[order]
    modality = row.modality or clean.modality
    low, width = window(target, modality, row)
    scale = np.float32(255 / width)
    noise = np.nan_to_num((noisy.values(0, len(noisy)) - target) * scale)
    for plane, difference in zip(np.nan_to_num((target - np.float32(low)) * scale), noise, strict=True):
        if plane.std() > 3:
            yield TrainingImage(plane, modality, row.source, group, NoiseEstimate(0.0), difference)


def _images(
    series: Series, row: DataRow, group: str, augment: bool, profile: NoiseProfile | None
) -> Iterator[TrainingImage]:
    """The planes of one series; with `augment` other cuts of isotropic volumes and halved copies as well."""
    volume = series.values(0, len(series))[:: series.channels]
    modality = row.modality or series.modality
    low, width = window(volume, modality, row)
    volume = np.nan_to_num((volume - np.float32(low)) * np.float32(255 / width))
    if profile is not None and profile.unit and series.unit and profile.unit != series.unit:
        raise TrainingError(
            f"{series.path} is in {series.unit}, the noise profile in {profile.unit}: "
            "measure a profile of such images."
        )
    scaled = None if profile is None else profile.scaled(low, 255 / width)
    for plane in _planes(volume, series.geometry.spacing_mm, augment):
        for image in [plane, halved(plane)] if augment and min(plane.shape) >= 256 else [plane]:
            if image.std() > 3:  # an empty plane teaches nothing
                own = NoiseEstimate(row.own)
                if row.own < 0:
                    own = own_noise(image, modality, row.most_own(group))
                like = (
                    None if scaled is None else scaled.estimate(image[None], np.ones((1, *image.shape), bool))
                )
                yield TrainingImage(image, modality, row.source, group, own, like=like)


def window(volume: Image, modality: str, row: DataRow) -> tuple[float, float]:
    """The value that becomes 0 and the width that becomes 255."""
    if row.range > 0:
        return row.low, row.range
    if modality == "CT":
        return -1000.0, 2000.0  # air to dense bone; values outside go on in the same scale
    return row.low, max(float(np.nanpercentile(volume, 99.9)) - row.low, 1e-6)


def _planes(volume: Image, spacing: tuple[float, float, float], augment: bool) -> Iterator[Image]:
    if not augment or len(volume) < 64 or max(spacing) > ISOTROPIC * min(spacing):
        yield from volume
        return
    for axis in range(3):  # neighbours look alike: every second plane of each cut
        yield from (np.ascontiguousarray(plane) for plane in np.moveaxis(volume, axis, 0)[::2])


def halved(plane: Image) -> Image:
    """2 x 2 means: another scale, with less noise of its own."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    halved: Image = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return halved


def _read_splits(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        return {row["file"]: row["split"] for row in csv.DictReader(handle)}


def _is_validation(series: Series, data: Path, splits: dict[str, str]) -> bool:
    if not splits:
        digest = hashlib.sha256((series.subject or str(series.path)).encode()).digest()
        return digest[0] < 256 * VALIDATION_SHARE
    names = {splits.get(name) for file in series.files for name in _prefixes(_relative(file, data))}
    return "val" in names or "train" not in names  # what the list leaves out never trains


def _prefixes(name: str) -> Iterator[str]:
    """The path itself and every folder above it: a list may name folders."""
    return map(str, itertools.chain([PurePosixPath(name)], PurePosixPath(name).parents))


def _relative(path: Path, data: Path) -> str:
    return path.resolve().relative_to(data.resolve()).as_posix()
