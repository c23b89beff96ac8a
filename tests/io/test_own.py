"""Own results, copies and links out of a folder are left out of a search, and the search says so."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from meddenoise.io import discover, read, write
from meddenoise.io.own import bears_mark, is_result, without_mark
from meddenoise.noise.insert import insert_noise
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.report.contact_sheet import Exhibit, draw_sheet
from tests.io_samples import ct_slice, packaged, png, save

SUFFIX = {"dicom": ".dcm", "nifti": ".nii", "png": ".png", "tiff": ".tif"}
QUICK = Options(method="gaussian", sigma=20.0, device="cpu")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with one image."""
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(packaged("CT_small.dcm"), tmp_path / "in" / "a.dcm"))


def found(folder: Path) -> list[str]:
    """Names of the images in a folder, own results left out."""
    return sorted(item.path.name for item in discover([folder], results=False).items)


@pytest.mark.parametrize("format", SUFFIX)
def test_a_result_under_another_name_is_known_by_its_content(image: Path, format: str) -> None:
    (series,) = read(image)
    other = image.with_name(f"clean{SUFFIX[format]}")
    write(denoise_series(series, QUICK).series, other, format=format)
    assert found(image.parent) == ["a.dcm"]
    assert len(discover([image.parent]).items) == 2, "where results are wanted they are found"
    (note,) = discover([image.parent], results=False).notes
    assert note == (
        f"results of meddenoise among other images, skipped: 1 (first: {other}); "
        "give them by name to use them."
    )
    assert len(discover([image, other], results=False).items) == 2, "named, so meant"


@pytest.mark.parametrize("format", SUFFIX)
def test_an_image_that_was_given_noise_is_no_result(image: Path, format: str) -> None:
    (series,) = read(image)
    for name, content in (("noisy", series), ("again", denoise_series(series, QUICK).series)):
        write(content, image.with_name(name + SUFFIX[format]), format=format)
        (there,) = read(image.with_name(name + SUFFIX[format]))
        write(insert_noise(there, ["gaussian:5"], 1).series, image.with_name(name + SUFFIX[format] + "x"))
    assert [name for name in found(image.parent) if name.endswith("x")] == sorted(
        name + SUFFIX[format] + "x" for name in ("noisy", "again")
    )


def test_the_picture_of_a_comparison_is_no_image(image: Path) -> None:
    (series,) = read(image)
    draw_sheet([Exhibit("input", series), Exhibit("same", series)], image.with_name("picture.png"))
    assert found(image.parent) == ["a.dcm"]


def test_a_folder_of_results_alone_was_meant(image: Path) -> None:
    (series,) = read(image)
    write(denoise_series(series, QUICK).series, image.parent.parent / "in_denoised" / "a.dcm")
    assert found(image.parent.parent / "in_denoised") == ["a.dcm"]
    assert [item.path for item in discover([image.parent.parent], results=False).items] == [image]


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        ("a_denoised.png", True),
        ("a_upscaled.nii.gz", True),
        ("a_denoised_residual.nii", True),
        ("b_inpainted/x/a.dcm", True),
        ("b_denoised_uncertainty/a.dcm", True),
        ("a_denoised_noise_map.nii", True),
        ("a_denoised_later.png", False),
        ("denoised.png", False),
        ("study_denoisedx/a.png", False),
    ],
)
def test_names_that_results_get_by_default(name: str, marked: bool, tmp_path: Path) -> None:
    assert bears_mark(tmp_path / name, tmp_path) is marked
    inside = tmp_path / "in_denoised"
    assert bears_mark(inside / name, inside) is marked, "the folder that was named does not count"


def test_only_the_last_step_tells_a_result() -> None:
    reduced = "Noise reduced by meddenoise 1, method nlm, noise level 3. Not for diagnostic use."
    noisy = "Simulated noise added by meddenoise 1: gaussian:3, seed 0"
    assert is_result(reduced) and is_result(f"{noisy}; {reduced}")
    assert not is_result(f"{reduced}; {noisy}") and not is_result("") and not is_result("Reformatted")
    assert without_mark("a_upscaled") == "a" and without_mark("a_denoised_b") == "a_denoised_b"


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_links_out_of_a_folder_are_not_followed_and_those_inside_are(image: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = png(tmp_path / "elsewhere" / "b.png", np.zeros((4, 4), np.uint8))
    folder = image.parent
    (folder / "file.png").symlink_to(elsewhere)
    (folder / "folder").symlink_to(elsewhere.parent)
    (folder / "up").symlink_to("..")
    save(ct_slice(), folder / "real" / "c.dcm")
    (folder / "inside").symlink_to("real")
    search = discover([folder])
    assert [str(item.path) for item in search.items] == [
        str(folder / "a.dcm"),
        str(folder / "inside" / "c.dcm"),
    ]
    (note,) = search.notes
    assert note.startswith("links that lead out of their folder, skipped: 3 (first: ")
    assert [item.path.name for item in discover([folder / "file.png"]).items] == ["file.png"], "named"
    (tmp_path / "other").symlink_to(folder)
    assert len(discover([tmp_path / "other"]).items) == 2, "the folder itself may be a link"


def test_a_copy_of_an_object_is_no_second_slice(image: Path) -> None:
    for name in ("copy.dcm", "again"):
        shutil.copy(image, image.with_name(name))
    search = discover([image.parent])
    assert [item.frames for item in search.items] == [1]
    assert search.notes[0].startswith("copies of other files, skipped: 2")
    names = [image, image.with_name("copy.dcm"), image.with_name("again")]
    assert [item.frames for item in discover(names).items] == [1]


def test_other_pixels_under_one_identifier_are_another_slice(tmp_path: Path) -> None:
    """Anonymisers have been seen to give all slices one."""
    for number in range(3):
        dataset = ct_slice(number)
        dataset.SOPInstanceUID = "1.2.3"
        save(dataset, tmp_path / f"{number}.dcm")
    assert [item.frames for item in discover([tmp_path]).items] == [3]


def test_a_file_without_mark_of_another_program_stays(tmp_path: Path) -> None:
    shutil.copy(packaged("CT_small.dcm"), tmp_path / "a.dcm")
    assert found(tmp_path) == ["a.dcm"]
