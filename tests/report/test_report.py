"""Reports: the schema that scripts rely on, merging, and files that are complete or not there."""

import csv
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import OutputError
from meddenoise.report import Failure, Report, Row, read_report, row_as_json, write_report
from meddenoise.version import __version__

ROW = Row(
    input="in/a.dcm",
    output="out/a.dcm",
    format="dicom",
    modality="CT",
    shape=(1, 4, 5),
    spacing_mm=(2.0, 0.5, 0.5),
    method="nlm",
    mode=None,
    weights={"name": "w", "sha256": "00"},
    seed=0,
    noise={"sigma_before": 20.0, "sigma_after": 5.0, "unit": "HU"},
    metrics={"psnr": 40.0, "ssim": None},
    seconds=1.5,
    slices_per_second=0.7,
    peak_memory_mib=100,
    warnings=("beware, of commas", "and more"),
    fingerprint="place-content",
)
FIELDS = ["input", "error", "schema", "shape", "warnings"]
EMPTY = Report(
    command="meddenoise denoise", started="2026-01-01T00:00:00+00:00", device="cpu", precision="fp32"
)


def test_the_json_has_the_documented_keys(tmp_path):
    write_report(replace(EMPTY, series=(ROW,), failed=(Failure("b.dcm", "broken"),)), tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["schema"] == 1
    assert content["meddenoise"] == __version__
    assert {"command", "started", "device", "precision", "series", "failed"} <= content.keys()
    assert content["failed"] == [{"input": "b.dcm", "error": "broken"}]
    series = content["series"][0]
    assert {
        "input", "output", "format", "modality", "shape", "spacing_mm", "method", "mode", "weights", "seed",
        "noise", "metrics", "seconds", "slices_per_second", "peak_memory_mib", "warnings",
    } <= series.keys()  # fmt: skip
    assert series["shape"] == [1, 4, 5]
    assert series["noise"] == {"sigma_before": 20.0, "sigma_after": 5.0, "unit": "HU"}
    assert series["metrics"]["ssim"] is None


def test_what_is_written_reads_back_equal(tmp_path):
    report = replace(EMPTY, series=(ROW,), failed=(Failure("b.dcm", "broken"),))
    write_report(report, tmp_path / "r.json")
    assert read_report(tmp_path / "r.json") == report


def test_numbers_that_are_none_become_null_not_nan(tmp_path):
    odd = replace(ROW, metrics={"psnr": math.inf, "ssim": math.nan})
    assert row_as_json(odd)["metrics"] == {"psnr": None, "ssim": None}
    write_report(replace(EMPTY, series=(odd,)), tmp_path / "r.json")
    assert "NaN" not in (tmp_path / "r.json").read_text()


def test_the_table_has_one_line_a_series_and_a_failure(tmp_path):
    write_report(replace(EMPTY, series=(ROW,), failed=(Failure("b, c.dcm", "broken"),)), tmp_path / "r.json")
    with (tmp_path / "r.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["noise_sigma_before"] == "20.0"
    assert lines[0]["metrics_psnr"] == "40.0"
    assert lines[0]["metrics_ssim"] == ""
    assert lines[0]["warnings"] == "beware, of commas and more"
    assert lines[1]["input"] == "b, c.dcm"
    assert lines[1]["error"] == "broken"


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("failures", [0, 2])
def test_pieces_make_the_document_that_json_would(rows, failures, tmp_path):
    report = replace(
        EMPTY,
        series=tuple(replace(ROW, input=f'a "{n}"\nb', fingerprint=f"{n}-x") for n in range(rows)),
        failed=tuple(Failure(f"{n}.dcm", "broken") for n in range(failures)),
    )
    write_report(report, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    assert read_report(tmp_path / "r.json") == report


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "series": [{"input": 1}], "failed": []}']
)
def test_a_report_that_cannot_be_continued_counts_as_none(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    assert read_report(tmp_path / "r.json") is None
    assert read_report(tmp_path / "missing.json") is None


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(EMPTY, tmp_path / "file" / "r.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["series", "failed", "command", None]), JSON)
def test_a_report_with_anything_in_it_is_read_or_counts_as_none(tmp_path_factory, place, value):
    path = tmp_path_factory.getbasetemp() / "changed.json"
    write_report(replace(EMPTY, series=(ROW,)), path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(value if place is None else content | {place: value}))
    found = read_report(path)
    assert found is None or isinstance(found, Report)


@pytest.mark.parametrize("entry", ["text", 5, None, [], {}])
def test_a_row_that_is_none_makes_the_report_none(tmp_path, entry):
    write_report(replace(EMPTY, series=(ROW,)), tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(content | {"series": [entry]}))
    assert read_report(tmp_path / "r.json") is None
