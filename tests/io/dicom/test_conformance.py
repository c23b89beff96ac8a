"""No derived object has an error of dciodvfy that its source does not have."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from meddenoise.errors import InputError
from meddenoise.io import Item, discover
from meddenoise.series import INPAINTED, Derivation
from tests.conformance import DCIODVFY, DONE, new_errors
from tests.io_samples import packaged, save

pytestmark = pytest.mark.skipif(DCIODVFY is None, reason="needs dciodvfy of dicom3tools")

FOLDER = packaged("CT_small.dcm").parent
ITEMS = [item for item in discover([FOLDER]).items if item.format == "dicom"]
FILLED = Derivation("medcdiff-inpaint", "Partly filled in by meddenoise", "{}", INPAINTED)
PULSE = {
    "PulseSequenceName": "tse2d1", "MRAcquisitionType": "2D", "EchoPulseSequence": "SPIN",
    "PhaseContrast": "NO", "SteadyStatePulseSequence": "NONE",
    "BulkMotionCompensationTechnique": "NONE", "CoverageOfKSpace": "FULL",
}  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.files[0].name)
def test_a_result_of_a_file_of_pydicom_has_no_new_error(item: Item) -> None:
    try:
        found = new_errors(item)
    except InputError as error:
        pytest.skip(f"cannot be decoded here: {error}")
    assert not found
    assert not new_errors(item, FILLED)


def test_most_files_of_pydicom_are_judged() -> None:
    assert len(ITEMS) > 40


def test_an_enhanced_mr_image_loses_what_only_original_images_may_have(tmp_path: Path) -> None:
    """Built of a single-frame MR: what is tested is what such an object has at its top."""
    dataset = dcmread(packaged("MR_small.dcm"))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    for keyword, value in PULSE.items():
        setattr(dataset, keyword, value)
    (item,) = discover([save(dataset, tmp_path / "a.dcm")]).items
    found = new_errors(item, replace(DONE, method="median"))
    assert not [error for error in found if any(keyword in error for keyword in PULSE)]
