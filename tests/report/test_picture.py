"""Pictures in a display window: 8 bit, black and white where the window ends."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import InputError, UsageError
from meddenoise.io import read, write
from meddenoise.io.memory import as_series
from meddenoise.report.picture import PRESETS, as_picture, check_modality, check_window
from tests.io_samples import ct_folder


def test_a_window_is_black_at_its_lower_end_and_white_at_its_upper_one(tmp_path: Path) -> None:
    values = np.array([[-999.0, -160.0, 40.0, 240.0, 999.0, np.nan]] * 2, np.float32)
    picture = as_picture(as_series(values, modality="CT"), "40,400")
    assert picture.pixels[0, 0].tolist() == [0, 0, 128, 255, 255, 0]
    (path,) = write(picture, tmp_path / "a.png", format="png")
    assert read(path)[0].pixels.dtype == np.uint8
    assert read(path)[0].pixels[0, 0].tolist() == [0, 0, 128, 255, 255, 0]


def test_names_are_windows_of_ct_in_hu() -> None:
    assert PRESETS["soft-tissue"] == (-160.0, 240.0)
    values = np.linspace(-1000, 1000, 64, dtype=np.float32).reshape(8, 8)
    series = as_series(values, modality="CT")
    np.testing.assert_array_equal(as_picture(series, "lung").pixels, as_picture(series, "-600,1500").pixels)


def test_a_background_of_zero_stays_black_in_mr(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.int16)
    values[16:48, 16:48] = np.random.default_rng(0).integers(80, 300, (32, 32))
    series = as_series(values, modality="MR")
    picture = as_picture(series, "auto").pixels[0]
    assert picture[:16].max() == 0 and picture[16:48, 16:48].max() == 255
    (path,) = write(series, tmp_path / "a.png", format="png")
    plain = read(path)[0].pixels[0]
    assert plain[:16].max() == 0
    np.testing.assert_array_equal(plain, 2 * values)


def test_windows_of_ct_are_refused_for_images_without_hu(tmp_path: Path) -> None:
    mr, ct = (as_series(np.ones((8, 8), np.int16), modality=code) for code in ("MR", "CT"))
    with pytest.raises(InputError, match="as --window lung needs"):
        check_modality("lung", mr)
    for text, series in (("lung", ct), ("auto", mr), ("40,400", mr)):
        check_modality(text, series)
    write(mr, tmp_path / "mr.nii", format="nifti")
    words = ["denoise", str(tmp_path / "mr.nii"), "--modality", "MR", "--method", "gaussian"]
    done = CliRunner().invoke(app, [*words, "--format", "png", "--window", "brain"])
    assert done.exit_code == 1 and "as --window brain needs (its modality is MR): give auto" in done.stderr
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("text", ["40", "40,0", "40,-9", "a,b", "1,2,3", "nan,4", "40;400"])
def test_a_window_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--window is"):
        check_window(text, "png")


def test_the_nearest_name_is_proposed_and_other_formats_have_no_window() -> None:
    with pytest.raises(UsageError, match="did you mean 'lung'"):
        check_window("lungs", "png")
    with pytest.raises(UsageError, match="add --format png"):
        check_window("lung", "same")


def test_denoise_writes_pictures(tmp_path: Path) -> None:
    ct_folder(tmp_path / "ct")
    words = ["denoise", str(tmp_path / "ct"), "--method", "gaussian", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--format", "png", "--window", "bone", "-q"])
    assert done.exit_code == 0, done.stderr
    pictures = [read(path)[0].pixels for path in sorted((tmp_path / "out").glob("*.png"))]
    assert len(pictures) == 4 and all(pixels.dtype == np.uint8 for pixels in pictures)
