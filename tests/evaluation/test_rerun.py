"""The report that tells which method made a result: next to it, or above its folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meddenoise.evaluation.rerun import LEVELS, Lesions, lesions_again, row_of
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.report import REPORT, Report, Row, write_report
from meddenoise.trust import Values
from tests.plain import series


def row(output: Path, method: str = "nlm") -> Row:
    numbers: dict[str, Any] = {"seconds": 1.0, "slices_per_second": 1.0, "peak_memory_mib": 1}
    return Row(
        input="in", output=str(output), format="nifti", modality="CT", shape=(1, 64, 64), spacing_mm=None,
        method=method, mode=None, weights=None, seed=0, noise={}, metrics={}, **numbers,
    )  # fmt: skip


def report(path: Path, *rows: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(Report(command="c", started="s", device="cpu", precision="fp32", series=rows), path)


def result(path: Path) -> Any:
    return series(path=path, files=(path,))


def test_a_file_has_its_own_report_before_that_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "knee_denoised.nii.gz"
    report(tmp_path / REPORT, row(file, "direct"), row(tmp_path / "hip.nii"))
    found = row_of(result(file))
    assert found is not None and found.method == "direct"
    report(tmp_path / "knee_denoised-report.json", row(file))
    found = row_of(result(file))
    assert found is not None and found.method == "nlm"


@pytest.mark.parametrize("depth", range(LEVELS + 1))
def test_the_report_is_looked_for_in_the_folders_above(depth: int, tmp_path: Path) -> None:
    file = tmp_path.joinpath(*"abcdef"[:depth], "0001.dcm")
    report(tmp_path / REPORT, row(file))
    assert (row_of(result(file)) is not None) == (depth < LEVELS)


def test_a_series_goes_by_its_folder_and_two_of_one_name_are_not_told_apart(tmp_path: Path) -> None:
    report(tmp_path / REPORT, row(tmp_path / "scan"), row(tmp_path / "other", "direct"))
    found = row_of(result(tmp_path / "scan" / "0001.dcm"))
    assert found is not None and found.method == "nlm"
    assert row_of(result(tmp_path / "third" / "0001.dcm")) is None
    report(tmp_path / REPORT, row(tmp_path / "a" / "scan"), row(tmp_path / "b" / "scan"))
    assert row_of(result(tmp_path / "a" / "scan" / "0001.dcm")) is None
    assert row_of(replace(result(tmp_path / "x"), path=tmp_path / "scan" / "y", files=())) is None


def test_a_method_that_runs_again_measures_survival_and_one_that_cannot_says_why(tmp_path: Path) -> None:
    plane = np.random.default_rng(0).normal(200, 5, (1, 96, 96)).astype(np.float32)
    noisy = series(plane, path=tmp_path / "in.nii")
    pair, noise = (noisy, result(tmp_path / "out.nii")), SeriesNoise((NoiseEstimate(5.0),))
    measured = Values({"noise_left": 0.2}, notes=("first.",))
    again = lesions_again(measured, pair, noise, Lesions("gaussian"))
    share = again.values["lesion_survival"]
    assert share is not None and 0.2 < share < 1 and again.notes == ("first.",)
    assert again.values["noise_left"] == 0.2
    report(tmp_path / "out-report.json", row(tmp_path / "out.nii", "gaussian"))
    assert lesions_again(measured, pair, noise, Lesions()) == again
    failed = lesions_again(measured, pair, noise, Lesions("no such"))
    assert failed.values["lesion_survival"] is None and failed.notes[0] == "first."
    assert failed.notes[1].startswith("lesion survival was not measured: ") and failed.notes[1][-2] != "."
