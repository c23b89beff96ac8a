"""Noise maps in and out: read, refused where they do not fit, used, and written for the next run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.engine.level import expect_noise
from meddenoise.errors import InputError, UnsupportedError, UsageError
from meddenoise.io import read
from meddenoise.noise.map_file import read_noise_map
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options, check_options
from meddenoise.series import Geometry, Series
from tests.commands import run
from tests.io_samples import RNG, ct_folder, nifti, png, tiff
from tests.plain import profile

SHAPE = (3, 48, 40)
SPACED = Geometry(spacing_mm=(3.0, 0.7, 0.7))
QUICK = ("--method", "gaussian", "--device", "cpu", "--no-report")


def scan(folder: Path, sigma: float = 20.0) -> Path:
    truth = 500 + 200 * np.sin(np.indices(SHAPE)[2] / 9)
    return nifti(folder / "scan.nii", (truth + RNG(0).normal(0, sigma, SHAPE)).astype(np.float32))


def level(folder: Path, values: np.ndarray[Any, Any], name: str = "map.nii") -> Path:
    return nifti(folder / name, values.astype(np.float32))


def test_a_map_is_used_plane_by_plane_and_where_it_is_0_every_bit_stays(tmp_path: Path) -> None:
    noise = np.full(SHAPE, 20.0)
    noise[1] = 0
    noise[:, :, :10] = 0
    given = ("--noise-map", level(tmp_path, noise), "-o", tmp_path / "out.nii")
    assert "two estimates" not in run("denoise", scan(tmp_path), *QUICK, *given).stderr
    before, after = read(tmp_path / "scan.nii")[0].pixels, read(tmp_path / "out.nii")[0].pixels
    assert before[1].tobytes() == after[1].tobytes()
    assert before[:, :, :10].tobytes() == after[:, :, :10].tobytes()
    assert (before[0, :, 10:] != after[0, :, 10:]).mean() > 0.99


@given(st.integers(0, 2**16), st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_wherever_a_map_is_0_every_method_keeps_the_pixel(seed: int, share: float) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        noise = RNG(seed).uniform(1, 40, SHAPE) * (RNG(seed + 1).uniform(size=SHAPE) < share)
        series = read(scan(folder))[0]
        for method in ("gaussian", "median", "wavelet"):
            options = Options(method=method, device="cpu", noise_map=str(level(folder, noise)))
            clean = denoise_series(series, options).series.pixels
            assert (clean[noise == 0] == series.pixels[noise == 0]).all()


def test_a_map_that_was_saved_gives_the_same_pixels_again(tmp_path: Path) -> None:
    source = scan(tmp_path)
    run("denoise", source, *QUICK, "--save-noise-map", "-o", tmp_path / "a.nii")
    saved = tmp_path / "a_noise_map.nii"
    noise, image = read(saved)[0], read(source)[0]
    assert noise.pixels.dtype == np.float32
    np.testing.assert_allclose(noise.geometry.origin_mm, image.geometry.origin_mm, atol=1e-4)
    assert noise.pixels.mean() == pytest.approx(20, rel=0.3)
    run("denoise", source, *QUICK, "--noise-map", saved, "--save-noise-map", "-o", tmp_path / "b.nii")
    assert (tmp_path / "b_noise_map.nii").exists()
    a, b = (read(tmp_path / name)[0].pixels for name in ("a.nii", "b.nii"))
    np.testing.assert_allclose(a, b, atol=1e-3)
    assert (read(tmp_path / "b_noise_map.nii")[0].pixels == noise.pixels).all()


@pytest.mark.parametrize("kind", ["png", "tiff", "dicom"])
def test_maps_of_every_format_are_read_and_one_plane_is_for_all(tmp_path: Path, kind: str) -> None:
    if kind == "dicom":
        series = read(ct_folder(tmp_path / "ct"))[0]
        given_ = read_noise_map(ct_folder(tmp_path / "map", RescaleIntercept="1000"), series)
        np.testing.assert_array_equal(given_, series.values(0, 4) - series.intercept[0] + 1000)
        return
    series = read(scan(tmp_path))[0]
    noise = RNG(4).integers(0, 99, SHAPE[1:], np.uint8)
    path = png(tmp_path / "map.png", noise) if kind == "png" else tiff(tmp_path / "map.tif", noise)
    given_ = read_noise_map(path, series)
    assert given_.shape == SHAPE
    assert (given_ == noise).all()


def test_a_map_of_grey_levels_is_for_every_colour(tmp_path: Path) -> None:
    colour = read(png(tmp_path / "rgb.png", RNG(5).integers(0, 255, (20, 30, 3), np.uint8)))[0]
    noise = RNG(6).integers(1, 9, (20, 30), np.uint8)
    given_ = read_noise_map(png(tmp_path / "map.png", noise), colour)
    assert (given_ == noise).all()
    assert given_.shape == (3, 20, 30)


def test_a_map_need_not_say_anything_where_there_is_no_image(tmp_path: Path) -> None:
    series = read(scan(tmp_path))[0]
    series.pixels[0, 0, 0] = np.nan
    noise = np.full(SHAPE, 5.0)
    noise[0, 0, 0] = np.nan
    assert read_noise_map(level(tmp_path, noise), series)[0, 0, 0] == 0


BAD = {
    "nan": (np.nan, "1 values that are not numbers, the first in plane 2, row 3, column 4"),
    "infinite": (np.inf, "1 values that are not numbers"),
    "negative": (-0.5, "1 values below 0, the first in plane 2, row 3, column 4"),
}


@pytest.mark.parametrize("what", BAD)
def test_values_that_are_no_deviation_are_refused_by_count_and_place(tmp_path: Path, what: str) -> None:
    value, said = BAD[what]
    noise = np.full(SHAPE, 5.0)
    noise[1, 2, 3] = value
    path = level(tmp_path, noise)
    with pytest.raises(InputError, match=said):
        read_noise_map(path, read(scan(tmp_path))[0])
    done = run("denoise", tmp_path / "scan.nii", *QUICK, "--noise-map", path, code=1)
    assert str(path) in done.stderr
    assert not (tmp_path / "scan_denoised.nii").exists()


def test_a_map_of_another_size_place_unit_or_modality_is_refused(tmp_path: Path) -> None:
    series = read(scan(tmp_path))[0]
    small = level(tmp_path, np.ones((3, 48, 39)), "small.nii")
    two = level(tmp_path, np.ones((2, 48, 40)), "two.nii")
    for path in (small, two):
        with pytest.raises(InputError, match=r"has .* pixels, .* has 3 x 48 x 40"):
            read_noise_map(path, series)
    image: Any = nibabel.load(level(tmp_path, np.ones(SHAPE), "here.nii"))
    moved = image.affine.copy()
    moved[0, 3] += 5
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "moved.nii")
    with pytest.raises(InputError, match="is elsewhere in the patient"):
        read_noise_map(tmp_path / "moved.nii", series)
    nifti(tmp_path / "wide.nii", np.ones((1, *SHAPE[1:]), np.float32), (1.4, 1.6, 3.0))  # a plane for all
    with pytest.raises(InputError, match=r"has pixels of 1.6 x 1.4 mm, .* of 0.8 x 0.7"):
        read_noise_map(tmp_path / "wide.nii", series)
    ct = ct_folder(tmp_path / "ct")
    one = read(ct)[0]
    with pytest.raises(InputError, match=r"is of modality CT, .* of MR"):
        read_noise_map(ct, replace(one, modality="MR"))
    with pytest.raises(InputError, match=r"is in HU, .* in ml"):
        read_noise_map(ct, replace(one, unit="ml"))


def test_a_map_that_is_no_image_or_several_is_refused(tmp_path: Path) -> None:
    source = scan(tmp_path)
    text = tmp_path / "map.txt"
    text.write_text("no image")
    assert "must be one image or series" in run("denoise", source, *QUICK, "--noise-map", text, code=1).stderr
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.nii", "b.nii"):
        level(both, np.ones(SHAPE), name)
    assert "holds 2 images" in run("denoise", source, *QUICK, "--noise-map", both, code=1).stderr
    missing = run("denoise", source, *QUICK, "--noise-map", tmp_path / "none.nii", code=2).stderr
    assert "none.nii does not exist" in missing


@pytest.mark.parametrize("other", [{"sigma": 5.0}, {"noise_profile": "profile"}])
def test_the_level_is_given_once(tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="each give the level of the noise"):
        check_options(Options(noise_map=str(tmp_path), **other))


def test_a_changed_map_is_another_result(tmp_path: Path) -> None:
    source, out = scan(tmp_path), tmp_path / "out.nii"
    noise = level(tmp_path, np.full(SHAPE, 9.0))
    common = ("denoise", source, "--method", "gaussian", "--device", "cpu", "--noise-map", noise, "-o", out)
    run(*common)
    assert "1 kept" in run(*common).stderr
    level(tmp_path, np.full(SHAPE, 19.0))
    assert "exists already" in run(*common, code=1).stderr


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        ({"modality": "MR"}, {"modality": "CT"}, "is MR, the noise profile is of CT"),
        ({"unit": "HU"}, {"unit": "GREY"}, "is in HU, the noise profile in GREY"),
        ({"geometry": SPACED}, {"spacing_mm": (0.7, 0.9)}, "has pixels of 0.7 x 0.7 mm, the noise profile"),
        ({"geometry": SPACED}, {"spacing_mm": (0.75, 0.75)}, ""),
        ({"geometry": replace(SPACED, known=False)}, {"spacing_mm": (0.2, 0.2)}, ""),
        ({"modality": "RF"}, {"modality": "XA"}, ""),
        ({}, {"modality": "XA", "unit": "HU"}, ""),
    ],
)
def test_a_profile_of_another_unit_or_modality_is_refused(
    tmp_path: Path, mine: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    series: Series = replace(read(scan(tmp_path))[0], **mine)
    if not said:
        assert expect_noise(series, profile(**other)).sigma == pytest.approx(5)
        return
    with pytest.raises(UnsupportedError, match=said):
        expect_noise(series, profile(**other))
