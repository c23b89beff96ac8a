"""OrganAMNIST, the abdominal CT patches of MedMNIST v2, by the loader of the package medmnist."""

from pathlib import Path

import numpy as np

from meddenoise.errors import TrainingError, UsageError, first_line
from meddenoise.series import Image
from meddenoise.training.data.windowed import Sides, WindowedPlane
from meddenoise.training.digest import checksum

NAME = "organamnist"
SIDES = (28, 64, 128, 224)


def load_organamnist(folder: Path, side: int) -> Sides:
    """Its training and validation images, `side` pixels wide, as planes in [-1, 1]; nothing is downloaded.

    `folder` is the one that medmnist downloaded to; it holds organamnist.npz (or organamnist_64.npz).
    Raises UsageError where the extra `medmnist` is not installed, TrainingError for a folder or a file that
    cannot be used. Source: Yang et al. 2023, Scientific Data 10:41 (CC BY 4.0).
    """
    training, validation = (
        [
            WindowedPlane(plane, NAME, f"{split}/{n}", checksum(plane))
            for n, plane in enumerate(read_split(folder, split, side))
        ]
        for split in ("train", "val")
    )
    return training, validation


def read_split(folder: Path, split: str, side: int) -> Image:
    """One split ("train", "val" or "test"), [N, side, side] in [-1, 1]. Raises as `load_organamnist`."""
    try:
        from medmnist import OrganAMNIST
    except ImportError as error:
        raise UsageError(
            "OrganAMNIST needs the package medmnist: pip install 'meddenoise[medmnist]'."
        ) from error
    if side not in SIDES:
        raise TrainingError(f"OrganAMNIST has no patches of {side} pixels: set patch to one of {SIDES}.")
    try:
        images = np.asarray(OrganAMNIST(split=split, root=str(folder), size=side).imgs)
    except (
        Exception
    ) as error:  # numpy, zipfile and medmnist each have their own for a file that is no data set
        raise TrainingError(
            f"{folder} holds no usable OrganAMNIST of {side} pixels ({first_line(error)}): give the folder "
            "that medmnist downloaded it to."
        ) from error
    if images.ndim != 3 or images.shape[1:] != (side, side) or not len(images):
        raise TrainingError(
            f"{folder} holds {split} images of shape {images.shape}, not N x {side} x {side}."
        )
    scaled: Image = (images.astype(np.float32) / np.float32(127.5)) - np.float32(1)
    return scaled
