"""Damaged DICOM and other images, end to end: one sentence and an exit code, never a traceback or a bomb."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from io_samples import RNG, ct_slice, packaged, sample, save, tiff
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from test_io_faults import compressed, deflate_bomb
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import InputError
from meddenoise.io import discover, read, read_item

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


@pytest.mark.filterwarnings("ignore")
def test_no_mutant_of_a_sound_file_ends_in_anything_but_a_sentence(tmp_path: Path) -> None:
    """600 mutants; errors other than InputError, and sentences of two lines or none of the file, fail."""
    chance = random.Random(5)
    sound = seeds(tmp_path)
    path = tmp_path / "mutant"
    refused = 0
    for _ in range(600):
        path.write_bytes(mutate(sound[chance.choice(sorted(sound))], chance))
        found = discover([path])
        errors: list[InputError] = [problem.error for problem in found.failed]
        for item in found.items:
            try:
                read_item(item)
            except InputError as error:
                errors.append(error)
        for error in errors:
            assert str(path) in str(error) and "\n" not in str(error)
        refused += bool(errors)
    assert refused > 300
