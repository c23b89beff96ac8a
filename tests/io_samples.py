"""Small images in every format, made by other libraries than the ones under test where that is possible."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import tifffile
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from meddenoise.series import Derivation

DONE = Derivation("median", "Noise removed by a median of 3 pixels", "method=median;size=3")
RNG = np.random.default_rng


def packaged(name: str) -> Path:
    """A test file inside the pydicom package."""
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


def ct_slice(number: int = 0, **changes: Any) -> Dataset:
    """A CT slice of 8 x 6 noise, `number` x 2.5 mm up; `changes` set elements, None removes one."""
    dataset = dcmread(packaged("CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["sample", str(number), str(sorted(changes))])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pixels = RNG(number).integers(-900, 900, (8, 6), np.int16)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    dataset.ImagePositionPatient = [-10, -20, 2.5 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.InstanceNumber = number + 1
    del dataset.DataSetTrailingPadding
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def ct_folder(folder: Path, numbers: Sequence[int] = range(4), **changes: Any) -> Path:
    """A folder of CT slices whose names run against their positions."""
    for number in numbers:
        save(ct_slice(number, **changes), folder / f"s{99 - number}.dcm")
    return folder


def nifti(path: Path, pixels: np.ndarray[Any, Any], spacing: Sequence[float] = (0.7, 0.8, 3.0)) -> Path:
    """A NIfTI, NRRD or MetaImage volume [Z, Y, X], turned and shifted, written by SimpleITK."""
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing(spacing)
    image.SetOrigin((-5.0, 12.0, 30.0))
    image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    SimpleITK.WriteImage(image, str(path))
    return path


def png(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def tiff(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **({"photometric": "minisblack"} | options))
    return path


def sample(format: str, folder: Path) -> Path:
    """A file or folder of that format holding one series."""
    if format == "dicom":
        return ct_folder(folder / "ct")
    if format == "nifti":
        return nifti(folder / "volume.nii.gz", RNG(1).integers(-99, 999, (4, 6, 5), np.int16))
    if format in ("nrrd", "mha"):
        return nifti(folder / f"volume.{format}", RNG(4).integers(-99, 999, (4, 6, 5), np.int16))
    if format == "jpeg":
        Image.fromarray(RNG(5).integers(0, 255, (9, 7), np.uint8)).save(folder / "image.jpg", quality=90)
        return folder / "image.jpg"
    if format == "png":
        return png(folder / "image.png", RNG(2).integers(0, 65535, (9, 7), np.uint16))
    if format == "tiff":
        return tiff(folder / "stack.tif", RNG(3).integers(0, 255, (3, 9, 7), np.uint8))
    raise ValueError(f"no sample of {format}: add one here with the new row of FORMATS")
