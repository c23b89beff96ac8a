"""Many series: names of outputs, resuming, failures that leave the rest alone, interrupts, locks."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from meddenoise.batch import Request, load, run
from meddenoise.batch import folder as place_module
from meddenoise.batch.finished import INDEX
from meddenoise.batch.folder import Place
from meddenoise.batch.tasks import plan_tasks
from meddenoise.batch.workers import Orders
from meddenoise.errors import NothingReadableError, OutputError, UsageError, WeightsError
from meddenoise.io import discover, read, write
from meddenoise.io.temporary import temporary_name
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.plan import Plan
from meddenoise.pipeline.result import Result
from meddenoise.report import Report
from meddenoise.series import Geometry, Series
from tests.io_samples import ct_slice, save

CT = Path(str(get_testdata_file("CT_small.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))
QUICK = Options(method="gaussian", sigma=20.0, device="cpu")


class Ears:
    """A listener that remembers."""

    def __init__(self):
        self.rows, self.finished, self.failures, self.images, self.total, self.skipped = [], [], [], 0, 0, 0
        self.device, self.notes, self.listing = "", [], []

    def found(self, series, images, skipped):
        self.total, self.skipped = images, len(skipped)

    def noted(self, text):
        self.notes.append(text)

    def started(self, device):
        self.device = device

    def advanced(self, images):
        self.images += images

    def written(self, row):
        self.rows.append(row)

    def listed(self, row):
        self.listing.append(row)

    def kept(self, row):
        self.finished.append(row)

    def failed(self, failure):
        self.failures.append(failure)


@pytest.fixture
def study(tmp_path):
    """A folder with two series, one below another, and a text."""
    folder = tmp_path / "study"
    (folder / "mr").mkdir(parents=True)
    shutil.copy(CT, folder / "ct.dcm")
    shutil.copy(MR, folder / "mr" / "IM0001")
    (folder / "notes.txt").write_text("no image")
    return folder


def png(path, level=100, size=(32, 32), count=1):
    """A PNG of 8 bits (or a TIFF stack) with noise."""
    rng = np.random.default_rng(level)
    pixels = np.clip(rng.normal(level, 10, (count, *size)), 0, 255).astype(np.uint8)
    series = Series(
        pixels, np.ones(count), np.zeros(count), (0.0, 255.0), Geometry(known=False), "png", path, ()
    )
    write(series, path, format="tiff" if path.suffix == ".tif" else "png")
    return path


def start(*inputs, ears=None, options=QUICK, output=None, report=True, reference=None, **orders):
    ears = ears or Ears()
    request = Request(
        inputs=tuple(inputs), output=output, report=report, reference=reference, command="test",
        orders=Orders(options=options, **orders),
    )  # fmt: skip
    return run(request, ears), ears


def files(folder):
    """All files of a folder but the index that resuming reads."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != INDEX)
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_no_garbage_is_looked_for_while_libraries_are_imported(tmp_path, monkeypatch, end):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "looks_at_gc.py").write_text(f"import gc\ngc.was_on = gc.isenabled()\n{end}\n")
    monkeypatch.setattr(gc, "was_on", True, raising=False)
    monkeypatch.delitem(sys.modules, "looks_at_gc", raising=False)
    with pytest.raises(ValueError) if end else nullcontext():
        load("looks_at_gc")
    assert not gc.was_on
    assert gc.isenabled()


def test_a_folder_is_mirrored_beside_itself_with_a_report(study):
    outcome, ears = start(study)
    assert (outcome.written, outcome.kept, outcome.failed) == (2, 0, 0)
    out = study.with_name("study_denoised")
    assert files(out) == [
        "ct.dcm", "meddenoise-report.csv", "meddenoise-report.html", "meddenoise-report.json", "mr/IM0001",
    ]  # fmt: skip
    assert (ears.total, ears.images, ears.skipped) == (2, 2, 1)
    assert ears.device.startswith("cpu, ")
    content = json.loads((out / "meddenoise-report.json").read_text())
    assert {row["modality"] for row in content["series"]} == {"CT", "MR"}
    assert content["device"] == "cpu"
    assert content["precision"] in ("fp32", "bf16")
    ct = pydicom.dcmread(out / "ct.dcm")
    assert ct.SOPInstanceUID != pydicom.dcmread(CT).SOPInstanceUID
    assert (ct.pixel_array != pydicom.dcmread(CT).pixel_array).any()


def test_one_file_is_written_beside_itself_with_a_report_named_after_it(study):
    outcome, _ = start(study / "ct.dcm")
    assert outcome.written == 1
    assert "ct_denoised.dcm" in files(study)
    assert "ct_denoised-report.json" in files(study)
    outcome, _ = start(study / "mr" / "IM0001", report=False)
    assert files(study / "mr") == ["IM0001", "IM0001_denoised"]


def test_an_output_with_the_suffix_of_an_image_is_the_file_itself(study, tmp_path):
    start(study / "ct.dcm", output=tmp_path / "new" / "clean.dcm")
    assert files(tmp_path / "new") == [
        "clean-report.csv", "clean-report.html", "clean-report.json", "clean.dcm",
    ]  # fmt: skip
    start(study / "ct.dcm", output=tmp_path / "folder")
    assert "ct.dcm" in files(tmp_path / "folder")


def test_files_of_several_folders_are_mirrored_below_what_they_have_in_common(tmp_path, monkeypatch):
    for name in ("a/x.png", "a/deep/y.png", "b/x.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        png(tmp_path / "in" / name, level=100)
    listed = [tmp_path / "in" / name for name in ("a/x.png", "a/deep/y.png", "b/x.png")]
    monkeypatch.chdir(tmp_path / "in" / "a")
    here = [Path("x.png"), Path("deep/y.png"), Path("../b/x.png")]
    for inputs, output in ((listed, tmp_path / "out"), (here, tmp_path / "relative")):
        assert start(*inputs, output=output, report=False)[0].written == 3
        assert files(output) == ["a/deep/y.png", "a/x.png", "b/x.png"]
    assert start(*listed[:2], output=tmp_path / "near", report=False)[0].written == 2
    assert files(tmp_path / "near") == ["deep/y.png", "x.png"]


def test_slices_of_one_series_listed_from_two_folders_stay_one_series(tmp_path):
    listed = [save(ct_slice(n), tmp_path / "in" / str(n % 2) / "same.dcm") for n in range(2)]
    outcome, ears = start(*listed, output=tmp_path / "out", report=False)
    assert outcome.written == 1 and ears.rows[0].shape[0] == 2
    assert files(tmp_path / "out") == ["0/same.dcm", "1/same.dcm"]


def test_a_result_beside_its_source_is_not_denoised_again(study):
    start(study / "ct.dcm", report=False)
    outcome, ears = start(study, report=False)
    assert outcome.written == 2
    assert [note.partition(":")[0] for note in ears.notes] == [
        "results of meddenoise among other images, skipped"
    ]


def test_a_whole_folder_can_become_one_file(tmp_path):
    for number in range(3):
        save(ct_slice(number), tmp_path / "ct" / f"{number}.dcm")
    start(tmp_path / "ct", output=tmp_path / "ct.nii.gz", format="nifti", report=False)
    (back,) = read(tmp_path / "ct.nii.gz")
    assert back.pixels.shape == (3, 8, 6)
    with pytest.raises(UsageError, match="is the name of one image, the inputs give 3"):
        start(tmp_path / "ct", output=tmp_path / "ct.dcm")
    assert files(tmp_path / "ct") == ["0.dcm", "1.dcm", "2.dcm"]


@pytest.mark.parametrize(("name", "format"), [("a.png", "same"), ("a.nii", "png"), ("a.dcm", "nifti")])
def test_an_output_named_for_another_format_is_refused(study, name, format):
    """Not written: DICOM under the name of a PNG."""
    with pytest.raises(UsageError, match="has a name for"):
        start(study / "ct.dcm", output=study / name, format=format)
    assert not (study / name).exists()


def test_several_inputs_go_below_their_names(study, tmp_path):
    other = png(tmp_path / "more.png")
    start(study, other, output=tmp_path / "out", report=False)
    assert files(tmp_path / "out") == ["more.png", "study/ct.dcm", "study/mr/IM0001"]


def test_formats_can_be_changed(study, tmp_path):
    start(study / "ct.dcm", output=tmp_path / "out", format="nifti")
    (back,) = read(tmp_path / "out" / "ct.nii.gz")
    assert back.pixels.shape == (1, 128, 128)
    start(study / "ct.dcm", format="png", report=False)
    assert (study / "ct_denoised.png").exists()


def test_two_inputs_of_one_name_are_laid_out_below_the_folder_they_share(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        png(tmp_path / name / "x.png", level=60 + ord(name) % 7)
    outcome, _ = start(tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", output=tmp_path / "out")
    assert (outcome.written, outcome.failed) == (2, 0)
    assert (tmp_path / "out" / "a" / "x.png").exists() and (tmp_path / "out" / "b" / "x.png").exists()


def test_an_input_is_never_overwritten(study, tmp_path):
    before = (study / "ct.dcm").read_bytes()
    with pytest.raises(UsageError, match="is the input folder"):
        start(study, output=study)
    outcome, ears = start(study / "ct.dcm", output=study / "ct.dcm", overwrite=True)
    assert outcome.failed == 1
    assert "is an input, which is never overwritten" in ears.failures[0].error
    (tmp_path / "link").symlink_to(study)
    outcome, _ = start(study / "ct.dcm", output=tmp_path / "link" / "ct.dcm", overwrite=True)
    assert outcome.failed == 1
    assert (study / "ct.dcm").read_bytes() == before


def test_an_output_folder_inside_the_input_is_not_denoised_again(study):
    for _ in range(2):
        outcome, _ = start(study, output=study / "clean", overwrite=True)
        assert outcome.written == 2
    assert not (study / "clean" / "clean").exists()


def test_finished_results_are_kept_and_what_is_new_is_added(study):
    start(study)
    out = study.with_name("study_denoised")
    stamp = (out / "ct.dcm").stat().st_mtime_ns
    shutil.copy(get_testdata_file("JPEG2000.dcm"), study / "new.dcm")
    outcome, ears = start(study)
    assert (outcome.written, outcome.kept, outcome.failed) == (1, 2, 0)
    assert (out / "ct.dcm").stat().st_mtime_ns == stamp
    assert ears.images == ears.total
    content = json.loads((out / "meddenoise-report.json").read_text())
    assert len(content["series"]) == 3


def test_resuming_needs_no_report(study):
    out = study.with_name("study_denoised")
    start(study, report=False)
    assert files(out) == ["ct.dcm", "mr/IM0001"]
    outcome, ears = start(study, report=False)
    assert (outcome.written, outcome.kept, outcome.failed) == (0, 2, 0)
    assert {row.noise["unit"] for row in ears.finished} == {"HU", ""}
    assert start(study)[0].kept == 2
    report = out / "meddenoise-report.json"
    assert len(json.loads(report.read_text())["series"]) == 2
    report.write_text("{}")
    assert start(study)[0].kept == 2
    assert len(json.loads(report.read_text())["series"]) == 2


def test_single_results_in_one_folder_share_an_index(tmp_path):
    inputs = [png(tmp_path / f"{number}.png", level=60 + 20 * number) for number in range(3)]
    assert start(*inputs, report=False)[0].written == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [INDEX]
    assert start(*inputs, report=False)[0].kept == 3
    assert start(inputs[1], report=False)[0].kept == 1


def test_a_deleted_result_is_made_again_and_a_changed_input_is_refused_until_overwrite(study):
    start(study)
    out = study.with_name("study_denoised")
    (out / "ct.dcm").unlink()
    assert start(study)[0].written == 1
    for change in ({"options": replace(QUICK, sigma=30.0)}, {"resume": False}):
        outcome, ears = start(study, **change)
        assert outcome.failed == 2
        assert "give --overwrite" in ears.failures[0].error
    assert start(study, options=replace(QUICK, sigma=30.0), overwrite=True)[0].written == 2
    os.utime(study / "ct.dcm", (1, 1))
    outcome, _ = start(study, options=replace(QUICK, sigma=30.0))
    assert (outcome.kept, outcome.failed) == (1, 1)


def test_a_damaged_file_is_named_and_the_rest_goes_on(study):
    whole = CT.read_bytes()
    (study / "cut.dcm").write_bytes(whole[: len(whole) - 5000])
    (study / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
    outcome, ears = start(study)
    assert (outcome.written, outcome.failed) == (2, 2)
    assert {Path(failure.input).name for failure in ears.failures} == {"cut.dcm", "cut.png"}
    report = json.loads((study.with_name("study_denoised") / "meddenoise-report.json").read_text())
    assert len(report["failed"]) == 2
    for failure in ears.failures:
        assert failure.input in failure.error


def test_a_panic_of_a_decoder_fails_its_series_only(study, monkeypatch):
    class PanicException(BaseException):
        """As pylibjpeg-rle raises it."""

    def panic(item):
        if "ct" in item.path.name:
            raise PanicException("index out of range")
        return real(item)

    from meddenoise.batch import workers

    real = workers.read_item
    monkeypatch.setattr(workers, "read_item", panic)
    outcome, ears = start(study)
    assert (outcome.written, outcome.failed) == (1, 1)
    assert "PanicException: index out of range" in ears.failures[0].error
    assert ears.images == ears.total


def test_several_jobs_give_the_same_files(tmp_path):
    for number in range(6):
        png(tmp_path / "in" / f"{number}.png", level=50 + 20 * number)
    start(tmp_path / "in", output=tmp_path / "one", report=False)
    start(tmp_path / "in", output=tmp_path / "three", report=False, jobs=3)
    assert files(tmp_path / "one") == files(tmp_path / "three") != []
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_the_residual_goes_beside_a_file_and_into_a_folder_of_its_own(study, tmp_path):
    start(study / "ct.dcm", output=tmp_path / "x.dcm", residual=True)
    (residual,) = read(tmp_path / "x_residual.nii")
    (before,), (after,) = read(study / "ct.dcm"), read(tmp_path / "x.dcm")
    difference = before.values(0, 1) - after.values(0, 1)
    assert residual.pixels.dtype == np.float32
    assert np.sort(residual.pixels.ravel()) == pytest.approx(np.sort(difference.ravel()), abs=1e-3)
    start(study, output=tmp_path / "out", residual=True)
    assert files(tmp_path / "out_residual") == ["ct_residual.nii", "mr/IM0001_residual.nii"]
    assert not [name for name in files(tmp_path / "out") if "residual" in name]


def test_a_map_of_a_colour_image_is_refused_before_anything_is_written(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.png")
    _, ears = start(tmp_path / "a.png", output=tmp_path / "b.png", report=False, residual=True)
    assert "is in colour" in ears.failures[0].error and "no residual" in ears.failures[0].error
    assert files(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        ({"residual": True}, ".dcm is in colour, which NIfTI cannot hold: ask for no residual."),
        (
            {"options": Options(task="upscale", factor=2, device="cpu")},
            ".dcm is in colour: convert it to grey",
        ),
    ],
)
def test_each_series_in_colour_of_a_folder_is_named_by_a_file_of_its_own(tmp_path, orders, why):
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    facts = colour | depth | {"Rows": 32, "Columns": 32, "PixelData": bytes(3 * 32 * 32)}
    for series in (1, 2):
        for number in range(2):
            name = tmp_path / "in" / f"{series}-{number}.dcm"
            save(ct_slice(number, SeriesInstanceUID=f"1.2.{series}", **facts), name)
    _, ears = start(tmp_path / "in", **orders)
    told = sorted(failure.error for failure in ears.failures)
    assert [text.startswith(f"{tmp_path / 'in'}/{n}-") for n, text in enumerate(told, 1)] == [True, True]
    assert all(why in text for text in told)


def test_a_reference_gives_metrics_and_one_that_does_not_fit_gives_null_and_a_warning(study, tmp_path):
    _, ears = start(study / "ct.dcm", output=tmp_path / "a.dcm", reference=study / "ct.dcm")
    assert 20 < ears.rows[0].metrics["psnr"] < 60
    _, ears = start(study / "ct.dcm", output=tmp_path / "b.dcm", reference=study / "mr")
    assert ears.rows[0].metrics["psnr"] is None
    assert any("no metric could be computed" in text for text in ears.rows[0].warnings)


def test_nothing_readable_is_an_error_of_its_own(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(NothingReadableError, match="is not a DICOM"):
        start(tmp_path / "a.txt")
    with pytest.raises(NothingReadableError, match="holds no image"):
        start(tmp_path)
    with pytest.raises(NothingReadableError, match="cannot be read"):
        start(tmp_path / "missing.dcm")


def test_wrong_names_are_refused_before_anything_is_read(study):
    for wrong in ({"options": Options(method="nml")}, {"format": "jpeg"}, {"jobs": 0}):
        with pytest.raises(UsageError):
            start(study, **wrong)
    with pytest.raises(UsageError, match="uses no weights"):
        start(study, options=replace(QUICK, weights=str(CT)))
    assert not study.with_name("study_denoised").exists()


def test_damaged_weights_end_the_run_once_and_before_anything_is_read(study, tmp_path):
    (tmp_path / "pickled.safetensors").write_bytes(b"\x80\x04}q\x00.")
    with pytest.raises(WeightsError, match="holds a Python pickle"):
        start(study, options=Options(weights=str(tmp_path / "pickled.safetensors")))
    assert not study.with_name("study_denoised").exists()


def test_an_error_in_the_report_folder_leaves_no_empty_folder(study, monkeypatch):
    from meddenoise.batch import workers

    def full(*args, **more):
        raise OutputError("disk full")

    monkeypatch.setattr(workers, "write", full)
    outcome, _ = start(study, report=False)
    assert outcome.failed == 2
    assert not study.with_name("study_denoised").exists()


def test_a_second_run_on_the_same_output_is_told_so(study):
    out = study.with_name("study_denoised")
    head = Report(command="", started="", device="", precision="")
    holder = Place(out / "meddenoise-report.json", head, keep_report=True)
    holder.enter()
    try:
        outcome, ears = start(study)
        assert outcome.failed == 2
        assert "another run of meddenoise is writing" in ears.failures[0].error
    finally:
        holder.close()
    assert start(study)[0].written == 2
    assert not [name for name in files(out) if "lock" in name]


def test_the_report_is_saved_while_a_long_run_goes_on(study, monkeypatch):
    monkeypatch.setattr(place_module, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(place_module, "SAVING", 1e9)  # whatever share of the time that takes
    saved = []

    class Watching(Ears):
        def written(self, row):
            path = study.with_name("study_denoised") / "meddenoise-report.json"
            saved.append(len(json.loads(path.read_text())["series"]))

    start(study, ears=Watching())
    assert saved == [1, 2]


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_report_that_cannot_be_saved_is_told_and_the_images_are_there(study, monkeypatch, every):
    monkeypatch.setattr(place_module, "SAVE_EVERY_S", every)

    def full(report, path):
        raise OutputError(f"{path} cannot be written (No space left on device): make room.")

    monkeypatch.setattr(place_module, "write_report", full)
    outcome, ears = start(study)
    assert (outcome.written, outcome.failed) == (2, 1)
    assert "No space left" in ears.failures[0].error
    assert files(study.with_name("study_denoised")) == ["ct.dcm", "mr/IM0001"]


def test_an_output_that_is_no_folder_fails_each_series_in_one_sentence(study, tmp_path):
    (tmp_path / "file").write_text("no folder")
    outcome, ears = start(study, output=tmp_path / "file")
    assert (outcome.written, outcome.failed) == (0, 2)
    assert "cannot be written" in ears.failures[0].error


def test_every_planned_target_is_its_own(study, tmp_path):
    found = discover([study])
    for format in ("same", "nifti", "png"):
        tasks = plan_tasks(found.items, [study], tmp_path / "out", format)
        targets = [target for task in tasks for target in task.targets]
        assert len(set(targets)) == len(targets) == 2


@pytest.fixture
def long_study(tmp_path):
    """Enough slow series that a signal arrives in the middle."""
    for number in range(12):
        png(tmp_path / "in" / f"{number:02d}.png", level=90, size=(280, 280))
    return tmp_path / "in"


def begin(folder):
    command = [sys.executable, "-m", "meddenoise", "denoise", str(folder), "--method", "nlm", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()  # one series is finished
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_keeps_what_is_finished_and_leaves_nothing_half_written(long_study, name, code):
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup")
    process = begin(long_study)
    process.send_signal(number)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - sent < 10
    assert "Traceback" not in errors
    out = long_study.with_name("in_denoised")
    results = [file for file in files(out) if file.endswith(".png")]
    assert 1 <= len(results) < 12
    assert set(files(out)) == {*results, *(f"meddenoise-report.{kind}" for kind in ("json", "csv", "html"))}
    report = json.loads((out / "meddenoise-report.json").read_text())
    assert {Path(row["output"]).name for row in report["series"]} == set(results)
    for result in results:
        read(out / result)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_resumed_without_overwrite(long_study, tmp_path, monkeypatch):
    process = begin(long_study)
    process.kill()
    process.communicate(timeout=30)
    out = long_study.with_name("in_denoised")
    assert [name for name in files(out) if "lock" in name]
    for name in files(out):  # what lies under its own name is complete
        if name.endswith(".png"):
            read(out / name)
    left = temporary_name().replace(f"-{os.getpid()}-", f"-{process.pid}-")
    (out / left).write_bytes(b"half")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    (tmp_path / "room" / left).mkdir(parents=True)
    (tmp_path / "room" / left / "unpacked.dcm").write_bytes(b"pixels of a patient")
    (out / temporary_name().replace(f"-{os.getpid()}-", f"-{os.getppid()}-")).touch()
    outcome, ears = start(long_study, options=Options(method="nlm"))
    assert outcome.failed == 0, ears.failures
    assert outcome.written + outcome.kept == 12
    assert not [name for name in files(out) if "lock" in name]
    assert not (out / left).exists()
    assert not list((tmp_path / "room").iterdir())
    assert len([name for name in files(out) if name.endswith(".tmp")]) == 1, "another process is at it"


def test_a_result_is_judged_while_the_network_works_on_the_next_series(study, monkeypatch):
    working, judging, waited = threading.Event(), [], []
    run_plan, judged = Plan.run, Result.judged
    first = []

    def note_work(plan, *arguments):
        if first:
            working.set()
        first.append(plan)
        return run_plan(plan, *arguments)

    def wait_for_work(result):
        judging.append(result)
        if len(judging) == 1:
            waited.append(working.wait(60))
        return judged(result)

    monkeypatch.setattr(Plan, "run", note_work)
    monkeypatch.setattr(Result, "judged", wait_for_work)
    ears = Ears()
    run(Request(inputs=(study,), output=study.parent / "out", orders=Orders(options=QUICK)), ears)
    assert waited == [True] and len(ears.rows) == 2
