"""Clean images from a data folder: read, scaled to 0..255, split by patient."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meddenoise.engine.level import estimate_series
from meddenoise.errors import TrainingError
from meddenoise.io import Item, discover, read_item
from meddenoise.io.modality import same_kind
from meddenoise.io.pairing import align_planes, pair_items
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import APART
from meddenoise.noise.profile import NoiseProfile
from meddenoise.series import Image, Series
from meddenoise.training import TrainingSet
from meddenoise.training.data import TrainingImage, middle
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.digest import checksum
from meddenoise.training.drawn import draw_phantoms
from meddenoise.training.own import own_noise
from meddenoise.training.recipe import DataRow
from meddenoise.training.split import (
    HeldOut,
    Member,
    hold_out,
    patient_of,
    read_split,
    relative,
    why_empty,
)

FEWEST_REPEATS = 2 * APART + 2
"""Frames of a run of repeats: two or more then share no noise with any of them."""
REPEATS_SEED = 1
HALVED = 256
"""Planes with this many pixels a side are also shown at half the size, and those at half of that."""
ISOTROPIC = 1.4
"""Volumes whose spacings differ by less than this factor are also cut along the other two axes."""


def load_images(
    images: TrainingSet,
    rows: Sequence[DataRow],
    patch: int,
    progress: Callable[[int, int], None],
    *,
    alone: bool = True,
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Training and validation images of the folders in `rows`, relative to `images.folder`.

    With `references`, a folder laid out like it, the images are noisy and their clean partners are there;
    without they are clean and noise is simulated: any, or that of the profile.

    `split.read_split` decides the split; by a share of the patients they are chosen by a hash, so that they
    never change, or, of few patients, as `split.hold_out` chooses. `progress(done, total)` counts series.
    Images that are not `alone`, but beside others, may all be on one side.
    Raises TrainingError where a folder is missing, one side of the split is empty, or images are of another
    unit or modality than the profile; NothingReadableError where a folder holds no image.
    """
    data, split = images.folder, read_split(images.folder, images.validation)
    reading = _Reading(images, tuple(rows), patch, progress)
    training, validation, members = _read(reading)
    if not alone:
        return training, validation
    if not (training and validation) and not split.listed:
        held = hold_out(members)
        if held is not None:
            training, validation, _ = _read(reading, held)
    if not training or not validation:
        side = "validation" if training else "training"
        raise TrainingError(f"{data} {why_empty(side, patch, members, bool(split.listed))}")
    return training, validation


@dataclass(frozen=True, slots=True)
class _Reading:
    """Arguments of `load_images`."""

    images: TrainingSet
    rows: tuple[DataRow, ...]
    patch: int
    progress: Callable[[int, int], None]


def _read(
    reading: _Reading, held: HeldOut | None = None
) -> tuple[list[TrainingImage], list[TrainingImage], list[Member]]:
    """Training and validation images, by `held` if given, and the series whose images are large enough."""
    training = [image for row in reading.rows for image in draw_phantoms(row)]
    validation = [image for row in reading.rows for image in draw_phantoms(row, held_out=True)]
    members = []
    for item in walk(reading.images, reading.rows, reading.progress):
        used = 0
        for held_out, part in [(item.held_out, slice(None))] if held is None else held.parts(item.group):
            if item.row.repeats:
                images = _repeats(item, part)
            elif item.partner is None:
                images = _images(item, part, not held_out, reading.images.profile)
            else:
                images = _pairs(item, item.partner, part)
            large = [image for image in images if min(image.plane.shape) >= reading.patch]
            (validation if held_out else training).extend(large)
            used += len(large)
        if used:
            planes = len(item.series) // item.series.channels
            members.append(Member(patient_of(item.series), item.group, planes))
    return training, validation, members


@dataclass(frozen=True, slots=True)
class FoundImages:
    """A series of a data folder, its recipe row and clean partner, and the side of the split it is on."""

    series: Series
    partner: Series | None
    row: DataRow
    group: str
    """The file or folder, relative to the data folder; the first file where a folder holds several series."""
    held_out: bool
    content: int
    """Checksum of what is stored, the partner's too."""


def walk(
    images: TrainingSet, rows: Sequence[DataRow], progress: Callable[[int, int], None]
) -> Iterator[FoundImages]:
    """Every series of the folders in `rows`, read one after another; arguments as for `load_images`."""
    data, references = images.folder, images.references
    split = read_split(data, images.validation)
    found = [(row, *items) for row in rows if not row.phantom for items in _items(data, references, row)]
    paths = Counter((row.source, item.path) for row, item, _ in found)
    for done, (row, item, partner) in enumerate(found):
        series = read_item(item)
        held_out = split.holds_out(series, data)
        clean = None if partner is None else read_item(partner)
        group = item.path if paths[row.source, item.path] == 1 else item.files[0]
        stored = [one for one in (series, clean) if one is not None]
        content = checksum(*(values for one in stored for values in (one.pixels, one.slope, one.intercept)))
        yield FoundImages(series, clean, row, relative(group, data), held_out, content)
        progress(done + 1, len(found))


def _folder(data: Path, row: DataRow) -> Path:
    folder = data / row.folder
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder: the recipe expects images there; check --data.")
    return folder


def _items(data: Path, references: Path | None, row: DataRow) -> list[tuple[Item, Item | None]]:
    """The series of a row and their clean partners, None where noise is to be simulated."""
    items = _found(_folder(data, row), results=False)
    if references is None:
        return [(item, None) for item in items]
    partners = _found(_folder(references, row), option="--ref")
    return list(zip(items, pair_items(items, partners, "--ref"), strict=True))


def _found(folder: Path, *, results: bool = True, option: str = "") -> Sequence[Item]:
    found = discover([folder], results=results)
    if not found.items:
        raise found.nothing_readable([folder], option)
    return found.items


def _pairs(item: FoundImages, clean: Series, part: slice) -> Iterator[TrainingImage]:
    """The planes of a clean series with the real noise of its partner."""
    noisy, row = item.series, item.row
    order = align_planes(noisy, clean)
    target = clean.values(0, len(clean))[order]
    modality = row.modality or clean.modality
    low, width = window(target, modality, row)
    scale = np.float32(255 / width)
    noise = np.nan_to_num((noisy.values(0, len(noisy)) - target) * scale)
    if not noise.any():
        raise TrainingError(f"{noisy.path} and {clean.path} in --ref are alike: give noisy images in --data.")
    scaled = np.nan_to_num((target - np.float32(low)) * scale)
    for plane, difference in zip(scaled[part], noise[part], strict=True):
        if plane.std() > 3:
            place, own = (plane, modality, row.source, item.group), NoiseEstimate(0.0)
            yield TrainingImage(*place, own, difference, content=item.content)


def _repeats(item: FoundImages, part: slice) -> Iterator[TrainingImage]:
    """The noise of the frames of a still scene, each over a random scene: what is filmed is not learned.

    The noise of a frame is what it has more than the mean of the frames that share none with it, each counted
    by its noise power.
    Raises TrainingError for a series with fewer than FEWEST_REPEATS frames.
    """
    series, row = item.series, item.row
    frames = series.values(0, len(series))[:: series.channels]
    if len(frames) < FEWEST_REPEATS:
        raise TrainingError(
            f"{series.path} has {len(frames)} frames: a run whose frames are repeats of one scene needs "
            f"{FEWEST_REPEATS}; leave it out, or `repeats` out of the recipe."
        )
    modality, side = row.modality or series.modality, min(frames.shape[1:])
    scale = np.float32(255 / window(frames, modality, row)[1])
    seen = estimate_series(series).planes[:: series.channels]
    power = np.square([one.sigma for one in seen])
    power = np.maximum(power, 1e-3 * max(float(power.max()), 1e-6))
    rng = np.random.default_rng(REPEATS_SEED)
    for index in range(*part.indices(len(frames))):
        weights = np.array([(abs(n - index) >= APART) / power[n] for n in range(len(frames))])
        scene = np.average(frames, axis=0, weights=weights)
        alone = power[index] / (power[index] + 1 / weights.sum())
        noise = (scale * np.sqrt(alone) * middle(frames[index] - scene, side)).astype(np.float32)
        own = NoiseEstimate(float(noise.std()), seen[index].bands)
        place = draw_scene(side, rng), modality, row.source, item.group
        yield TrainingImage(*place, own, noise, content=item.content)


def _images(
    item: FoundImages, part: slice, augment: bool, profile: NoiseProfile | None
) -> Iterator[TrainingImage]:
    """The planes of a part of a series; with `augment` other cuts of isotropic volumes and halved copies as
    well. Those of a cine have their neighbours in that part with them."""
    series, row = item.series, item.row
    volume = series.values(0, len(series))[:: series.channels]
    modality = row.modality or series.modality
    low, width = window(volume, modality, row)
    volume = np.nan_to_num((volume - np.float32(low)) * np.float32(255 / width))[part]
    scaled = device = None
    if profile is not None:
        _check_kind(series, profile)
        scaled = profile.scaled(low, 255 / width)
        device = profile.in_window() or scaled
    for image, run, times in _planes(volume, series, augment):
        if image.std() > 3:  # an empty plane teaches nothing
            own = NoiseEstimate(row.own / times)
            if row.own < 0:
                own = own_noise(image, modality, row.most_own(item.group))
            like = None
            if scaled is not None:
                like = scaled.estimate(image[None], np.ones((1, *image.shape), bool))
            place = image, modality, row.source, item.group
            yield TrainingImage(*place, own, like=like, device=device, run=run, content=item.content)


def _check_kind(series: Series, profile: NoiseProfile) -> None:
    """Raises TrainingError for images of another unit or modality than the profile's."""
    advice = "measure a profile of such images."
    if profile.unit and series.unit and profile.unit != series.unit:
        raise TrainingError(
            f"{series.path} is in {series.unit}, the noise profile in {profile.unit}: {advice}"
        )
    if not same_kind(series.modality, profile.modality):
        raise TrainingError(
            f"{series.path} is {series.modality}, the noise profile is of {profile.modality}: {advice}"
        )


def window(volume: Image, modality: str, row: DataRow) -> tuple[float, float]:
    """The value that becomes 0 and the width that becomes 255."""
    if row.range > 0:
        return row.low, row.range
    if modality == "CT":
        return -1000.0, 2000.0  # air to dense bone; values outside go on in the same scale
    return row.low, max(float(np.nanpercentile(volume, 99.9)) - row.low, 1e-6)


def _planes(volume: Image, series: Series, augment: bool) -> Iterator[tuple[Image, Image | None, int]]:
    """Planes to train on, with the planes before and after them if there are any [3, H, W], and how many
    times they were made smaller."""
    for plane, run in _cuts(volume, series, augment):
        yield plane, run, 1
        times = 2
        while augment and min(plane.shape) >= HALVED:
            plane = halved(plane)
            yield plane, None, times
            times *= 2


def _cuts(volume: Image, series: Series, augment: bool) -> Iterator[tuple[Image, Image | None]]:
    spacing = series.geometry.spacing_mm
    volumetric = not series.is_cine and len(volume) >= 64 and max(spacing) <= ISOTROPIC * min(spacing)
    if not (augment and volumetric):
        yield from ((plane, _around(volume, index)) for index, plane in enumerate(volume))
        return
    for axis in range(3):  # neighbours look alike: every second plane of each cut
        cut = np.moveaxis(volume, axis, 0)
        for index in range(0, len(cut), 2):
            yield np.ascontiguousarray(cut[index]), _around(cut, index)


def _around(volume: Image, index: int) -> Image | None:
    return volume[index - 1 : index + 2] if 0 < index < len(volume) - 1 else None


def halved(plane: Image) -> Image:
    """2 x 2 means: another scale, with less noise of its own."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    halved: Image = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return halved
