"""Zipped studies: read where they are named, results beside the archive, nothing outside and nothing left."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from meddenoise.errors import CorruptError, InputError, UnsupportedError
from meddenoise.io import archive as archives
from meddenoise.io import discover, read
from tests.io_samples import ct_folder, png, sample


def zipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    ct_folder(tmp_path / "in" / "head")
    sample("nifti", tmp_path / "in")
    return zipped(tmp_path / "study.zip", tmp_path / "in")


def test_a_zipped_study_is_read_like_its_folder(study: Path, tmp_path: Path) -> None:
    one, other = read(study), read(tmp_path / "in")
    assert sorted(s.pixels.tobytes() for s in one) == sorted(s.pixels.tobytes() for s in other)
    assert {archives.origin(file) for s in one for file in s.files} == {
        study / file.relative_to(tmp_path / "in") for s in other for file in s.files
    }


def test_files_of_an_archive_are_named_by_the_path_it_was_given_by(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    series = read(Path("study.zip"))
    assert {archives.origin(file).parts[0] for one in series for file in one.files} == {"study.zip"}


def test_an_archive_in_a_folder_is_skipped_with_the_way_to_use_it(study: Path, tmp_path: Path) -> None:
    found = discover([tmp_path])
    assert [str(problem.error) for problem in found.skipped] == [
        f"{study} is not a DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF image: give it by name."
    ]


def test_problems_are_told_by_their_place_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = zipped(tmp_path / "bad.zip", tmp_path / "in")
    with pytest.raises(CorruptError, match=rf"^{path}/cut\.png is truncated"):
        read(path)


def meddenoise(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meddenoise", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_results_lie_beside_the_archive_and_are_kept_by_the_next_run(study: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    words = ("denoise", study, "--method", "gaussian", "--json")
    first = meddenoise(*words)
    assert first.returncode == 0, first.stderr
    rows = [json.loads(line) for line in first.stdout.splitlines()]
    assert {row["input"] for row in rows} == {str(study / "head"), str(study / "volume.nii.gz")}
    results = sorted(path for path in (tmp_path / "study_denoised").rglob("*.*") if path.suffix != ".html")
    assert [path for path in results if path.suffix == ".dcm"]
    times = {path: path.stat().st_mtime_ns for path in results if path.suffix in (".dcm", ".gz")}
    again = meddenoise(*words)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_nothing_is_left_when_the_process_ends(study: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    code = "import sys, os, meddenoise; meddenoise.read(sys.argv[1]); assert os.listdir(os.environ['TMPDIR'])"
    environment = os.environ | {"TMPDIR": str(room)}
    subprocess.run([sys.executable, "-c", code, str(study)], check=True, env=environment)
    assert not list(room.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_archive(study: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    kill = "import os, sys, meddenoise; meddenoise.read(sys.argv[1]); os.kill(os.getpid(), 9)"
    environment = os.environ | {"TMPDIR": str(room)}
    subprocess.run([sys.executable, "-c", kill, str(study)], check=False, env=environment)
    assert list(room.iterdir())
    code = "import sys, meddenoise; meddenoise.read(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(study)], check=True, env=environment)
    assert not list(room.iterdir())


def test_only_its_owner_can_look_into_what_was_unpacked(study: Path) -> None:
    folder = archives.unpack(study)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert archives.unpack(study) == folder


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x.dcm", "a/../../x.dcm", "C:\\x.dcm", "..\\x.dcm"])
def test_names_that_lead_outside_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(UnsupportedError, match="names a place outside itself"):
        archives.unpack(tmp_path / "evil.zip")


def evil(path: Path, change: str) -> Path:
    info = zipfile.ZipInfo("a.zip" if change == "nested" else "a.dcm")
    if change == "link":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"x" * 99)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    if change == "encrypted":
        data[6] |= 1
        data[directory + 8] |= 1
    if change == "method":
        data[8] = data[directory + 10] = 77
    if change == "checksum":
        data[14] ^= 1
        data[directory + 16] ^= 1
    path.write_bytes(data[:-9] if change == "cut" else data)
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("encrypted", "is encrypted: unpack it first"),
        ("nested", "holds another archive"),
        ("link", "holds a link"),
        ("method", "packed in a way that is not read"),
        ("checksum", "is a damaged zip archive"),
        ("cut", "is a damaged zip archive"),
    ],
)
def test_what_cannot_be_unpacked_safely_is_refused_in_one_sentence(
    change: str, sentence: str, tmp_path: Path
) -> None:
    path = evil(tmp_path / "evil.zip", change)
    with pytest.raises(InputError, match=sentence) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["s/a.dcm", "s/a.dcm"], "holds two files of the name s/a.dcm: pack it again with other names"),
        (["s", "s/t/a.dcm"], "holds a file and a folder of the name s: pack it again"),
        (["s/t/a.dcm", "s/t"], "holds a file and a folder of the name s/t: pack it again"),
        (
            ["s/" + "n" * 300],
            r"holds a name too long for \S+ \(n{60}\.\.\.\): pack it again with shorter names",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_fit_no_folder_are_told_as_such(names: list[str], sentence: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(UnsupportedError, match=sentence):
        read(tmp_path / "odd.zip")


@pytest.mark.parametrize("name", ["in.dcm", "b.nii.gz", "IM0001", "1.2.840.113"])
def test_an_archive_by_the_name_of_an_image_is_refused_and_a_document_is_not(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    png(tmp_path / "in" / "x.png", np.zeros((9, 9), np.uint8))
    zipped(tmp_path / "in" / "report.docx", tmp_path / "in")
    assert len(read(zipped(tmp_path / "a.zip", tmp_path / "in"))) == 1
    (tmp_path / "in" / "report.docx").rename(tmp_path / "in" / name)
    with pytest.raises(UnsupportedError, match=rf"holds another archive \({name}\): unpack it first"):
        read(zipped(tmp_path / "b.zip", tmp_path / "in"))


def test_an_archive_that_would_be_far_larger_than_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", bytes(4 << 20))
    with pytest.raises(UnsupportedError, match="times its size"):
        read(tmp_path / "bomb.zip")


def test_a_full_disk_is_told_with_the_way_out(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda room: usage)
    with pytest.raises(InputError, match="make room there, or set TMPDIR"):
        read(study)


def test_an_archive_without_images_holds_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="holds no image that can be read"):
        read(zipped(tmp_path / "notes.zip", tmp_path / "in"))


def test_two_archives_go_to_folders_of_their_names(tmp_path: Path) -> None:
    from meddenoise.batch.tasks import plan_tasks

    inputs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        png(tmp_path / name / "x.png", np.zeros((9, 9), np.uint8))
        inputs.append(zipped(tmp_path / f"{name}.zip", tmp_path / name))
    tasks = plan_tasks(discover(inputs).items, inputs, tmp_path / "out")
    assert [task.targets for task in tasks] == [
        (tmp_path / "out" / "a" / "x.png",),
        (tmp_path / "out" / "b" / "x.png",),
    ]
