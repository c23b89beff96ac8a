"""Discovery, output names and files that appear whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest

import meddenoise
from meddenoise.errors import InputError, NothingReadableError, OutputError, UsageError
from meddenoise.io import Item, discover, output_paths, read, write
from meddenoise.io.atomic import staged
from meddenoise.io.layout import meant_format
from tests.io_samples import DONE, ct_folder, ct_slice, nifti, packaged, png, save


def test_a_folder_gives_its_series_and_counts_what_is_no_image(tmp_path: Path) -> None:
    ct_folder(tmp_path / "study" / "a")
    ct_folder(tmp_path / "study" / "b", SeriesInstanceUID="1.2.3")
    nifti(tmp_path / "study" / "v.nii", np.zeros((2, 3, 4), np.int16))
    (tmp_path / "study" / "notes.txt").write_text("hello")
    (tmp_path / "study" / "text.dcm").write_text("hello, I am no DICOM file, whatever my name says")
    (tmp_path / "study" / "empty.dcm").touch()
    found = discover([tmp_path])
    assert sorted((item.format, item.frames) for item in found.items) == [
        ("dicom", 4),
        ("dicom", 4),
        ("nifti", 2),
    ]
    assert sorted(problem.path.name for problem in found.skipped) == ["empty.dcm", "notes.txt", "text.dcm"]
    assert not found.failed


def test_a_file_named_by_the_user_must_be_an_image(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    found = discover([text, tmp_path / "missing.dcm"])
    assert [problem.path.name for problem in found.failed] == ["notes.txt", "missing.dcm"]
    assert "is not a DICOM" in str(found.failed[0].error)
    assert "No such file" in str(found.failed[1].error)


def test_nothing_readable_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingReadableError, match="holds no image"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha", "x.TIF", "x.png", "x.dcm"])
def test_an_image_from_memory_is_written_in_the_format_of_the_suffix(name: str, tmp_path: Path) -> None:
    image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
    written = write(meddenoise.as_series(image, modality="CT"), tmp_path / name)
    assert written == [tmp_path / name]
    (series,) = read(tmp_path / name)
    assert series.format == meant_format(tmp_path / name) and np.array_equal(series.values(0, 1)[0], image)


def test_what_cannot_be_written_or_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    series = meddenoise.as_series(np.zeros((9, 9), np.uint8))
    for name, sentence in (
        ("x", r"x does not say in which format to write the array, .*: give format, such as format='nifti'"),
        ("x.jpg", "jpeg is only read, .*: give png instead"),
    ):
        with pytest.raises(UsageError, match=sentence):
            write(series, tmp_path / name)
    for wrong in (np.zeros((9, 9)), None):
        with pytest.raises(
            InputError, match=rf"type {type(wrong).__name__} is not a series: give meddenoise.as"
        ):
            write(wrong, tmp_path / "x.nii")
    with pytest.raises(UsageError, match="type int is not a path: give that of a file or folder"):
        read(3)
    with pytest.raises(UsageError, match="type NoneType is not a path"):
        write(series, None, format="nifti")
    assert not list(tmp_path.iterdir())


def test_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    file = save(ct_slice(), tmp_path / "a.dcm")
    (tmp_path / "link.dcm").symlink_to(file)
    assert len(discover([file, tmp_path, tmp_path]).items) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes and symbolic links")
def test_loops_pipes_and_devices_are_survived(tmp_path: Path) -> None:
    png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero.dcm").symlink_to("/dev/zero")
    (tmp_path / "folder.dcm").mkdir()
    found = discover([tmp_path, Path("/dev/zero"), tmp_path / "pipe"])
    assert [item.path.name for item in found.items] == ["a.png"]
    assert ["regular" in str(problem.error) for problem in found.failed] == [True, True]


def test_a_series_spread_over_folders_mirrors_them(tmp_path: Path) -> None:
    ct_folder(tmp_path / "in" / "1", [0, 1])
    ct_folder(tmp_path / "in" / "2", [2, 3])
    (item,) = discover([tmp_path / "in"]).items
    assert item.path == tmp_path / "in" and item.root == tmp_path / "in"
    names = output_paths(item, tmp_path / "out", root=item.root)
    assert [str(path.relative_to(tmp_path / "out")) for path in names] == [
        "1/s99.dcm",
        "1/s98.dcm",
        "2/s97.dcm",
        "2/s96.dcm",
    ]
    assert output_paths(item, tmp_path / "out") == names


ONE = Item("dicom", Path("a/x.1.2"), (Path("a/x.1.2"),), 1, Path("a"))
TWO = Item("dicom", Path("a"), (Path("a/y.DCM"), Path("a/b.dcm")), 2, Path("a"))
FILM = Item("dicom", Path("a/f.dcm"), (Path("a/f.dcm"),), 3, Path("a"), cine=True)
VOLUME = Item("nifti", Path("a/s/v.nii.gz"), (Path("a/s/v.nii.gz"),), 2, Path("a"))


@pytest.mark.parametrize(
    ("item", "format", "root", "expected"),
    [
        (ONE, "same", None, ["o"]),
        (ONE, "same", Path("a"), ["o/x.1.2"]),
        (ONE, "nifti", Path("a"), ["o/x.1.2.nii.gz"]),
        (ONE, "png", None, ["o"]),
        (TWO, "same", None, ["o/y.DCM", "o/b.dcm"]),
        (TWO, "nifti", None, ["o"]),
        (TWO, "nifti", Path("a"), ["o/b.nii.gz"]),
        (TWO, "png", None, ["o/y.png", "o/b.png"]),
        (FILM, "same", None, ["o"]),
        (FILM, "png", None, ["o/0001.png", "o/0002.png", "o/0003.png"]),
        (FILM, "png", Path("a"), ["o/f/0001.png", "o/f/0002.png", "o/f/0003.png"]),
        (VOLUME, "same", Path("a"), ["o/s/v.nii.gz"]),
        (VOLUME, "dicom", Path("a"), ["o/s/v/0001.dcm", "o/s/v/0002.dcm"]),
    ],
)
def test_output_names(item: Item, format: str, root: Path | None, expected: list[str]) -> None:
    assert [str(path) for path in output_paths(item, Path("o"), format=format, root=root)] == expected


def test_an_input_is_known_through_links(tmp_path: Path) -> None:
    file = save(ct_slice(), tmp_path / "a.dcm")
    (tmp_path / "b.dcm").hardlink_to(file)
    (series,) = read(file)
    with pytest.raises(OutputError, match=r"b\.dcm is an input"):
        write(series.with_pixels(series.pixels, DONE), tmp_path / "b.dcm")


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"before")
    with pytest.raises(RuntimeError), staged([target]) as staging, staging.file(target) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_files_get_their_names_only_when_all_are_whole(tmp_path: Path) -> None:
    targets = [tmp_path / "a", tmp_path / "b"]
    with staged(targets) as staging:
        for target in targets:
            with staging.file(target) as stream:
                stream.write(b"whole")
            assert not target.exists()
    assert [target.read_bytes() for target in targets] == [b"whole", b"whole"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_write_leaves_nothing_that_discovery_takes_for_an_image(tmp_path: Path) -> None:
    whole = packaged("CT_small.dcm").read_bytes()
    (tmp_path / ".meddenoise-1-0.tmp").write_bytes(whole)
    found = discover([tmp_path])
    assert not (found.items or found.skipped or found.failed)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (series,) = read(save(ct_slice(), tmp_path / "a.dcm"))
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        write(series.with_pixels(series.pixels, DONE), tmp_path / "file" / "b.dcm")
