"""The contract every format of the FORMATS table keeps, and conversions between them."""

from pathlib import Path

import numpy as np
import pytest

from meddenoise.errors import OutputError, UsageError
from meddenoise.io import FORMATS, WRITTEN_AS, discover, get_format, output_paths, read, write
from meddenoise.series import Series
from tests.io_samples import DONE, ct_folder, sample, tiff

every_format = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture
def source(format: str, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return sample(format, folder)


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


@every_format
def test_a_format_is_told_by_content_and_by_no_other_format(format: str, source: Path) -> None:
    file = source if source.is_file() else next(source.iterdir())
    bare = file.rename(file.with_name("no_suffix"))
    claims = [name for name in FORMATS if get_format(name).sniff(bare)]
    assert claims[0] == format


@every_format
def test_reading_fills_every_field_consistently(format: str, source: Path) -> None:
    series = only(source)
    assert series.format == format
    assert series.pixels.ndim == 3
    assert series.slope.shape == series.intercept.shape == (len(series),)
    assert series.pixels.min() >= series.stored_range[0]
    assert series.pixels.max() <= series.stored_range[1]
    assert series.pixels.dtype.isnative
    assert all(file.is_file() for file in series.files)


@every_format
def test_write_and_read_again_keeps_pixels_geometry_and_scale(
    format: str, source: Path, tmp_path: Path
) -> None:
    series = only(source)
    result = series.with_pixels(series.pixels, DONE)
    written = write(result, tmp_path / "out", root=source.parent)
    again = only(tmp_path / "out")
    assert written == output_paths(series, tmp_path / "out", root=source.parent)
    assert again.pixels.dtype == series.pixels.dtype
    assert again.pixels.tobytes() == series.pixels.tobytes()
    assert again.geometry == series.geometry
    assert again.slope.tolist() == series.slope.tolist()
    assert again.intercept.tolist() == series.intercept.tolist()
    assert again.stored_range == series.stored_range
    assert (again.modality, again.unit, again.padding) == (series.modality, series.unit, series.padding)
    assert (again.channels, again.inverted) == (series.channels, series.inverted)


@every_format
def test_new_pixels_arrive_in_the_file(format: str, source: Path, tmp_path: Path) -> None:
    series = only(source)
    new = series.store(series.values(0, len(series)) + np.float32(3), 0, len(series))
    write(series.with_pixels(new, DONE), tmp_path / "out", root=source.parent)
    assert only(tmp_path / "out").pixels.tobytes() == new.tobytes() != series.pixels.tobytes()


@every_format
def test_the_same_result_is_written_as_the_same_bytes(format: str, source: Path, tmp_path: Path) -> None:
    series = only(source)
    result = series.with_pixels(series.pixels, DONE)
    first = [path.read_bytes() for path in write(result, tmp_path / "a", root=source.parent)]
    second = [path.read_bytes() for path in write(result, tmp_path / "b", root=source.parent)]
    assert first == second


@every_format
def test_a_result_is_never_written_over_its_source(format: str, source: Path) -> None:
    series = only(source)
    before = {file: file.read_bytes() for file in series.files}
    if format in WRITTEN_AS:
        write(series.with_pixels(series.pixels, DONE), source.parent, root=source.parent)
        assert {file: file.read_bytes() for file in series.files} == before
        return
    with pytest.raises(OutputError, match="input"):
        write(series.with_pixels(series.pixels, DONE), source.parent, root=source.parent)
    assert {file: file.read_bytes() for file in series.files} == before


@every_format
@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_nothing_behind(
    format: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    series = only(source)
    calls = []

    def refuse(handle: int) -> None:
        calls.append(handle)
        if len(calls) == len(series.files):
            raise stop

    monkeypatch.setattr("meddenoise.io.atomic.os.fsync", refuse)
    expected = KeyboardInterrupt if isinstance(stop, KeyboardInterrupt) else OutputError
    with pytest.raises(expected) as caught:
        write(series.with_pixels(series.pixels, DONE), tmp_path / "out" / "deep", root=source.parent)
    assert isinstance(stop, KeyboardInterrupt) or str(tmp_path / "out") in str(caught.value)
    assert not (tmp_path / "out").exists()


@every_format
@pytest.mark.parametrize("target", ["dicom", "nifti", "nrrd", "mha", "png"])
def test_conversion_keeps_the_values(format: str, target: str, source: Path, tmp_path: Path) -> None:
    series = only(source)
    result = series.with_pixels(series.pixels, DONE)
    paths = write(result, tmp_path / "out", format=target, root=source.parent)
    assert paths == output_paths(series, tmp_path / "out", format=target, root=source.parent)
    assert all(path.is_file() for path in paths)
    assert not discover([tmp_path / "out"]).failed
    # single pictures know no order but that of the paths
    again = [only(path) for path in paths] if target == "png" else [only(tmp_path / "out")]
    values = np.concatenate([part.values(0, len(part)) for part in again])
    expected = series.values(0, len(series))
    if target != "png":
        np.testing.assert_allclose(values, expected, atol=1e-4)
    elif format not in ("png", "jpeg"):
        # grey levels rise linearly with the values over the stored range
        slope, start = np.polyfit(expected.ravel(), values.ravel(), 1)
        np.testing.assert_allclose(values, slope * expected + start, atol=0.01)
        assert slope > 0


def test_dicom_to_nifti_and_back_keeps_the_place_in_the_patient(tmp_path: Path) -> None:
    series = only(ct_folder(tmp_path / "ct"))
    write(series.with_pixels(series.pixels, DONE), tmp_path / "v.nii", format="nifti")
    volume = only(tmp_path / "v.nii")
    np.testing.assert_allclose(volume.geometry.origin_mm, series.geometry.origin_mm, atol=1e-4)
    np.testing.assert_allclose(volume.geometry.spacing_mm, series.geometry.spacing_mm, atol=1e-5)
    np.testing.assert_allclose(volume.geometry.axes, series.geometry.axes, atol=1e-6)


def test_colour_is_refused_for_nifti(tmp_path: Path) -> None:
    source = tiff(tmp_path / "c.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(OutputError, match="colour"):
        write(only(source), tmp_path / "c.nii", format="nifti")
    assert not (tmp_path / "c.nii").exists()


def test_an_unknown_format_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'nifti'"):
        get_format("nifty")
