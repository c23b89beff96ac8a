"""Fluoroscopy runs through the command line: what is said of frames stays, and bad runs end well."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.io import read
from tests.cines import FRAMES, SIZE, compressed, enhanced_run, noisy, run, truth, vectors
from tests.conformance import DCIODVFY, errors_of
from tests.io_samples import save

DERIVED = {
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ImageType", "PixelData"),
    *("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"),
    *("ContributingEquipmentSequence", "SourceImageEvidenceSequence", "ReferencedSeriesSequence"),
}
"""Elements in which a derived object describes itself."""


def denoise(path: Path, *options: str, code: int = 0) -> tuple[Dataset | None, str]:
    """The result of a file by the command line, and what was said of it."""
    target = path.with_name(f"{path.stem}_result.dcm")
    arguments = ["denoise", str(path), "-o", str(target), "--device", "cpu", "--overwrite", *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.stderr
    return (dcmread(target) if target.exists() else None), done.stderr


def result_of(path: Path, *options: str) -> Dataset:
    after, _ = denoise(path, *options)
    assert after is not None
    return after


def warnings_in(told: str) -> list[str]:
    return [line for line in told.splitlines() if line.startswith("warning: ")]


def rms(pixels: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean((pixels.astype(float) - expected) ** 2)))


@pytest.mark.parametrize("changes", [{}, vectors()], ids=["FrameTime", "FrameTimeVector"])
def test_all_that_is_said_of_a_run_stays(changes: dict[str, Any], tmp_path: Path) -> None:
    source = run(**changes)
    after = result_of(save(source, tmp_path / "run.dcm"), "--method", "median")
    assert not np.array_equal(after.pixel_array, source.pixel_array)
    for element in source:
        if element.keyword not in DERIVED:
            assert after[element.tag] == element, element
    assert {element.keyword for element in after} - {element.keyword for element in source} <= DERIVED


def test_all_functional_groups_of_a_run_stay(tmp_path: Path) -> None:
    source = enhanced_run()
    after = result_of(save(source, tmp_path / "run.dcm"), "--method", "median")
    assert after.PerFrameFunctionalGroupsSequence == source.PerFrameFunctionalGroupsSequence
    shared, before = after.SharedFunctionalGroupsSequence[0], source.SharedFunctionalGroupsSequence[0]
    assert shared.FramePixelDataPropertiesSequence == before.FramePixelDataPropertiesSequence
    for element in source:
        if element.keyword not in {*DERIVED, "SharedFunctionalGroupsSequence"}:
            assert after[element.tag] == element, element


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize(
    "source", [run(), run(**vectors()), enhanced_run()], ids=["XA", "vector", "enhanced"]
)
def test_a_denoised_run_has_no_error_that_its_source_has_not(source: Dataset, tmp_path: Path) -> None:
    path = save(source, tmp_path / "run.dcm")
    result_of(path, "--method", "median")
    assert errors_of(tmp_path / "run_result.dcm").keys() <= errors_of(path).keys()


def test_a_run_without_frame_time_is_a_cine_all_the_same_and_says_so_once(tmp_path: Path) -> None:
    silent = {"FrameTime": None, "FrameIncrementPointer": None, "CineRate": None}
    dataset = run(**silent, RecommendedDisplayFrameRate=None)
    rows = {}
    for name, source in (("silent", dataset), ("timed", run())):
        path = save(source, tmp_path / f"{name}.dcm")
        done = CliRunner().invoke(app, ["denoise", str(path), "--method", "median", "--json"])
        assert done.exit_code == 0, done.stderr
        rows[name] = json.loads(done.stdout)
    assert rows["timed"]["warnings"] == []
    assert len(rows["silent"]["warnings"]) == 1 and "no frame time" in rows["silent"]["warnings"][0]
    assert rows["silent"]["noise"] == rows["timed"]["noise"]
    after = dcmread(tmp_path / "silent_denoised.dcm")
    assert "FrameTime" not in after and after.NumberOfFrames == FRAMES


def test_a_run_in_colour_is_denoised_in_each_colour(tmp_path: Path) -> None:
    clean = np.stack([truth() / 4, 230 - truth() / 4, 60 + truth() / 5], axis=-1)
    pixels = np.rint(clean + np.random.default_rng(2).normal(0, 8, clean.shape)).astype(np.uint8)
    after = result_of(save(run(pixels), tmp_path / "run.dcm"), "--method", "median")
    assert (after.PhotometricInterpretation, after.NumberOfFrames) == ("RGB", FRAMES)
    for colour in range(3):
        assert rms(after.pixel_array[..., colour], clean[..., colour]) < 0.8 * rms(
            pixels[..., colour], clean[..., colour]
        )


@pytest.mark.parametrize("method", ["direct", "nlm"])
def test_saturated_areas_of_8_bit_runs_stay_what_they_are(method: str, tmp_path: Path) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    clean = np.broadcast_to(120.0 + 0.3 * x, (FRAMES, SIZE, SIZE)).copy()
    white, black = (x > 40) & (y < 30), (x < 16) & (y > 20)
    clean[:, white], clean[:, black] = 500, -300
    shown = clean + np.random.default_rng(3).normal(0, 12, clean.shape)
    pixels = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    after = result_of(save(run(pixels), tmp_path / "run.dcm"), "--method", method).pixel_array
    inside = np.zeros((SIZE, SIZE), bool)
    inside[4:24, 48:60] = inside[30:58, 3:10] = True
    assert np.abs(after[:, inside].astype(int) - pixels[:, inside]).max() <= 3
    rest = ~(white | black)
    assert rms(after[:, rest], clean[:, rest]) < 0.7 * rms(pixels[:, rest], clean[:, rest])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("method", ["direct", "nlm"])
def test_subtraction_runs_keep_their_sign(method: str, photometric: str, tmp_path: Path) -> None:
    clean = truth() - truth()[0][:, ::-1]
    pixels = np.rint(clean + np.random.default_rng(5).normal(0, 25, clean.shape)).astype(np.int16)
    assert pixels.min() < -200 and pixels.max() > 200
    dataset = run(pixels, PhotometricInterpretation=photometric, PixelIntensityRelationship="LOG")
    after = result_of(save(dataset, tmp_path / "run.dcm"), "--method", method)
    assert (after.PixelRepresentation, after.BitsStored) == (1, 12)
    assert rms(after.pixel_array, clean) < 0.75 * rms(pixels, clean)
    assert after.pixel_array.min() < -150 and after.pixel_array.max() > 150


def test_frames_of_different_size_are_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(4):
        size = 48 if number % 2 else SIZE
        frame = np.rint(noisy()[:1, :size, :size]).astype(np.uint16)
        one = run(frame, NumberOfFrames=None, FrameTime=None, FrameIncrementPointer=None)
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{number + 1}"
        save(one, folder / f"{number}.dcm")
    done = CliRunner().invoke(
        app, ["denoise", str(folder), "--method", "median", "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 0 and "2 series written" in done.stderr
    sizes = [dcmread(tmp_path / "out" / f"{number}.dcm").pixel_array.shape for number in range(4)]
    assert sizes == [(SIZE, SIZE), (48, 48)] * 2


def test_the_rate_is_told_in_frames_a_second(tmp_path: Path) -> None:
    _, told = denoise(save(run(), tmp_path / "run.dcm"), "--method", "median", "-v")
    line = next(line for line in told.splitlines() if " -> " in line)
    assert line.endswith(" frames/s)")


def in_frame(dataset: Dataset, number: int, share: float) -> bytes:
    """The file of `dataset`, cut after `share` of frame `number` (from 1)."""
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    data = out.getvalue()
    begin = data.index(dataset.PixelData)
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        size = len(dataset.PixelData) / FRAMES
        return data[: int(begin + (number - 1 + share) * size)]
    count, places = parse_fragments(dataset.PixelData[8:])
    parts = count // FRAMES
    ends = [*places, len(dataset.PixelData) - 8]
    start, stop = ends[(number - 1) * parts], ends[number * parts]
    return data[: begin + 8 + int(start + share * (stop - start))]


CODINGS: dict[str, Callable[[Dataset], Dataset]] = {
    "native": lambda dataset: dataset,
    "RLE": lambda dataset: compressed(dataset, RLELossless),
    "JPEG-LS": lambda dataset: compressed(dataset, JPEGLSLossless),
    "JPEG 2000 in fragments": lambda dataset: compressed(dataset, JPEG2000Lossless, parts=3),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("number", "share", "words"),
    [
        (5, 0.6, "frames 1 to 4 are processed, frames 5 to 6 are missing"),
        (6, 0.001, "frames 1 to 5 are processed, frame 6 is missing"),
        (2, 0.99, "frame 1 is processed, frames 2 to 6 are missing"),
    ],
)
def test_the_whole_frames_of_a_run_that_is_cut_short_are_denoised(
    coding: str, number: int, share: float, words: str, tmp_path: Path
) -> None:
    source = run(**vectors(), FrameLabelVector=list("abcdef"))
    path = tmp_path / "cut.dcm"
    path.write_bytes(in_frame(CODINGS[coding](source), number, share))
    after, told = denoise(path, "--strength", "0", "--method", "median")
    assert after is not None
    assert len(warnings_in(told)) == 1 and words in warnings_in(told)[0] and str(path) in told
    whole = number - 1
    assert after.NumberOfFrames == whole
    assert np.array_equal(after.pixel_array.reshape(whole, SIZE, SIZE), source.pixel_array[:whole])
    for keyword in ("FrameTimeVector", "PositionerPrimaryAngleIncrement", "FrameLabelVector"):
        kept = after[keyword].value
        assert ([kept] if after[keyword].VM == 1 else list(kept)) == list(source[keyword].value)[:whole]
    assert (after.StartTrim, after.StopTrim, after.RepresentativeFrameNumber) == (1, whole, min(5, whole))
    ranges = after.MaskSubtractionSequence[0].get("ApplicableFrameRange")
    assert ranges == ([2, whole] if whole > 1 else None)


def test_whole_frames_are_decoded_by_gdcm_where_pydicom_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("pydicom is kept out")

    source = run()
    path = tmp_path / "cut.dcm"
    path.write_bytes(in_frame(compressed(source, JPEGLSLossless), 4, 0.5))
    monkeypatch.setattr("meddenoise.io.dicom.pixels._frames", refuse)
    (series,) = read(path)
    assert np.array_equal(series.pixels, source.pixel_array[:3])


def test_functional_groups_of_lost_frames_go_with_them(tmp_path: Path) -> None:
    source = enhanced_run()
    path = tmp_path / "cut.dcm"
    path.write_bytes(in_frame(source, 4, 0.5))
    after = result_of(path, "--method", "median")
    assert after.NumberOfFrames == 3
    assert after.PerFrameFunctionalGroupsSequence == source.PerFrameFunctionalGroupsSequence[:3]


def test_what_is_left_of_a_run_is_another_object_than_the_whole(tmp_path: Path) -> None:
    whole = result_of(save(run(), tmp_path / "whole.dcm"), "--method", "median", "--sigma", "25")
    (tmp_path / "cut.dcm").write_bytes(in_frame(run(), 4, 0.5))
    part = result_of(tmp_path / "cut.dcm", "--method", "median", "--sigma", "25")
    assert part.SOPInstanceUID != whole.SOPInstanceUID
    assert part.SeriesInstanceUID == whole.SeriesInstanceUID


def test_a_table_of_offsets_that_counts_lost_frames_does_no_harm(tmp_path: Path) -> None:
    source = run()
    packed = run()
    packed.compress(RLELossless, generate_instance_uid=False)
    (tmp_path / "cut.dcm").write_bytes(in_frame_with_table(packed, 4))
    after = result_of(tmp_path / "cut.dcm", "--strength", "0", "--method", "median")
    assert np.array_equal(after.pixel_array, source.pixel_array[:3])


def in_frame_with_table(packed: Dataset, number: int) -> bytes:
    """The file cut in frame `number`, found by its table of offsets."""
    out = BytesIO()
    packed.save_as(out, enforce_file_format=True)
    offsets = parse_basic_offsets(packed.PixelData)
    assert len(offsets) == FRAMES
    begin = out.getvalue().index(packed.PixelData) + 8 + 4 * FRAMES
    return out.getvalue()[: begin + offsets[number - 1] + 20]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_run_without_one_whole_frame_is_refused(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(in_frame(CODINGS[coding](run()), 1, 0.7))
    after, told = denoise(path, "--method", "median", code=3)
    assert after is None
    assert told.count("\n") == 1 and f"{path} is truncated: it does not hold one whole frame" in told


@pytest.mark.parametrize("coding", CODINGS)
def test_a_single_frame_that_is_cut_short_is_refused(coding: str, tmp_path: Path) -> None:
    frame = np.rint(noisy()[:1]).astype(np.uint16)
    out = BytesIO()
    CODINGS[coding](run(frame)).save_as(out, enforce_file_format=True)
    path = tmp_path / "cut.dcm"
    path.write_bytes(out.getvalue()[:-600])
    after, told = denoise(path, "--method", "median", code=3 if coding == "native" else 1)
    assert after is None and told.splitlines()[0].startswith("meddenoise: ") and str(path) in told


def test_frames_that_a_complete_file_does_not_hold_are_no_cut(tmp_path: Path) -> None:
    packed = compressed(run(), RLELossless)
    packed.NumberOfFrames = 9
    after, told = denoise(save(packed, tmp_path / "run.dcm"), "--method", "median", code=1)
    assert after is None and "number of frames may be incorrect" in told
