"""`meddenoise eval` of several results side by side, by named protocols, and of input that is not right."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import examples
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from meddenoise.errors import UsageError
from meddenoise.evaluation import evaluate
from meddenoise.evaluation.pair import EvaluationOptions
from tests.cli.test_eval import CLEAN, dicom, measured, nifti, png, run

RNG = np.random.default_rng(8)
Planes = NDArray[np.int16]


def noisy(planes: Planes, sigma: float) -> Planes:
    return np.clip(planes + RNG.normal(0, sigma, planes.shape), 0, 255).astype(np.int16)


def study(root: Path, patients: int = 7) -> tuple[Path, Path, Path, Path]:
    """Folders of 8-bit images, one a patient: two results, what they were made from, and the truth."""
    for n in range(patients):
        clean = np.clip(RNG.normal(120, 30, (40, 40)), 0, 200).astype(np.int16)
        for name, sigma in (
            ("clean", 0.0),
            ("noisy", 25.0),
            ("good", 4.0 + 0.3 * n),
            ("poor", 14.0 + 0.3 * n),
        ):
            png(root / name / f"p{n}.png", noisy(clean, sigma))
    return tuple(root / name for name in ("good", "poor", "noisy", "clean"))


def image(folder: Path, name: str, pixels: Planes, **tags: object) -> str:
    """One radiograph without a place in the patient; its UID."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = examples.ct
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.astype("<i2").tobytes()
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.Modality = 1, 0, "DX"
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = generate_uid(), generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / name)
    return str(dataset.SOPInstanceUID)


def test_results_stand_side_by_side_with_intervals_and_tests_over_patients(tmp_path: Path) -> None:
    good, poor, source, clean = study(tmp_path)
    found = measured(good, poor, "--ref", clean, "--noisy", source)
    assert [row["result"] for row in found["results"]] == [str(good), str(poor)]
    assert [row["cases"] for row in found["results"]] == [7, 7]
    best, worse = (row["mean"]["psnr"] for row in found["results"])
    assert best > worse + 5 > found["mean_noisy"]["psnr"] + 5
    for row in found["results"]:
        low, high = row["interval_95"]["psnr"]
        assert low < row["mean"]["psnr"] < high
    psnrs = {(row["name"], row["against"]): row for row in found["comparisons"] if row["metric"] == "psnr"}
    assert set(psnrs) == {(str(good), "noisy"), (str(poor), "noisy"), (str(poor), str(good))}
    last = psnrs[str(poor), str(good)]
    assert last["difference"] == pytest.approx(worse - best) and last["p"] == pytest.approx(2 / 2**7)
    assert last["interval"][0] < last["difference"] < last["interval"][1] < 0
    assert len(found["pairs"]) == 14 and len({pair["case"] for pair in found["pairs"]}) == 7
    assert found["mean"]["psnr"] == pytest.approx((best + worse) / 2)
    assert any("2 sets of results" in warning for warning in found["warnings"])


def test_noise_in_flat_places_is_compared_on_the_series_that_all_results_have(tmp_path: Path) -> None:
    flat, rng = np.full((1, 128, 128), 1000), np.random.default_rng(3)
    for n, sigma in enumerate((10.0, 40.0)):
        grain = rng.normal(0, sigma, flat.shape)
        for name, share in (("clean", 0.0), ("noisy", 1.0), ("good", 0.2), ("poor", 0.5)):
            if (name, n) != ("good", 1):
                nifti(tmp_path / name / f"p{n}.nii", (flat + share * grain).astype(np.float32))
    options = ("--ref", tmp_path / "clean", "--noisy", tmp_path / "noisy")
    results = tmp_path / "good", tmp_path / "poor"
    found = measured(*results, *options)
    assert [row["sigma_after"] for row in found["results"]] == pytest.approx([2.0, 5.0], rel=0.1)
    sentence = "the noise in flat places is over 1 of 2 series"
    assert any(text.startswith(sentence) for text in found["warnings"])
    shown = run(*results, *options).stderr
    (line,) = [line for line in shown.splitlines() if line.startswith("noise in flat places")]
    assert float(line.split()[4]) == pytest.approx(10, rel=0.1) and sentence in shown


def test_more_files_than_references_are_sets_of_their_own(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "clean.nii", CLEAN)
    files = [nifti(tmp_path / f"{name}.nii", CLEAN + np.int16(n)) for n, name in ((2, "b"), (1, "a"))]
    found = measured(*files, "--ref", reference)
    assert [(row["result"], row["mean"]["bias"]) for row in found["results"]] == [
        (str(files[0]), 2.0),
        (str(files[1]), 1.0),
    ]
    assert found["comparisons"] == []


def test_one_patient_has_no_interval_and_says_so(tmp_path: Path) -> None:
    for name, shift in (("clean", 0), ("result", 2)):
        for place, first in (("a", 0.0), ("b", 300.0)):
            dicom(tmp_path / name / place, CLEAN + np.int16(shift), [0, 1, 2], first)
    found = measured(tmp_path / "result", "--ref", tmp_path / "clean")
    (row,) = found["results"]
    assert (row["series"], row["cases"], row["interval_95"]["rmse"]) == (2, 1, None)
    assert any("one patient" in warning for warning in found["warnings"])


def test_series_in_different_units_have_no_mean_of_what_is_in_a_unit(tmp_path: Path) -> None:
    scan = CLEAN.repeat(4, 1).repeat(3, 2)
    for name, shift in (("clean", 0), ("noisy", 8), ("result", 3), ("other", 5)):
        dicom(tmp_path / name / "ct", scan + np.int16(shift), [0, 1, 2])
        nifti(tmp_path / name / "head.nii", scan + np.int16(10 * shift))
    options = ("--ref", tmp_path / "clean", "--noisy", tmp_path / "noisy")
    both = tmp_path / "result", tmp_path / "other"
    found = measured(*both, *options, "-o", tmp_path / "scores.json")
    means = [found["mean"], found["mean_noisy"], *(row["mean"] for row in found["results"])]
    assert [mean["rmse"] for mean in means] == [None] * 4 and all(mean["psnr"] for mean in means)
    assert [row["sigma_after"] for row in found["results"]] == [None, None]
    assert {row["metric"] for row in found["comparisons"]} & {"rmse", "mae", "bias", "psnr"} == {"psnr"}
    assert found["definitions"]["rmse"]["unit"] is None and found["definitions"]["psnr"]["unit"] == "dB"
    (sentence,) = [text for text in found["warnings"] if "different units" in text]
    assert "rmse, mae, bias" in sentence
    assert {pair["protocol"]["unit"]: pair["metrics"]["rmse"] for pair in found["pairs"][:2]} == {
        "HU": 3,
        "": 30,
    }
    shown = run(*both, *options).stderr
    assert "[HU]" not in shown and "3 HU" in shown and sentence in shown
    page = (tmp_path / "scores.html").read_text()
    table, _, _ = page.partition('<table class="standings"')[2].partition("</table>")
    assert "PSNR [dB]" in table and "RMSE" not in table and "HU" not in table
    alike = measured(tmp_path / "result" / "ct", "--ref", tmp_path / "clean" / "ct")
    assert alike["mean"]["rmse"] == 3 and alike["definitions"]["rmse"]["unit"] == "HU"


def test_two_noisy_series_of_one_patient_in_one_folder_both_count(tmp_path: Path) -> None:
    for name, first, shift in (("a", 0.0, 2), ("b", 300.0, 6)):
        for folder, brighter in (("noisy", shift), ("clean", 0), ("result", 1)):
            files = dicom(tmp_path / folder / name, CLEAN + np.int16(brighter), [0, 1, 2], first)
            for file in files.iterdir():
                file.rename(tmp_path / folder / file.name)
            files.rmdir()
    found = measured(tmp_path / "result", "--ref", tmp_path / "clean", "--noisy", tmp_path / "noisy")
    assert found["mean_noisy"]["bias"] == pytest.approx(4) and found["mean"]["bias"] == pytest.approx(1)


def test_radiographs_pair_with_the_images_they_were_made_from(tmp_path: Path) -> None:
    uids = [image(tmp_path / "noisy", f"{n}.dcm", CLEAN[n]) for n in range(3)]
    for place, n in enumerate((2, 0, 1)):
        source = Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = examples.ct.SOPClassUID, uids[n]
        image(
            tmp_path / "out",
            f"{place}.dcm",
            CLEAN[n] + np.int16(n + 1),
            SourceImageSequence=Sequence([source]),
        )
    found = measured(tmp_path / "out", "--noisy", tmp_path / "noisy", "--ref", tmp_path / "noisy")
    partners = {Path(pair["result"]).stem: Path(pair["noisy"]).stem for pair in found["pairs"]}
    assert partners == {"0": "2", "1": "0", "2": "1"}
    assert {Path(pair["result"]).stem: pair["metrics"]["bias"] for pair in found["pairs"]} == {
        "0": 3,
        "1": 1,
        "2": 2,
    }
    assert all(any("itself" in text for text in pair["warnings"]) for pair in found["pairs"])


def test_denoised_files_name_their_sources(tmp_path: Path) -> None:
    from meddenoise.io.dicom.links import read_links

    uid = image(tmp_path, "a.dcm", CLEAN[0])
    assert read_links(tmp_path / "a.dcm").instance == uid and not read_links(tmp_path / "a.dcm").sources
    enhanced, series, study_ = Dataset(), Dataset(), Dataset()
    enhanced.ReferencedSOPClassUID, enhanced.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.3", Sequence([enhanced])
    study_.StudyInstanceUID, study_.ReferencedSeriesSequence = "1.4", Sequence([series])
    image(tmp_path, "b.dcm", CLEAN[0], SourceImageEvidenceSequence=Sequence([study_]))
    assert read_links(tmp_path / "b.dcm").sources == {"1.2.3"}
    (tmp_path / "c.dcm").write_bytes(b"no image")
    assert not read_links(tmp_path / "c.dcm").instance


@pytest.mark.parametrize(
    ("protocol", "size", "window"),
    [("ct-hu", 2000, None), ("ct-window:-900:200", 200, [-1000, -800]), ("patient-range", None, None)],
)
def test_a_protocol_is_told_beside_every_number(
    tmp_path: Path, protocol: str, size: float | None, window: list[float] | None
) -> None:
    reference = dicom(tmp_path / "clean", CLEAN, [0, 1, 2])
    result = dicom(tmp_path / "result", noisy(CLEAN, 9), [0, 1, 2])
    (pair,) = measured(result, "--ref", reference, "--protocol", protocol)["pairs"]
    size = float(np.ptp(CLEAN)) if size is None else size
    assert pair["protocol"]["data_range"] == size and pair["protocol"]["window"] == window
    assert pair["metrics"]["psnr"] == pytest.approx(20 * np.log10(size / pair["metrics"]["rmse"]))


def test_a_protocol_for_other_images_fails_naming_the_file(tmp_path: Path) -> None:
    reference, result = (nifti(tmp_path / f"{name}.nii", CLEAN) for name in ("a", "b"))
    found = run(result, "--ref", reference, "--protocol", "8bit", "--json")
    assert found.exit_code == 1
    (failure,) = json.loads(found.stdout)["failed"]
    assert str(reference) in failure["error"] and "8-bit" in failure["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--protocol", "nothing"),
        ("--protocol", "ct-hu", "--data-range", "100"),
        ("--data-range", "nan"),
        ("--metrics", "psnrr"),
        ("--metrics", "leak"),
        ("--roi", "1,2,3"),
        ("--roi", "0,0,5,5", "--roi", "0,0,5,5", "--roi", "0,0,5,5"),
        ("--edge", "1,2"),
        ("--crop", "0,0,5,5@2"),
        ("-o", "scores.txt"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reference, result = (nifti(tmp_path / f"{name}.nii", CLEAN) for name in ("a", "b"))
    with pytest.raises(UsageError):
        run(result, "--ref", reference, *arguments)


def test_a_protocol_without_a_reference_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ref"):
        run(nifti(tmp_path / "a.nii", CLEAN), "--protocol", "ct-hu")


def test_only_the_part_and_the_metrics_that_are_named_are_measured(tmp_path: Path) -> None:
    spoilt = CLEAN.copy()
    spoilt[:, :, :16] += 9
    paths = nifti(tmp_path / "b.nii", spoilt), nifti(tmp_path / "a.nii", CLEAN)
    (pair,) = measured(paths[0], "--ref", paths[1], "--crop", "0,8,24,16", "--metrics", "bias,RMSE")["pairs"]
    assert pair["metrics"] == {"rmse": pytest.approx(9 / np.sqrt(2)), "bias": pytest.approx(4.5)}
    assert pair["protocol"]["crop"] == "0,8,24,16"
    (whole,) = measured(paths[0], "--ref", paths[1], "--metrics", "bias")["pairs"]
    assert whole["metrics"] == {"bias": pytest.approx(4.5)}


def test_regions_are_measured_in_the_result_and_in_the_noisy_image(tmp_path: Path) -> None:
    flat = np.full((2, 64, 64), 100, np.int16)
    flat[:, :, 32:] = 160
    paths = [nifti(tmp_path / f"{n}.nii", noisy(flat, sigma)) for n, sigma in enumerate((4.0, 16.0))]
    rois = ("--roi", "8,4,20,20", "--roi", "8,40,20,20@2")
    (pair,) = measured(paths[0], "--noisy", paths[1], "--roi", "8,4,20,20", "--roi", "8,40,20,20")["pairs"]
    assert pair["metrics"]["roi_snr"] == pytest.approx(25, rel=0.1)
    assert pair["noisy_metrics"]["roi_snr"] == pytest.approx(6.25, rel=0.1)
    assert pair["metrics"]["roi_cnr"] == pytest.approx(15, rel=0.1)
    assert pair["protocol"]["rois"] == ["8,4,20,20", "8,40,20,20"]
    (pair,) = measured(paths[0], *rois)["pairs"]
    assert pair["metrics"]["roi_cnr"] is None
    assert any("as many planes" in warning for warning in pair["warnings"])


@pytest.mark.parametrize("option", ["--roi", "--edge", "--crop"])
def test_a_region_outside_the_image_fails_naming_both(tmp_path: Path, option: str) -> None:
    result = nifti(tmp_path / "b.nii", CLEAN)
    found = run(result, "--ref", nifti(tmp_path / "a.nii", CLEAN), option, "20,0,5,5", "--json")
    assert found.exit_code == 1
    (failure,) = json.loads(found.stdout)["failed"]
    assert (
        "20,0,5,5" in failure["error"] and str(result) in failure["error"] and "24 x 32" in failure["error"]
    )


@pytest.mark.parametrize(("tag", "value"), [("Modality", "CT"), ("RescaleType", "OD")])
def test_another_modality_or_unit_than_the_reference_fails_naming_both(
    tmp_path: Path, tag: str, value: str
) -> None:
    image(tmp_path / "clean", "a.dcm", CLEAN[0], RescaleType="HU")
    image(tmp_path / "out", "a.dcm", CLEAN[0], **{"RescaleType": "HU", tag: value})
    found = run(tmp_path / "out", "--ref", tmp_path / "clean", "--json")
    assert found.exit_code == 1
    (failure,) = json.loads(found.stdout)["failed"]
    assert str(tmp_path / "out") in failure["error"] and str(tmp_path / "clean") in failure["error"]
    assert "modality" in failure["error"] or "unit" in failure["error"]
    assert json.loads(found.stdout)["mean"] == {}


def test_a_reference_that_is_the_input_or_the_result_is_a_warning(tmp_path: Path) -> None:
    source = nifti(tmp_path / "noisy.nii", noisy(CLEAN, 9))
    result = nifti(tmp_path / "out.nii", CLEAN)
    (pair,) = measured(result, "--ref", source, "--noisy", source)["pairs"]
    assert [
        text
        for text in pair["warnings"]
        if "noisy image" in text and "itself" in text and str(source) in text
    ]
    (pair,) = measured(result, "--ref", result)["pairs"]
    assert [text for text in pair["warnings"] if "identical to its reference" in text]
    (pair,) = measured(source, "--noisy", source)["pairs"]
    assert [text for text in pair["warnings"] if "nothing was removed" in text]


def test_numbers_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    spoilt = CLEAN.astype(np.float32) + 3
    spoilt[1, 4, 5:9] = np.nan
    spoilt[0, 0, 0] = np.inf
    result = nifti(tmp_path / "b.nii", spoilt)
    (pair,) = measured(result, "--ref", nifti(tmp_path / "a.nii", CLEAN.astype(np.float32)))["pairs"]
    assert pair["metrics"]["bias"] == pytest.approx(3) == pair["metrics"]["rmse"]
    assert any("5 pixels are NaN or infinite" in text for text in pair["warnings"])
    nothing = nifti(tmp_path / "c.nii", np.full(CLEAN.shape, np.nan, np.float32))
    (pair,) = measured(nothing, "--ref", tmp_path / "a.nii")["pairs"]
    assert set(pair["metrics"].values()) == {None}


def test_constant_images_and_one_plane_give_valid_json(tmp_path: Path) -> None:
    flat = np.full((1, 24, 32), 7, np.int16)
    paths = [nifti(tmp_path / f"{n}.nii", flat + np.int16(n)) for n in range(2)]
    (pair,) = measured(paths[1], "--ref", paths[0], "--noisy", paths[0])["pairs"]
    assert pair["metrics"]["bias"] == 1 and pair["metrics"]["psnr"] is None
    assert {name for name, value in pair["metrics"].items() if value is None} == {
        text.partition(" ")[0] for text in pair["warnings"] if "has no value" in text
    }
    (pair,) = measured(paths[1], "--ref", paths[0], "--data-range", 10)["pairs"]
    assert pair["metrics"]["psnr"] == pytest.approx(20)


def test_psnr_and_ssim_are_told_with_all_their_decimals(tmp_path: Path) -> None:
    flat = np.full((1, 24, 32), 7, np.int16)
    for name, shift in (("clean", 0), ("noisy", 10), ("result", 1)):
        for n in range(2):
            nifti(tmp_path / name / f"p{n}.nii", flat + np.int16(shift))
    partners = ("--ref", tmp_path / "clean", "--noisy", tmp_path / "noisy")
    shown = run(tmp_path / "result", *partners, "--data-range", 100, "--metrics", "psnr,ssim,rmse").stderr
    lines = [line.split() for line in shown.splitlines()]
    assert ["PSNR", "[dB]", "high", "20.00", "40.00"] in lines and ["RMSE", "0", "10", "1"] in lines
    (ssim,) = [line for line in lines if line[:1] == ["SSIM"]]
    assert [len(number) for number in ssim[2:4]] == [6, 6]
    assert ["result", "-", "noisy", "PSNR", "[dB]", "+20.00", "+20.00", "..", "+20.00", "-", "2"] in lines


def test_an_infinite_psnr_is_printed_as_such(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "a.nii", CLEAN)
    shown = run(nifti(tmp_path / "b.nii", CLEAN), "--ref", reference)
    (line,) = [line for line in shown.stderr.splitlines() if line.startswith("PSNR")]
    assert line.split()[-2:] == ["inf", "-"]


def test_tables_fit_80_columns_however_many_results_and_however_long_their_names(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_method_{n}" for n in range(6)]
    for n in range(2):
        clean = np.clip(RNG.normal(120, 30, (40, 40)), 0, 200).astype(np.int16)
        for name in ("clean", "noisy", *names):
            png(
                tmp_path / name / f"a_long_name_of_an_image_[dB]_{n}.png",
                noisy(clean, 5 if name != "clean" else 0),
            )
    results = [tmp_path / name for name in names]
    shown = run(*results, "--ref", tmp_path / "clean", "--noisy", tmp_path / "noisy").stderr
    table, _, _ = shown.partition("measured with")
    assert max(map(len, table.splitlines())) <= 80
    for text in ("PSNR [dB]", "a_rat..hod_5", "reference", "95 % interval"):
        assert text in table
    assert "warning: mean is" not in shown


def test_the_table_file_has_a_line_a_pair_and_a_failure(tmp_path: Path) -> None:
    good, poor, source, clean = study(tmp_path, 2)
    png(good / "p0.png", CLEAN[0, :9])
    output = tmp_path / "scores.csv"
    found = run(good, poor, "--ref", clean, "--noisy", source, "--json", "-o", output)
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert json.loads((tmp_path / "scores.json").read_text()) == document
    with output.open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["result"] for line in lines] == [
        *(pair["result"] for pair in document["pairs"]),
        document["failed"][0]["input"],
    ]
    assert float(lines[0]["metrics_psnr"]) == document["pairs"][0]["metrics"]["psnr"]
    assert lines[0]["protocol_data_range"] == "255.0" and lines[-1]["error"]


def test_a_mask_says_which_pixels_are_measured(tmp_path: Path) -> None:
    clean = RNG.integers(0, 200, (40, 40)).astype(np.int16)
    result = clean.copy()
    result[:20] += 8
    marked = np.zeros_like(clean)
    marked[10:30, 5:30] = 255
    for name, pixels in (("result", result), ("clean", clean), ("mask", marked), ("empty", 0 * marked)):
        png(tmp_path / f"{name}.png", pixels)
    known = tmp_path / "result.png", "--ref", tmp_path / "clean.png"
    document = json.loads(run(*known, "--mask", tmp_path / "mask.png", "--json").stdout)
    assert document["mean"]["bias"] == pytest.approx(4)
    assert document["pairs"][0]["protocol"]["mask"] == f"the mask {tmp_path / 'mask.png'} but padding and NaN"
    # the crop cuts the mask too
    cut = run(*known, "--mask", tmp_path / "mask.png", "--crop", "0,0,20,40", "--json")
    assert json.loads(cut.stdout)["mean"]["bias"] == pytest.approx(8)
    missed = run(*known, "--mask", tmp_path / "empty.png")
    assert missed.exit_code == 1
    assert "is 0 everywhere on" in missed.stderr and "mark the part to be measured" in missed.stderr
    png(tmp_path / "small.png", marked[:9])
    assert "small.png" in run(*known, "--mask", tmp_path / "small.png").stderr


def test_progress_is_told_and_may_stop_the_work(tmp_path: Path) -> None:
    for folder in ("a", "ref", "noisy"):
        for n in range(2):
            png(tmp_path / folder / f"{n}.png", RNG.integers(0, 200, (40, 40)).astype(np.int16))
    told: list[tuple[str, float, float]] = []
    paths = [tmp_path / "a"], tmp_path / "ref", tmp_path / "noisy"
    evaluate(*paths, EvaluationOptions(), lambda *what: told.append(what))
    assert {total for _, _, total in told} == {2}
    done = [share for _, share, _ in told]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 2 and len(done) > 20
    assert [Path(what).name for what, share, _ in told if share in (0, 1.5)] == ["0.png", "1.png"]

    def stop(what: str, share: float, total: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(*paths, EvaluationOptions(), stop)
