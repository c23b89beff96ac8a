"""Damaged DICOM and other images, end to end: one sentence and an exit code, never a traceback or a bomb."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import MPEG2MPML, UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import MeddenoiseError, OutputError, UnsupportedError
from meddenoise.io import discover, read, read_item, write
from tests.io.test_faults import compressed, deflate_bomb
from tests.io_samples import DONE, RNG, ct_slice, packaged, sample, save, tiff

Edit = Callable[[bytes], bytes]


def without_group_length(data: bytes) -> bytes:
    """The file without the element that states how long its meta group is."""
    return data[:132] + data[144:]


def without_preamble(data: bytes) -> bytes:
    return data[132:]


@pytest.mark.parametrize("edit", [without_group_length, without_preamble])
def test_a_deflate_bomb_in_an_odd_wrapping_takes_no_memory(edit: Edit, tmp_path: Path) -> None:
    path = deflate_bomb(tmp_path)
    path.write_bytes(edit(path.read_bytes()))
    code = (
        "import resource, sys; from pathlib import Path; from meddenoise.io import discover;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(discover([Path(sys.argv[1])]).failed[0].error);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    sentence, grown = done.stdout.splitlines()
    assert "inflates to more than its header declares" in sentence
    assert int(grown) < 400 << 10


@pytest.mark.parametrize("edit", [without_group_length, without_preamble])
def test_a_sound_deflated_file_in_an_odd_wrapping_is_read(edit: Edit, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(edit(packaged("image_dfl.dcm").read_bytes()))
    assert np.array_equal(read(path)[0].pixels, read(packaged("image_dfl.dcm"))[0].pixels)


def test_a_private_transfer_syntax_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = compressed(tmp_path, ExplicitVRLittleEndian, bytes(96))
    name = b"1.2.840.10008.1.2.1\0"
    path.write_bytes(path.read_bytes().replace(name, b"1.2.3.4.5.6.7.8.9.10"))
    done = CliRunner().invoke(app, ["denoise", str(path)])
    assert done.exit_code == 3
    assert done.stderr.count("\n") == 1 and str(path) in done.stderr
    assert "transfer syntax that is not of the DICOM standard" in done.stderr


def test_a_video_is_not_told_to_be_damaged(tmp_path: Path) -> None:
    path = compressed(tmp_path, MPEG2MPML, b"\0\0\1\xba" * 40)
    with pytest.raises(UnsupportedError, match=r"is in MPEG2 .*, which is not read: export it uncompressed"):
        read(path)


def test_a_meta_group_that_cannot_be_read_is_one_damaged_file_among_others(tmp_path: Path) -> None:
    data = bytearray(save(ct_slice(), tmp_path / "x.dcm").read_bytes())
    place = data.find(b"\x02\x00\x02\x00UI") + 4
    data[place : place + 2] = b"Uk"
    (tmp_path / "x.dcm").write_bytes(data)
    save(ct_slice(1), tmp_path / "good.dcm")
    found = discover([tmp_path])
    assert [item.path.name for item in found.items] == ["good.dcm"]
    assert "damaged DICOM header" in str(found.failed[0].error)


def test_patient_data_that_slipped_into_another_element_is_not_told(tmp_path: Path) -> None:
    """A wrong length makes the reader take what follows, the patient's name too, for the modality."""
    dataset = dcmread(packaged("reportsi.dcm"))
    dataset.Modality = "SR p LO Doe^Jane\nPN"
    save(dataset, tmp_path / "report.dcm")
    image = ct_slice(PhotometricInterpretation="Doe^Jane\r\n")
    save(image, tmp_path / "image.dcm")
    found = discover([tmp_path / "report.dcm", tmp_path / "image.dcm"])
    for problem in found.failed:
        assert "Doe" not in str(problem.error) and "\n" not in str(problem.error)
    assert len(found.failed) == 2


def test_two_patients_in_one_series_are_not_stacked(tmp_path: Path) -> None:
    for number, patient in enumerate("ABAB"):
        save(ct_slice(number, PatientID=patient), tmp_path / f"{number}.dcm")
    stacks = [[path.name for path in item.files] for item in discover([tmp_path]).items]
    assert sorted(stacks) == [["0.dcm", "2.dcm"], ["1.dcm", "3.dcm"]]


def seeds(folder: Path) -> dict[str, bytes]:
    """Small sound files of every format and encoding that is read without another process."""
    names = ("CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "reportsi.dcm")
    found = {name: packaged(name).read_bytes() for name in names}
    for format in ("nifti", "png", "tiff"):
        found[format] = sample(format, folder).read_bytes()
    packed = tiff(folder / "z.tif", RNG(1).integers(0, 255, (3, 20, 20), np.uint8), compression="zlib")
    return found | {"packed tiff": packed.read_bytes()}


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with some bytes changed, cut out, put in, or missing at the end; most near the start."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(min(len(changed), 2000) if chance.random() < 0.7 else len(changed))
        kind = chance.randrange(5)
        if kind == 0:
            changed[place] = chance.randrange(256)
        elif kind == 1:
            changed[place : place + chance.randrange(1, 9)] = b""
        elif kind == 2:
            changed[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 3:
            changed[place : place + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"))
        else:
            changed = changed[: max(place, 1)]
        changed = changed or bytearray(b"x")
    return bytes(changed)


def go_all_the_way(path: Path, folder: Path) -> list[MeddenoiseError]:
    """Find, read, add to, write and read again what is at `path`; the errors meddenoise raised on purpose."""
    found = discover([path])
    errors: list[MeddenoiseError] = [problem.error for problem in found.failed]
    for item in found.items:
        try:
            series = read_item(item)
        except MeddenoiseError as error:
            errors.append(error)
            continue
        changed = series.store(series.values(0, len(series)) + 1, 0, len(series))
        try:
            written = write(series.with_pixels(changed, DONE), folder, root=path.parent)
        except OutputError as error:
            assert "cannot be encoded" in str(error)
            continue
        for target in written:
            assert read(target)
    return errors


@pytest.mark.filterwarnings("ignore")
def test_no_mutant_of_a_sound_file_ends_in_anything_but_a_sentence(tmp_path: Path) -> None:
    """600 mutants; errors not raised on purpose, and sentences of two lines or none of the file, fail."""
    chance = random.Random(5)
    sound = seeds(tmp_path)
    path = tmp_path / "mutant"
    refused = 0
    for _ in range(600):
        path.write_bytes(mutate(sound[chance.choice(sorted(sound))], chance))
        errors = go_all_the_way(path, tmp_path / "out")
        assert all(str(path) in str(error) and "\n" not in str(error) for error in errors)
        refused += bool(errors)
    assert refused > 300


@pytest.mark.parametrize("value", [b"", b"Dr^Who "])
def test_an_element_of_unknown_representation_is_kept_as_bytes(value: bytes, tmp_path: Path) -> None:
    path = save(ct_slice(ReferringPhysicianName="Dr^Who"), tmp_path / "x.dcm")
    whole = b"\x08\x00\x90\x00PN\x06\x00Dr^Who"
    odd = b"\x08\x00\x90\x00Dq" + len(value).to_bytes(2, "little") + value
    assert path.read_bytes().count(whole) == 1
    path.write_bytes(path.read_bytes().replace(whole, odd))
    (series,) = read(path)
    (target,) = write(series.with_pixels(series.pixels, DONE), tmp_path / "out.dcm")
    assert str(dcmread(target).ReferringPhysicianName or "") == value.decode().strip()


def test_network_commands_and_a_missing_class_do_not_stop_the_result(tmp_path: Path) -> None:
    """Dumps of old archives begin with the command they came with and may state no class."""
    dataset = ct_slice()
    path = save(dataset, tmp_path / "x.dcm")
    data = path.read_bytes()
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    sop_class = data.index(b"\x08\x00\x16\x00UI", start)
    after = sop_class + 8 + int.from_bytes(data[sop_class + 6 : sop_class + 8], "little")
    command = b"\x00\x00\x00\x01US\x02\x00\x01\x00"
    path.write_bytes(data[:start] + command + data[start:sop_class] + data[after:])
    (series,) = read(path)
    (target,) = write(series.with_pixels(series.pixels, DONE), tmp_path / "out.dcm")
    result = dcmread(target)
    assert 0x00000100 not in result
    assert result.SOPClassUID == dataset.SOPClassUID == result.file_meta.MediaStorageSOPClassUID


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_texts_in_another_character_set_than_the_stated_one_stay(syntax: UID, tmp_path: Path) -> None:
    """An archive would file the result under somebody else."""
    texts = {
        "PatientName": b"M\xfcller^J\xf6rg ",
        "PatientID": b"ID \xfc1 ",
        "StudyDescription": b"Sch\xe4del ",
    }
    inside = {"RequestingService": b"H\xe4matologie "}
    for number in range(2):
        dataset = ct_slice(number, SpecificCharacterSet="ISO_IR 192")
        little = syntax != ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.RequestAttributesSequence = [Dataset()]
        for keyword, value in (texts | inside).items():
            level = dataset if keyword in texts else dataset.RequestAttributesSequence[0]
            setattr(level, keyword, "@" * (len(value) - 2) + keyword[-2:])
        path = tmp_path / "in" / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        dcmwrite(path, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=little)
        data = path.read_bytes()
        for keyword, value in (texts | inside).items():
            data = data.replace(b"@" * (len(value) - 2) + keyword[-2:].encode(), value)
        path.write_bytes(data)
    (series,) = read(path.parent)
    for target in write(series.with_pixels(series.pixels, DONE), tmp_path / "out"):
        kept = dcmread(target)
        assert {keyword: kept.get_item(keyword).value for keyword in texts} == texts
        (item,) = kept.RequestAttributesSequence
        assert {keyword: item.get_item(keyword).value for keyword in inside} == inside
