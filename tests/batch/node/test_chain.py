"""Modality, node and archive with networks: modalities, multi-frame objects and compressed images."""

import hashlib
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from tests.batch.node import machines
from tests.batch.node.machines import Archive, Node, by_cstore, store, wait_for
from tests.cines import enhanced_run
from tests.cines import run as cine
from tests.commands import run
from tests.io_samples import save

pytest.importorskip("pynetdicom", reason="the extra node is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing()),
]
RULES = """[[rule]]
modality = "CT"
quality = "fast"
device = "cpu"
[[rule]]
method = "direct"
device = "cpu"
"""
WAIT_S = 400.0


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """An archive, and a node with networks that sends to it."""
    archive = Archive(tmp_path_factory.mktemp("pacs"))
    node = Node(tmp_path_factory.mktemp("node"), by_cstore(archive), RULES)
    try:
        archive.start()
        node.start()
        yield node, archive
    finally:
        machines.kill_all(node, archive)


def phantom(folder: Path, kind: str, seed: int) -> list[Path]:
    """The noisy images of a small phantom study of its own."""
    run("phantom", kind, folder, "--size", 64, "--slices", 3, "--seed", seed)
    return sorted((folder / "noisy").iterdir())


def each(change: Callable[[Path], object], files: list[Path]) -> list[Path]:
    for file in files:
        change(file)
    return files


def to_jpeg(file: Path) -> None:
    """JPEG Lossless as DCMTK makes it, under the same UID."""
    subprocess.run(["dcmcjpeg", "+e1", "+un", file, file], check=True)


def compress(syntax: str) -> Callable[[Path], None]:
    def pack(file: Path) -> None:
        dataset = dcmread(file)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(file)

    return pack


def show_inverted(file: Path) -> None:
    dataset = dcmread(file)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(file)


def enhanced(folder: Path) -> list[Path]:
    dataset = enhanced_run()
    dataset.SeriesInstanceUID += ".1"
    return [save(dataset, folder / "run.dcm")]


FAST, DIRECT = ("--quality", "fast"), ("--method", "direct")
CASES = {
    "CT": (lambda f: phantom(f, "ct", 1), ExplicitVRLittleEndian, "-xe", FAST),
    "MR": (lambda f: phantom(f, "mr", 1), ExplicitVRLittleEndian, "-xe", DIRECT),
    "XA cine": (lambda f: [save(cine(), f / "run.dcm")], ExplicitVRLittleEndian, "-xe", DIRECT),
    "Enhanced XA": (enhanced, ExplicitVRLittleEndian, "-xe", DIRECT),
    "CT in JPEG Lossless": (
        lambda f: each(to_jpeg, phantom(f, "ct", 2)),
        *(JPEGLosslessSV1, "-xs", FAST),
    ),
    "MR in JPEG 2000": (
        lambda f: each(compress(JPEG2000Lossless), phantom(f, "mr", 2)),
        *(JPEG2000Lossless, "-xv", DIRECT),
    ),
    "MONOCHROME1 in RLE": (
        lambda f: each(compress(RLELossless), each(show_inverted, phantom(f, "xray", 1)[:1])),
        *(RLELossless, "-xr", DIRECT),
    ),
}
"""Maker of the files, their transfer syntax, storescu's option to propose it, and the method."""


def facts(image: Dataset, pixels: bytes) -> tuple[Any, ...]:
    """The parts of a result that an archive must keep."""
    kept = ("SeriesInstanceUID", "PhotometricInterpretation", "Rows", "Columns", "BitsStored")
    frames = int(image.get("NumberOfFrames") or 1)
    return (*(image[name].value for name in kept), frames, hashlib.sha256(pixels).hexdigest())


@pytest.mark.parametrize("name", CASES)
def test_the_result_of_a_network_is_in_the_archive_as_denoise_writes_it(chain, tmp_path, name):
    node, archive = chain
    make, syntax, proposal, method = CASES[name]
    files = make(tmp_path / "in")
    source = dcmread(files[0])
    assert source.file_meta.TransferSyntaxUID == syntax
    assert store(files, node.port, "-R", proposal) == 0
    run("denoise", *files, "-o", tmp_path / "out", "--device", "cpu", "--no-report", *method)
    results = [dcmread(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))]
    assert len(results) == len(files)
    (new,) = {result.SeriesInstanceUID for result in results}
    assert new != source.SeriesInstanceUID
    assert {result.PhotometricInterpretation for result in results} == {source.PhotometricInterpretation}

    def stored() -> dict[str, Any] | None:
        series = archive.series().get(new)
        return series if series is not None and len(series["Instances"]) == len(files) else None

    series = wait_for(stored, f"the result of {name}", WAIT_S)
    study = archive.get(f"/series/{series['ID']}/study")["MainDicomTags"]
    assert study["StudyInstanceUID"] == source.StudyInstanceUID
    found = {}
    for instance in series["Instances"]:
        image = dcmread(BytesIO(archive.get(f"/instances/{instance}/file")))
        pixels = archive.get(f"/instances/{instance}/content/7fe0-0010/0")
        found[image.SOPInstanceUID] = facts(image, pixels)
        assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found == {result.SOPInstanceUID: facts(result, result.PixelData) for result in results}
