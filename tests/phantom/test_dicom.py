"""The header of a phantom says what its pixels are, where they lie and how to show them."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from meddenoise.phantom.acquire import to_series
from meddenoise.phantom.dicom import write_dicom
from tests.phantom.flat import flat

IMAGES = "1.2.840.10008.5.1.4.1.1"


def written(
    folder: Path, name: str, planes: int = 3, number: int = 2, seed: int = 0
) -> list[pydicom.Dataset]:
    phantom = flat(name, 0, planes, seed)
    values = phantom.truth + 100 * np.arange(planes)[:, None, None] + np.arange(32)
    files = write_dicom(phantom, to_series(phantom, values, "noisy"), folder, number, "settings")
    assert [file.name for file in files] == [f"{n + 1:04d}.dcm" for n in range(len(files))]
    return [pydicom.dcmread(file) for file in files]


@pytest.mark.parametrize(
    ("name", "kind", "stored", "window"),
    [
        ("ct", ".2", 16, (60, 400)), ("mr", ".4", 12, (700, 1400)),
        ("xray", ".1.1", 14, (4800, 7600)), ("fluoro", ".12.1", 12, (1150, 2000)),
    ],
)  # fmt: skip
def test_pixels_are_as_the_header_says(
    name: str, kind: str, stored: int, window: tuple[int, int], tmp_path: Path
) -> None:
    datasets = written(tmp_path, name)
    assert len(datasets) == (1 if name == "fluoro" else 3)
    for n, dataset in enumerate(datasets):
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == IMAGES + kind
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, stored, stored - 1)
        assert dataset.PixelRepresentation == (name == "ct")
        assert (dataset.WindowCenter, dataset.WindowWidth) == window
        assert (dataset.SeriesNumber, dataset.InstanceNumber, dataset.Modality) == (
            2, n + 1, {"ct": "CT", "mr": "MR", "xray": "DX", "fluoro": "XA"}[name],
        )  # fmt: skip
        assert np.all(dataset.pixel_array[..., 0, :] == 100 * np.arange(3)[:, None] + np.arange(32)
                      if name == "fluoro" else dataset.pixel_array == 100 * n + np.arange(32))  # fmt: skip


@pytest.mark.parametrize(("name", "pixel"), [("ct", 360 / 32), ("mr", 220 / 32)])
def test_slices_lie_from_the_feet_up_about_the_middle(name: str, pixel: float, tmp_path: Path) -> None:
    datasets = written(tmp_path, name)
    places = [dataset.ImagePositionPatient for dataset in datasets]
    assert [place[2] for place in places] == [-3, 0, 3]
    assert {tuple(place[:2]) for place in places} == {(-15.5 * pixel, -15.5 * pixel)}
    for dataset in datasets:
        assert list(dataset.PixelSpacing) == [pixel, pixel] and dataset.SliceThickness == 3
        assert list(dataset.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert dataset.get("SpacingBetweenSlices") == (3 if name == "mr" else None)
    assert len({dataset.FrameOfReferenceUID for dataset in datasets}) == 1


def test_projections_have_the_spacing_of_their_detector_and_a_cine_its_time(tmp_path: Path) -> None:
    (film,) = written(tmp_path / "x", "xray", planes=1)
    assert film.ImagerPixelSpacing == film.PixelSpacing == [380 / 32] * 2
    assert (film.PixelIntensityRelationship, film.PixelIntensityRelationshipSign) == ("LOG", -1)
    (cine,) = written(tmp_path / "c", "fluoro", planes=5)
    assert cine.NumberOfFrames == 5 and cine.FrameTime == pytest.approx(1000 / 15)
    assert cine.CineRate == cine.RecommendedDisplayFrameRate == 15
    assert cine.FrameIncrementPointer == pydicom.tag.Tag("FrameTime")
    assert "ImagePositionPatient" not in cine and "FrameOfReferenceUID" not in film


def test_identifiers_tell_series_seeds_and_planes_apart_within_one_study(tmp_path: Path) -> None:
    first = written(tmp_path / "a", "ct")
    other = written(tmp_path / "b", "ct", number=1)
    patient = written(tmp_path / "c", "ct", seed=3)
    assert first == written(tmp_path / "d", "ct")
    assert first[0].StudyInstanceUID == other[0].StudyInstanceUID != patient[0].StudyInstanceUID
    assert first[0].FrameOfReferenceUID == other[0].FrameOfReferenceUID != patient[0].FrameOfReferenceUID
    assert len({one.SeriesInstanceUID for one in (*first, *other, *patient)}) == 3
    assert len({one.SOPInstanceUID for one in (*first, *other, *patient)}) == 9
    assert (first[0].PatientID, patient[0].PatientID) == ("MEDDENOISE-CT-0", "MEDDENOISE-CT-3")
    assert first[0].PatientName == "Phantom^Abdomen"
