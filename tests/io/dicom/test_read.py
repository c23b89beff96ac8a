"""DICOM in: stored values of every encoding, stacks in order, rescale, padding, geometry, grouping."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from meddenoise.errors import NotAnImageError, UnsupportedError
from meddenoise.io import discover, read, read_item, write
from meddenoise.io.dicom.gdcm import Gdcm
from meddenoise.io.dicom.header import read_header
from meddenoise.io.dicom.pixels import decode, describe
from meddenoise.series import Series
from tests.io_samples import DONE, RNG, ct_folder, ct_slice, packaged, save

SAME_PIXELS = [
    ("MR_small_RLE.dcm", "MR_small.dcm"),
    ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("MR_small_expb.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_padded.dcm", "MR_small.dcm"),
    ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle_16bit_2frame.dcm"),
]


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


def slices(folder: Path, *changes: dict[str, Any]) -> list[Series]:
    for number, change in enumerate(changes):
        save(ct_slice(number, **change), folder / f"{number}.dcm")
    return read(folder)


@pytest.mark.parametrize("shape", [(1, 3, 50), (1, 50, 3), (1, 3, 3), (3, 3, 4), (3, 3, 3)])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_colour_of_three_rows_columns_or_frames_is_one_series_of_colours(
    shape: tuple[int, int, int], planar: int, syntax: UID, tmp_path: Path
) -> None:
    """Three rows or columns look like the three colours, and three frames like either."""
    if syntax == JPEGLSLossless and shape != (1, 3, 50) and shape != (1, 50, 3):
        pytest.skip("its encoder takes no picture of so few bytes")
    colours = RNG(7).integers(0, 255, (*shape, 3), np.uint8)
    dataset = dcmread(packaged("SC_rgb_rle_16bit.dcm"))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = shape
    dataset.PlanarConfiguration = planar
    stored = colours if planar == 0 else np.moveaxis(colours, -1, 1)
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.size % 2)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, colours if shape[0] > 1 else colours[0], generate_instance_uid=False)
    series = only(save(dataset, tmp_path / "a.dcm"))
    assert (series.channels, series.pixels.shape) == (3, (3 * shape[0], *shape[1:]))
    expected = np.moveaxis(colours, -1, 1).reshape(series.pixels.shape)
    assert np.array_equal(series.pixels, expected)
    write(replace(series, derivation=DONE), tmp_path / "b.dcm", format="dicom")
    assert np.array_equal(only(tmp_path / "b.dcm").pixels, expected)


@pytest.mark.parametrize(("encoded", "plain"), SAME_PIXELS)
def test_every_encoding_of_one_image_gives_the_same_stored_values(encoded: str, plain: str) -> None:
    there, expected = only(packaged(encoded)).pixels, only(packaged(plain)).pixels
    assert np.array_equal(there, expected[: len(there)])


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEGLSNearLossless_16.dcm",
        "examples_overlay.dcm",
        "image_dfl.dcm",
        "SC_rgb_rle_32bit_2frame.dcm",
        "examples_ybr_color.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "SC_rgb_jpeg.dcm",
    ],
)
def test_stored_values_are_those_of_pydicom(name: str) -> None:
    series = only(packaged(name))
    expected = dcmread(packaged(name)).pixel_array
    if series.channels == 3:
        expected = np.moveaxis(expected, -1, -3)
    assert series.pixels.dtype == expected.dtype
    assert np.array_equal(series.pixels, expected.reshape(series.pixels.shape))


@pytest.mark.parametrize(
    "name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "693_J2KI.dcm"]
)
def test_gdcm_gives_the_stored_values_that_pydicom_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packaged(name)
    header = read_header(path)
    form = describe(header, path)
    first, second = (np.empty((1, form.rows, form.columns), form.dtype) for _ in range(2))
    with Gdcm() as gdcm:
        decode(header, form, path, first, [0], gdcm)

        def refuse(*_: Any) -> None:
            raise RuntimeError("pydicom is kept out")

        monkeypatch.setattr("meddenoise.io.dicom.pixels._frames", refuse)
        decode(header, form, path, second, [0], gdcm)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_lossless_that_only_gdcm_knows_is_read_exactly(tmp_path: Path, colour: bool) -> None:
    shape = (40, 50, 3) if colour else (40, 50)
    kind = np.uint8 if colour else np.int16
    # even: a rescale slope of 2 holds them exactly
    pixels = (2 * RNG(5).integers(0 if colour else -500, 125, shape)).astype(kind)
    image = SimpleITK.GetImageFromArray(pixels, isVector=colour)
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "x.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    if not colour:
        image = SimpleITK.JoinSeries(image)
        image.SetMetaData("0028|1053", "2")
        image.SetMetaData("0028|1052", "-1024")
    writer.Execute(image)
    assert dcmread(tmp_path / "x.dcm").file_meta.TransferSyntaxUID in (JPEGLossless, JPEGLosslessSV1)
    series = only(tmp_path / "x.dcm")
    expected = np.moveaxis(pixels, -1, 0) if colour else pixels[np.newaxis]
    if colour:
        assert np.array_equal(series.pixels, expected)
    else:
        assert np.array_equal(series.values(0, 1), expected.astype(np.float32))


def test_a_folder_becomes_a_stack_sorted_by_position(tmp_path: Path) -> None:
    series = only(ct_folder(tmp_path))
    expected = np.stack([ct_slice(number).pixel_array for number in range(4)])
    assert np.array_equal(series.pixels, expected)
    assert [file.name for file in series.files] == ["s99.dcm", "s98.dcm", "s97.dcm", "s96.dcm"]
    geometry = series.geometry
    assert geometry.spacing_mm == (2.5, 0.661468, 0.661468)
    assert geometry.origin_mm == (-10, -20, 0)
    assert geometry.axes == ((0, 0, 1), (0, 1, 0), (1, 0, 0))
    assert (series.modality, series.unit, series.warnings) == ("CT", "HU", ())


def test_values_are_hounsfield_units(tmp_path: Path) -> None:
    series = only(save(ct_slice(RescaleSlope=2, RescaleIntercept=-100), tmp_path / "a.dcm"))
    assert np.array_equal(series.values(0, 1)[0], ct_slice().pixel_array * np.float32(2) - 100)


def test_slices_with_their_own_slopes_keep_them(tmp_path: Path) -> None:
    (series,) = slices(tmp_path, {"RescaleSlope": 1}, {"RescaleSlope": 3}, {"RescaleSlope": 0.5})
    assert series.slope.tolist() == [1, 3, 0.5]


def test_a_rescale_slope_of_zero_is_not_believed(tmp_path: Path) -> None:
    (series,) = slices(tmp_path, {"RescaleSlope": 0})
    assert series.slope.tolist() == [1.0]
    assert "slope of 0" in series.warnings[0]


def test_series_and_geometries_are_kept_apart(tmp_path: Path) -> None:
    found = slices(
        tmp_path,
        {},
        {},
        {"SeriesInstanceUID": "1.2.3"},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    )
    assert sorted(len(series) for series in found) == [1, 1, 1, 2]


def test_phases_at_the_same_positions_become_stacks_of_their_own(tmp_path: Path) -> None:
    for phase in range(3):
        for number in range(4):
            dataset = ct_slice(number, AcquisitionNumber=phase, SOPInstanceUID=f"1.2.{phase}.{number}")
            save(dataset, tmp_path / f"{phase}{number}.dcm")
    found = read(tmp_path)
    assert [len(series) for series in found] == [4, 4, 4]
    assert all(not series.warnings for series in found)


def test_duplicates_nothing_tells_apart_are_one_stack_with_a_warning(tmp_path: Path) -> None:
    for copy in range(2):
        ct_folder(tmp_path / str(copy), SliceLocation=str(copy))
    series = only(tmp_path)
    assert len(series) == 8
    assert "4 of 8 planes repeat" in series.warnings[0]


@pytest.mark.parametrize(
    ("positions", "word"),
    [
        ([0, 1, 2, 5, 6], "missing between the others (about 2)"),
        ([0, 1, 2.3, 3.3], "unevenly spaced"),
    ],
)
def test_odd_positions_are_warnings(tmp_path: Path, positions: list[float], word: str) -> None:
    (series,) = slices(tmp_path, *({"ImagePositionPatient": [0, 0, z]} for z in positions))
    assert word in series.warnings[0]


def test_gantry_tilt_is_a_warning_and_shows_in_the_plane_axis(tmp_path: Path) -> None:
    (series,) = slices(tmp_path, *({"ImagePositionPatient": [0, 0.3 * z, z]} for z in range(4)))
    assert "gantry tilt of 17 degrees" in series.warnings[0]
    np.testing.assert_allclose(series.geometry.axes[0], np.array([0, 0.3, 1]) / np.hypot(0.3, 1))


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [(-2000, None, (-2000, -2000)), (-2000, -1500, (-2000, -1500)), (-1500, -2000, (-2000, -1500))],
)
def test_padding_and_its_range_are_no_image(
    tmp_path: Path, value: int, limit: int | None, expected: tuple[float, float]
) -> None:
    dataset = ct_slice(PixelPaddingValue=value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "SS", limit)
    assert only(save(dataset, tmp_path / "a.dcm")).padding == expected


def test_padding_written_with_the_wrong_sign_is_understood(tmp_path: Path) -> None:
    dataset = ct_slice()
    dataset["PixelPaddingValue"].VR = "US"
    dataset.PixelPaddingValue = 63536
    assert only(save(dataset, tmp_path / "a.dcm")).padding == (-2000, -2000)


def test_monochrome1_is_inverted_and_kept_as_stored(tmp_path: Path) -> None:
    series = only(save(ct_slice(PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm"))
    assert series.inverted and np.array_equal(series.pixels[0], ct_slice().pixel_array)


@pytest.mark.parametrize("signed", [0, 1])
def test_left_aligned_bits_and_overlay_bits_beside_them_are_understood(tmp_path: Path, signed: int) -> None:
    values = RNG(8).integers(-2048 if signed else 0, 2048 if signed else 4096, (8, 6))
    words = ((values & 0xFFF) << 3 | RNG(9).integers(0, 2, (8, 6)) << 15 | 5).astype(np.uint16)
    changes = {"BitsStored": 12, "HighBit": 14, "PixelRepresentation": signed, "PixelData": words.tobytes()}
    series = only(save(ct_slice(**changes, PixelPaddingValue=None), tmp_path / "a.dcm"))
    assert np.array_equal(series.pixels[0], values)
    assert series.stored_range == ((-2048, 2047) if signed else (0, 4095))


@given(values=arrays(np.int64, (3, 4), elements=st.integers(-2048, 4095)), signed=st.booleans(),
       shift=st.integers(1, 4), upper=st.booleans(), rle=st.booleans())  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_an_odd_high_bit_keeps_values_and_words(values, signed, shift, upper, rle) -> None:
    """With the values where the header says, and in the lowest bits all the same."""
    values = np.clip(values, -2048, 2047) if signed else np.clip(values, 0, 4095)
    values[0, 0], values[0, 1] = 1, 2047 if signed else 4095  # neither all empty nor all small
    kind = np.int16 if signed else np.uint16
    words = (values << shift if upper else values).astype(kind)
    with TemporaryDirectory() as folder:
        dataset = ct_slice(Rows=3, Columns=4, BitsStored=12, HighBit=11 + shift,
                           PixelRepresentation=int(signed), PixelData=words.tobytes())  # fmt: skip
        if rle:
            dataset.BitsStored, dataset.HighBit = 16, 15  # or pydicom refuses the words
            dataset.compress(RLELossless, words)
            dataset.BitsStored, dataset.HighBit = 12, 11 + shift
        (series,) = read(save(dataset, Path(folder) / "a.dcm"))
        assert np.array_equal(series.pixels[0], values)
        assert bool(series.warnings) is not upper
        write(series.with_pixels(series.pixels, DONE), Path(folder) / "b.dcm")
        after = dcmread(Path(folder) / "b.dcm")
        assert np.array_equal(np.frombuffer(after.PixelData, kind).reshape(3, 4), words)
        assert (after.BitsStored, after.HighBit) == (12, 11 + shift if upper else 11)
        assert np.array_equal(read(Path(folder) / "b.dcm")[0].pixels[0], values)


def test_a_modality_table_is_told_and_left_alone(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [4, 0, 16], "OD", [1, 2, 4, 8]
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    dataset = ct_slice(RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=Sequence([table]))
    series = only(save(dataset, tmp_path / "a.dcm"))
    assert series.slope.tolist() == [1] and "lookup table" in series.warnings[0]


def enhanced(frames: int = 3) -> Dataset:
    """An enhanced object: spacing and turn shared, place and rescale per frame, frames filed downwards."""
    dataset = ct_slice()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = frames
    pixels = np.stack([ct_slice(number).pixel_array for number in range(frames)])
    dataset.PixelData = pixels.tobytes()
    shared, turn, measures = Dataset(), Dataset(), Dataset()
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.25], 2
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([turn]), Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for frame in range(frames):
        group, place, value = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [1, 2, -4.0 * frame]
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = frame + 1, 10 * frame, "US"
        group.PlanePositionSequence = Sequence([place])
        group.PixelValueTransformationSequence = Sequence([value])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return dataset


def test_enhanced_frames_are_placed_and_scaled_by_their_functional_groups(tmp_path: Path) -> None:
    series = only(save(enhanced(), tmp_path / "e.dcm"))
    assert np.array_equal(series.pixels[::-1], np.stack([ct_slice(n).pixel_array for n in range(3)]))
    assert series.slope.tolist() == [3, 2, 1] and series.intercept.tolist() == [20, 10, 0]
    assert series.geometry.spacing_mm == (4, 0.5, 0.25)
    assert series.geometry.origin_mm == (1, 2, -8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"FrameTime": "40"}, 40.0),
        ({"FrameTimeVector": [0, 30, 50]}, 40.0),
        ({"RecommendedDisplayFrameRate": "25"}, 40.0),
        ({"CineRate": "25"}, 40.0),
        ({}, None),
    ],
)
def test_a_cine_knows_its_frame_time(tmp_path: Path, changes: dict[str, Any], expected: float | None) -> None:
    film = ct_slice(NumberOfFrames=3, PixelData=ct_slice().PixelData * 3, **changes)
    assert only(save(film, tmp_path / "c.dcm")).frame_time_ms == expected
    assert discover([tmp_path]).items[0].cine == (expected is not None)


@pytest.mark.parametrize(
    ("sop_class", "expected"), [("12.1", 0.0), ("12.2", 0.0), ("12.1.1", 0.0), ("13.1.1", None)]
)
def test_x_ray_frames_are_a_cine_but_for_reconstructed_volumes(
    sop_class: str, expected: float | None, tmp_path: Path
) -> None:
    kind = {"Modality": "XA", "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{sop_class}"}
    film = ct_slice(NumberOfFrames=3, PixelData=ct_slice().PixelData * 3, **kind)
    assert only(save(film, tmp_path / "c.dcm")).frame_time_ms == expected


def test_colour_frames_become_red_green_and_blue_planes() -> None:
    series = only(packaged("SC_rgb_rle_2frame.dcm"))
    assert series.channels == 3 and series.pixels.shape == (6, 100, 100)
    expected = dcmread(packaged("SC_rgb_rle_2frame.dcm")).pixel_array
    assert np.array_equal(series.pixels[4], expected[1, :, :, 1])


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("examples_palette.dcm", UnsupportedError, "palette"),
        ("liver_1frame.dcm", NotAnImageError, "segmentation"),
        ("rtdose.dcm", NotAnImageError, "radiotherapy dose"),
        ("rtplan.dcm", NotAnImageError, "RTPLAN"),
        ("dicomdirtests/DICOMDIR", NotAnImageError, "DICOMDIR"),
    ],
)
def test_what_is_not_denoised_is_refused_in_a_sentence(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        read(packaged(name))
    assert str(packaged(name)) in str(caught.value)


def test_missing_preamble_and_meta_are_no_obstacle(tmp_path: Path) -> None:
    plain = packaged("CT_small.dcm").read_bytes()
    (tmp_path / "no_preamble").write_bytes(plain[128 + 4 :])
    body = ct_slice()
    body.file_meta.clear()
    body.save_as(tmp_path / "no_meta", implicit_vr=True, little_endian=True)
    assert np.array_equal(only(tmp_path / "no_preamble").pixels, only(packaged("CT_small.dcm")).pixels)
    assert np.array_equal(only(tmp_path / "no_meta").pixels[0], ct_slice().pixel_array)


def test_one_damaged_slice_leaves_the_others_of_its_series(tmp_path: Path) -> None:
    ct_folder(tmp_path)
    damaged = tmp_path / "s98.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    found = discover([tmp_path])
    assert [problem.path.name for problem in found.failed] == ["s98.dcm"]
    assert len(read_item(found.items[0])) == 3


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_multi_frame_compressed_files_are_read_frame_by_frame(tmp_path: Path, syntax: Any) -> None:
    film = ct_slice(NumberOfFrames=3)
    frames = [ct_slice(number).pixel_array for number in range(3)]
    film.PixelData = b"".join(frame.tobytes() for frame in frames)
    film.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls")
    assert np.array_equal(only(save(film, tmp_path / "c.dcm")).pixels, np.stack(frames))


def test_frames_beyond_the_declared_ones_are_told(tmp_path: Path) -> None:
    dataset = ct_slice()
    dataset.PixelData *= 3
    (series,) = read(save(dataset, tmp_path / "a.dcm"))
    assert len(series) == 1
    assert "pixels of 2 more frames than declared are left out" in " ".join(series.warnings)


def test_an_offset_table_is_not_needed(tmp_path: Path) -> None:
    film = ct_slice()
    film.compress(RLELossless, encoding_plugin="pydicom")
    film.PixelData = encapsulate([get_frame(film.PixelData, 0, number_of_frames=1)], has_bot=False)
    assert np.array_equal(only(save(film, tmp_path / "c.dcm")).pixels[0], ct_slice().pixel_array)


def test_exposure_is_read_where_every_plane_states_it_and_it_changes(tmp_path: Path) -> None:
    (series,) = slices(tmp_path / "all", *({"Exposure": 10 * n + 5} for n in range(3)))
    assert series.exposures == (5, 15, 25)
    silent = {"XRayTubeCurrent": None}
    (series,) = slices(tmp_path / "some", *({"Exposure": n or None} | silent for n in (5, 0, 7)))
    assert series.exposures == ()
    (series,) = slices(tmp_path / "current", *({"XRayTubeCurrent": 100 + n, "Exposure": 9} for n in range(2)))
    assert series.exposures == (100, 101)


def test_series_with_zeros_at_the_end_of_their_identifiers_are_told_apart(tmp_path: Path) -> None:
    uids = "1.3.12.2.1107.5.2.211.0.0.0", "1.3.12.2.1107.5.2.938.0.0.0", "1.2", "2.0"
    labels = []
    for number, uid in enumerate(uids):
        slices(tmp_path / uid, {"SeriesInstanceUID": uid, "SeriesNumber": number})
        labels.append(only(tmp_path / uid).label)
    assert labels == [
        "series 0 (....2.211.0.0.0)",
        "series 1 (....2.938.0.0.0)",
        "series 2 (...1.2)",
        "series 3 (...2.0)",
    ]
