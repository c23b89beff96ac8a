"""The split of a data folder: a share of the patients, a folder, a table."""

from pathlib import Path

import numpy as np
import pytest

from meddenoise.errors import NothingReadableError, TrainingError, UsageError
from meddenoise.io import discover, read_item
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import load_images
from meddenoise.training.data.windowed import load_windowed
from meddenoise.training.recipe import DataRow
from meddenoise.training.split import SPLITS, read_split
from tests.io_samples import RNG, nifti, png

NAMES = [f"{folder}/p{number:02}.png" for folder in ("site1", "site2") for number in range(20)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        png(folder / name, RNG(number).integers(0, 250, (40, 40), np.uint8))
    return folder


def held_out(data: Path, wanted: str | None) -> set[str]:
    """The files on the validation side, after both sides were checked to hold every file once."""
    training, validation = load_images(
        TrainingSet(data, validation=wanted), (DataRow(),), 32, lambda done, total: None
    )
    sides = [{image.group for image in side} for side in (training, validation)]
    assert sides[0] | sides[1] == set(NAMES) and not sides[0] & sides[1]
    return sides[1]


def test_a_folder_inside_the_data_is_held_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert held_out(data, str(data / "site2")) == {name for name in NAMES if name.startswith("site2")}
    monkeypatch.chdir(data)
    assert held_out(Path(), "site1") == {name for name in NAMES if name.startswith("site1")}


def test_a_table_names_files_and_folders_wherever_it_is(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("file,split\nsite1/,train\nsite2,train\nsite2/p03.png,val\n")
    assert held_out(data, str(table)) == {"site2/p03.png"}


def test_a_share_of_the_patients_grows_with_the_share_and_wins_over_the_list(data: Path) -> None:
    assert len(held_out(data, None)) < len(held_out(data, "0.4")) < len(held_out(data, "0.8"))
    assert held_out(data, "0.1") == held_out(data, None)
    (data / SPLITS).write_text("file,split\nsite1,train\nsite2,val\n")
    try:
        listed = {name for name in NAMES if name.startswith("site2")}
        assert held_out(data, None) == listed
        assert held_out(data, "0.4") != listed
    finally:
        (data / SPLITS).unlink()


@pytest.mark.parametrize("wanted", ["1.5", "0", "-1", "nan", "nowhere", "{data}", "{data}/.."])
def test_what_is_no_split_is_refused_with_what_would_be_one(data: Path, wanted: str) -> None:
    with pytest.raises(UsageError, match=r"--val is .*such as 0\.2"):
        read_split(data, wanted.format(data=data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,side\na.png,val\n", "columns file and split"),
        ("file,split\n", "lists nothing"),
        ("file,split\na.png,validation\n", "'validation' as the split of a.png"),
        ("file,split\na.png\n", "columns file and split"),
    ],
)
def test_a_table_that_says_nothing_is_named(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(TrainingError, match=words) as caught:
        read_split(tmp_path, str(table))
    assert str(table) in str(caught.value)


def test_what_a_table_leaves_out_never_trains(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "some.csv"
    table.write_text("file,split\nsite1,train\n")
    split = read_split(data, str(table))
    for item in discover([data]).items:
        assert split.holds_out(read_item(item), data) == (item.path.parent.name == "site2")


def nothing(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("what", ["nothing", "a text"])
def test_a_folder_without_an_image_is_told_as_everywhere(what: str, data: Path, tmp_path: Path) -> None:
    if what == "a text":
        (tmp_path / "notes.txt").write_text("nothing to see")
    said = f"{tmp_path} holds no image that can be read: give DICOM"
    with pytest.raises(NothingReadableError, match=f"^{said}"):
        load_images(TrainingSet(tmp_path), (DataRow(),), 32, nothing)
    with pytest.raises(NothingReadableError, match=f"^{said}"):
        load_windowed(TrainingSet(tmp_path), (DataRow(),), (0.0, 255.0), 32, nothing)
    with pytest.raises(NothingReadableError, match=f"^--ref {said}"):
        load_images(TrainingSet(data, tmp_path), (DataRow(),), 32, nothing)


def test_an_empty_side_is_told_with_its_reason(data: Path, tmp_path: Path) -> None:
    planes = RNG(0).integers(0, 1000, (8, 40, 40), np.int16)
    blank = planes * (np.arange(8) < 5)[:, None, None].astype(np.int16)
    for volume, words in (
        (planes[:4], "it has one series only, of 4 planes, where 6 are needed to hold the last 3 out: add "),
        (blank, "it has one series only, in which the planes for validation are blank: add planes or pat"),
        (planes[:, :20], "gives no image of at least 32 x 32 pixels that is not blank: add larger images"),
    ):
        nifti(tmp_path / "v.nii.gz", volume)
        with pytest.raises(TrainingError, match=words):
            load_images(TrainingSet(tmp_path), (DataRow(),), 32, nothing)
    table = tmp_path / "all.csv"
    table.write_text("file,split\n.,train\n")
    with pytest.raises(
        TrainingError, match=r"no validation image .*list files or folders .* as val in the tab"
    ):
        load_images(TrainingSet(data, validation=str(table)), (DataRow(),), 32, nothing)
    with pytest.raises(
        TrainingError, match=r"gives no validation image: the split puts every patient .*into t"
    ):
        load_windowed(TrainingSet(data, validation=str(table)), (DataRow(),), (0.0, 255.0), 32, nothing)
