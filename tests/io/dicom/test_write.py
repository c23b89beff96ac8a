"""DICOM out: a derived series, told as such, with everything else as it was."""

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from meddenoise.errors import OutputError
from meddenoise.io import read, write
from meddenoise.io.dicom.write import DEEPEST
from meddenoise.series import Geometry, Series
from tests.conformance import DCIODVFY, errors_of
from tests.io_samples import DONE, RNG, ct_folder, ct_slice, nifti, packaged, png, save

STATEMENT = Path(__file__).parents[3] / "docs" / "conformance.md"
MAY_CHANGE = {
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ImageType"),
    *("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"),
    *("ContributingEquipmentSequence", "PixelData", "DataSetTrailingPadding"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries"),
    *("LargestPixelValueInSeries", "InstanceCreationDate", "InstanceCreationTime"),
    "InstanceCreatorUID",
}


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


def derived(source: Path, folder: Path, **changes: Any) -> FileDataset:
    """The first file written for a source, denoised by nothing."""
    series = only(source)
    done = replace(DONE, **changes)
    (path, *_) = write(series.with_pixels(series.pixels, done), folder / "out.dcm")
    return dcmread(path)


def test_a_derived_object_says_what_it_is_and_whence_it_came(tmp_path: Path) -> None:
    source = save(ct_slice(SeriesDescription="CHEST", SeriesNumber=4), tmp_path / "a.dcm")
    before, after = dcmread(source), derived(source, tmp_path)
    assert after.ImageType == ["DERIVED", "SECONDARY", *before.ImageType[2:]]
    assert after.SeriesDescription == "CHEST denoised (median)"
    assert after.SeriesNumber == 1004
    assert after.DerivationDescription == DONE.description
    code = after.DerivationCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113087", "DCM")
    (reference,) = after.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == before.SOPClassUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert after.ContributingEquipmentSequence[-1].Manufacturer == "meddenoise"
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SeriesInstanceUID != before.SeriesInstanceUID


def test_all_other_elements_private_ones_too_stay(tmp_path: Path) -> None:
    source = packaged("CT_small.dcm")
    before, after = dcmread(source), derived(source, tmp_path)
    kept = [element for element in before if element.keyword not in MAY_CHANGE]
    assert len(kept) > 100
    for element in kept:
        assert after[element.tag].value == element.value, element
    assert after.PixelData == before.PixelData


def test_uids_follow_from_source_and_settings_alone(tmp_path: Path) -> None:
    source = save(ct_slice(), tmp_path / "a.dcm")
    first, again = derived(source, tmp_path), derived(source, tmp_path)
    other = derived(source, tmp_path, settings="method=median;size=5")
    (root,) = re.findall(r"InstanceUID \| new, under \D*([0-9.]+)", STATEMENT.read_text(encoding="utf-8"))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert first[keyword].value == again[keyword].value != other[keyword].value
        assert re.fullmatch(r"[0-9.]{1,64}", first[keyword].value)
        assert first[keyword].value.startswith(f"{root}.")


def test_the_files_of_a_series_share_one_new_series_and_keep_their_numbers(tmp_path: Path) -> None:
    series = only(ct_folder(tmp_path / "in"))
    paths = write(series.with_pixels(series.pixels, DONE), tmp_path / "out")
    found = [dcmread(path) for path in paths]
    assert [path.name for path in paths] == [file.name for file in series.files]
    assert len({dataset.SeriesInstanceUID for dataset in found}) == 1
    assert len({dataset.SOPInstanceUID for dataset in found}) == 4
    assert [dataset.InstanceNumber for dataset in found] == [1, 2, 3, 4]


def test_slices_that_share_an_identifier_get_one_each(tmp_path: Path) -> None:
    series = only(ct_folder(tmp_path / "in", SOPInstanceUID="1.2.3"))
    paths = write(series.with_pixels(series.pixels, DONE), tmp_path / "out")
    assert len({dcmread(path).SOPInstanceUID for path in paths}) == len(paths) == 4


def test_writing_changes_nothing_in_the_series_it_writes(tmp_path: Path) -> None:
    series = only(packaged("CT_small.dcm"))
    result = series.with_pixels(series.pixels, DONE)
    before = [str(source.dataset) for source in series.header]
    write(result, tmp_path / "a.dcm")
    assert [str(source.dataset) for source in series.header] == before


def test_a_long_description_gives_way_to_what_was_done(tmp_path: Path) -> None:
    after = derived(save(ct_slice(SeriesDescription="x" * 64), tmp_path / "a.dcm"), tmp_path)
    assert len(after.SeriesDescription) == 64
    assert after.SeriesDescription.endswith("x denoised (median)")


def test_a_second_pass_adds_to_the_history_of_the_first(tmp_path: Path) -> None:
    first = save(derived(save(ct_slice(), tmp_path / "a.dcm"), tmp_path), tmp_path / "first.dcm")
    second = derived(first, tmp_path, description="again")
    assert second.DerivationDescription == f"{DONE.description}; again"
    assert len(second.DerivationCodeSequence) == len(second.ContributingEquipmentSequence) == 2
    assert second.SourceImageSequence[0].ReferencedSOPInstanceUID == dcmread(first).SOPInstanceUID


def test_what_spoke_of_the_old_pixels_goes(tmp_path: Path) -> None:
    stale = {
        "SmallestImagePixelValue": 3,
        "LargestImagePixelValue": 9,
        "IconImageSequence": Sequence([Dataset()]),
        "DigitalSignaturesSequence": Sequence([Dataset()]),
    }
    dataset = ct_slice(**stale)
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        dataset[keyword].VR = "SS"
    after = derived(save(dataset, tmp_path / "a.dcm"), tmp_path)
    assert not [keyword for keyword in stale if keyword in after]


def test_stored_bits_and_padding_stay(tmp_path: Path) -> None:
    changes = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": -2000}
    pixels = RNG(3).integers(-2048, 2047, (8, 6), np.int16)
    source = save(ct_slice(**changes, PixelData=pixels.tobytes()), tmp_path / "a.dcm")
    after = derived(source, tmp_path)
    assert (after.BitsAllocated, after.BitsStored, after.HighBit, after.PixelRepresentation) == (
        16,
        12,
        11,
        1,
    )
    assert after.PixelPaddingValue == -2000
    assert np.array_equal(after.pixel_array, pixels)


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "693_J2KI.dcm"])
def test_every_source_becomes_plain_little_endian(name: str, tmp_path: Path) -> None:
    source = packaged(name)
    after = derived(source, tmp_path)
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(after.pixel_array, dcmread(source).pixel_array)


def test_colour_comes_out_as_rgb(tmp_path: Path) -> None:
    source = packaged("examples_ybr_color.dcm")
    after = derived(source, tmp_path)
    assert (after.PhotometricInterpretation, after.PlanarConfiguration) == ("RGB", 0)
    assert after.NumberOfFrames == 30
    assert np.array_equal(after.pixel_array, dcmread(source).pixel_array)
    assert (after.LossyImageCompression, after.FrameTime) == ("01", dcmread(source).FrameTime)


def test_a_lossy_past_is_told_where_the_source_did_not(tmp_path: Path) -> None:
    dataset = dcmread(packaged("SC_rgb_jpeg_dcmtk.dcm"))
    assert dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    for keyword in ("LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio"):
        if keyword in dataset:
            delattr(dataset, keyword)
    after = derived(save(dataset, tmp_path / "a.dcm"), tmp_path)
    assert (after.LossyImageCompression, after.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert 5 < float(after.LossyImageCompressionRatio) < 30


def test_overlay_planes_stay(tmp_path: Path) -> None:
    source = packaged("examples_overlay.dcm")
    assert np.array_equal(
        derived(source, tmp_path).overlay_array(0x6000), dcmread(source).overlay_array(0x6000)
    )


def test_an_overlay_in_the_high_bits_moves_to_its_own_element(tmp_path: Path) -> None:
    values, drawn = RNG(1).integers(0, 4096, (8, 6)), RNG(2).integers(0, 2, (8, 6))
    dataset = ct_slice(
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        PixelPaddingValue=None,
        PixelData=(values | drawn << 14).astype(np.uint16).tobytes(),
    )
    for element, vr, value in (
        *((0x10, "US", 8), (0x11, "US", 6), (0x40, "CS", "G"), (0x50, "SS", [1, 1])),
        *((0x100, "US", 16), (0x102, "US", 14)),
    ):
        dataset.add_new(0x60000000 + element, vr, value)
    after = derived(save(dataset, tmp_path / "a.dcm"), tmp_path)
    assert np.array_equal(after.pixel_array, values)
    assert np.array_equal(after.overlay_array(0x6000), drawn)


def test_overlays_in_the_high_bits_of_many_odd_frames_move_whole(tmp_path: Path) -> None:
    values, drawn = RNG(1).integers(0, 4096, (11, 5, 3)), RNG(2).integers(0, 2, (11, 5, 3))
    dataset = ct_slice(NumberOfFrames=11, Rows=5, Columns=3, BitsStored=12, HighBit=11, PixelRepresentation=0)
    del dataset.PixelPaddingValue
    dataset.PixelData = (values | drawn << 14).astype(np.uint16).tobytes()
    for element, vr, value in (
        *((0x10, "US", 5), (0x11, "US", 3), (0x15, "IS", 11), (0x40, "CS", "G"), (0x50, "SS", [1, 1])),
        *((0x51, "US", 1), (0x100, "US", 16), (0x102, "US", 14)),
    ):
        dataset.add_new(0x60000000 + element, vr, value)
    after = derived(save(dataset, tmp_path / "a.dcm"), tmp_path)
    assert np.array_equal(after.pixel_array, values)
    assert np.array_equal(after.overlay_array(0x6000), drawn)


def test_words_of_big_endian_sources_are_turned(tmp_path: Path) -> None:
    dataset = ct_slice()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = ct_slice().pixel_array.astype(">i2").tobytes()
    dataset.add_new(0x60003000, "OW", b"\x01\x02\x03\x04")
    path = tmp_path / "a.dcm"
    from pydicom import dcmwrite

    dcmwrite(path, dataset, implicit_vr=False, little_endian=False, enforce_file_format=True)
    after = derived(path, tmp_path)
    assert np.array_equal(after.pixel_array, ct_slice().pixel_array)
    assert after[0x60003000].value == b"\x02\x01\x04\x03"


def test_an_odd_number_of_bytes_is_padded(tmp_path: Path) -> None:
    after = derived(packaged("SC_rgb_small_odd.dcm"), tmp_path)
    assert len(after.PixelData) == 28
    assert np.array_equal(after.pixel_array, dcmread(packaged("SC_rgb_small_odd.dcm")).pixel_array)


def test_enhanced_objects_tell_derivation_in_their_functional_groups(tmp_path: Path) -> None:
    from tests.io.dicom.test_read import enhanced

    dataset = enhanced()
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = Sequence([kind])
    after = derived(save(dataset, tmp_path / "e.dcm"), tmp_path)
    shared = after.SharedFunctionalGroupsSequence[0]
    assert after.ImageType[:2] == ["DERIVED", "PRIMARY"]
    assert shared.CTImageFrameTypeSequence[0].FrameType == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    macro = shared.DerivationImageSequence[0]
    assert macro.DerivationDescription == DONE.description
    assert macro.SourceImageSequence[0].ReferencedSOPInstanceUID == dataset.SOPInstanceUID
    evidence = after.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.SeriesInstanceUID == dataset.SeriesInstanceUID
    assert np.array_equal(after.pixel_array, dataset.pixel_array)
    places = [
        group.PlanePositionSequence[0].ImagePositionPatient[2]
        for group in after.PerFrameFunctionalGroupsSequence
    ]
    assert places == [0, -4, -8]


def test_a_file_that_does_not_read_back_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = only(packaged("CT_small.dcm"))
    monkeypatch.setattr("meddenoise.io.dicom.write.stored_frames", lambda *_: [b"\0" * 3])
    with pytest.raises(OutputError, match="did not read back"):
        write(series.with_pixels(series.pixels, DONE), tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()


needs_dciodvfy = pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy is not installed")


def phantom(modality: str, dtype: str, high: float, **more: Any) -> Series:
    pixels = RNG(0).uniform(0, high, (3, 16, 16)).astype(dtype)
    return Series(
        pixels=pixels,
        slope=np.ones(3),
        intercept=np.full(3, -1024.0 if modality == "CT" else 0.0),
        stored_range=(0.0, high),
        geometry=Geometry((2.0, 0.5, 0.5), (1.0, 2.0, 3.0)),
        format="dicom",
        path=Path("phantom"),
        files=(),
        modality=modality,
        unit="HU" if modality == "CT" else "",
        name="phantom",
        **more,
    )


NEW = {
    "CT": phantom("CT", "u2", 4095),
    "CT float": phantom("CT", "f4", 4095),
    "MR": phantom("MR", "u2", 4095),
    "MR 8 bit": phantom("MR", "u1", 255),
    "CR": phantom("CR", "u2", 16383),
    "XA": phantom("XA", "u2", 1023, frame_time_ms=66.0),
    "RF": phantom("RF", "u2", 1023, frame_time_ms=66.0),
    "cine": phantom("US", "u1", 255, frame_time_ms=40.0),
    "colour": phantom("", "u1", 255, channels=3),
    "DX": phantom("DX", "u2", 4095),
    "": phantom("", "f8", 1.0),
}


@needs_dciodvfy
@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("done", [None, DONE])
def test_new_objects_are_valid(name: str, done: Any, tmp_path: Path) -> None:
    for path in write(replace(NEW[name], derivation=done), tmp_path / "new", format="dicom"):
        assert not errors_of(path)


@pytest.mark.parametrize("name", NEW)
def test_new_objects_hold_the_values(name: str, tmp_path: Path) -> None:
    series = NEW[name]
    write(series, tmp_path / "new", format="dicom")
    again = only(tmp_path / "new")
    step = 0 if series.pixels.dtype.kind == "u" else np.ptp(series.values(0, 3)) / 65535
    np.testing.assert_allclose(again.values(0, 3), series.values(0, 3), atol=step)
    assert again.frame_time_ms == series.frame_time_ms
    assert again.channels == series.channels
    if series.modality in ("CT", "MR"):
        assert again.geometry == series.geometry


def test_pixels_without_a_value_become_padding(tmp_path: Path) -> None:
    pixels = RNG(1).normal(size=(1, 6, 7)).astype(np.float32)
    pixels[0, 2, 3] = np.nan
    source = nifti(tmp_path / "a.nii", pixels)
    write(only(source), tmp_path / "a.dcm", format="dicom")
    again = only(tmp_path / "a.dcm")
    assert (again.valid(0, 1) == np.isfinite(pixels)).all()
    assert abs(again.values(0, 1) - pixels)[np.isfinite(pixels)].max() < 1e-3


def test_new_objects_have_the_same_uids_every_time(tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(4).integers(0, 255, (5, 6), np.uint8))
    first, second = (tmp_path / name for name in ("1.dcm", "2.dcm"))
    for path in (first, second):
        write(only(source), path, format="dicom")
    assert first.read_bytes() == second.read_bytes()
    assert dcmread(first).SOPClassUID.name == "Secondary Capture Image Storage"


def nested(folder: Path, depth: int) -> Path:
    """An image whose sequences lie so deep in one another, each of stated length: pydicom reads any depth."""
    content = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        content = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(item)) + item
    data = save(ct_slice(), folder / "deep.dcm").read_bytes()
    start = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    (folder / "deep.dcm").write_bytes(data[:start] + content + data[start:])
    return folder / "deep.dcm"


def test_sequences_are_written_as_deep_as_images_have_them_and_refused_beyond(tmp_path: Path) -> None:
    inner: Dataset = derived(nested(tmp_path, DEEPEST), tmp_path)
    for _ in range(DEEPEST):
        (inner,) = inner.ReferencedImageSequence
    assert not inner
    # the second took all memory and never ended
    for depth in (DEEPEST + 1, 400):
        with pytest.raises(OutputError, match=r"out.dcm cannot be encoded.*nested more than"):
            derived(nested(tmp_path, depth), tmp_path)
        assert not list(tmp_path.glob(".meddenoise-*"))
