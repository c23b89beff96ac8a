"""The better result, the metrics shown first, and an evaluation as JSON, table and page."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import OutputError
from meddenoise.evaluation import Evaluation
from meddenoise.evaluation.comparison import Comparison, Standing
from meddenoise.evaluation.document import (
    as_document,
    as_json,
    general_warnings,
    key_metrics,
    winner,
    write_document,
)
from meddenoise.evaluation.pair import Pair
from meddenoise.evaluation.standings import standings
from meddenoise.metrics import Protocol
from meddenoise.metrics.measure import Measurement
from meddenoise.trust.removal import Removal

numbers = st.floats(-5, 5).map(lambda value: round(value, 3))


def measured(*warnings: str, **values: float | None) -> Measurement:
    return Measurement(dict(values), warnings)


def standing(name: str, cases: int = 2, **values: float | None) -> Standing:
    mean = measured(**values)
    return Standing(name, mean, dict.fromkeys(values, (1.0, 2.0) if cases > 1 else None), cases, 3, 4.0, 1.0)


def pair(name: str = "a.nii", unit: str = "HU", **values: float | None) -> Pair:
    protocol = Protocol(100.0, unit=unit)
    return Pair(Path(name), Path("t.nii"), None, protocol, measured(**values), None, Removal(), case="p")


def evaluation(*sets: Standing, **facts: Any) -> Evaluation:
    values = sets[0].mean.values if sets else {}
    plain: dict[str, Any] = {
        "pairs": tuple(pair(one.name, **one.mean.values) for one in sets), "mean": measured(**values),
        "mean_before": None, "failed": (), "standings": sets,
    }  # fmt: skip
    return Evaluation(**plain | facts)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=5, unique=True), numbers)
def test_the_winner_is_nearest_to_the_best_value_of_its_metric(values: list[float], aim: float) -> None:
    names = [f"set {n}" for n in range(len(values))]
    known = {
        "psnr": max(values),
        "sure": min(values),
        "bias": min(values, key=abs),
        "ssim": min(values, key=lambda value: abs(value - 1)),
        "acutance": min(values, key=lambda value: abs(value - aim)),
        "nps_mean": min(values, key=lambda value: abs(value - aim)),
    }
    for metric, best in known.items():
        sets = [standing(name, **{metric: value}) for name, value in zip(names, values, strict=True)]
        found = evaluation(
            *sets, standing("without", **{metric: None}),
            mean_truth=measured(acutance=aim), mean_before=measured(nps_mean=aim),
        )  # fmt: skip
        distances = sorted(abs(value - best) for value in values)
        won = winner(metric, found)
        if won is None:  # two on either side of the aim, equally far
            assert metric not in ("psnr", "sure") and distances[1] > 0
        else:
            assert values[names.index(won)] == best


def test_there_is_no_winner_in_a_tie_alone_or_where_the_best_value_is_not_known() -> None:
    assert winner("psnr", evaluation(standing("a", psnr=30.0), standing("b", psnr=30.0))) is None
    assert winner("bias", evaluation(standing("a", bias=-2.0), standing("b", bias=2.0))) is None
    assert winner("psnr", evaluation(standing("a", psnr=30.0), standing("b", psnr=None))) is None
    for metric in ("acutance", "nps_mean", "residual_whiteness", "dice of a hook"):
        two = evaluation(standing("a", **{metric: 0.3}), standing("b", **{metric: 0.7}))
        assert winner(metric, two) is None
    zero = evaluation(
        standing("a", acutance=0.3), standing("b", acutance=0.7), mean_truth=measured(acutance=0.0)
    )
    assert winner("acutance", zero) == "a"


def test_four_metrics_come_first_those_that_have_a_value() -> None:
    values = {"psnr": None, "ssim": 0.9, "rmse": 1.0, "mae": 0.0, "bias": -1.0, "hfen": 2.0}
    found = evaluation(standing("a", **values), standing("b", **values | {"psnr": 30.0}))
    assert key_metrics(found) == ["psnr", "ssim", "rmse", "mae"]
    assert key_metrics(evaluation(standing("a", **values))) == ["ssim", "rmse", "mae", "bias"]


def test_one_patient_is_warned_about_only_where_there_are_several_series() -> None:
    one = evaluation(standing("a", cases=1, psnr=3.0))
    assert general_warnings(one) == []
    twice = replace(one, pairs=one.pairs * 2, mean=measured("first.", psnr=3.0))
    assert general_warnings(twice) == [
        "first.", "all series are of one patient: intervals and tests over patients need more."
    ]  # fmt: skip
    assert general_warnings(evaluation(standing("a", cases=2, psnr=3.0), pairs=one.pairs * 4)) == []


def test_the_document_holds_null_for_what_json_cannot_and_says_what_the_mean_is_over(tmp_path: Path) -> None:
    row = Comparison("psnr", "b", "a", math.nan, (-1.0, math.inf), None, 2, "few")
    found = evaluation(
        standing("a", psnr=3.0), standing("b", psnr=math.inf), comparisons=(row,),
        failed=((Path("c.nii"), "why"),), mean_before=measured(psnr=1.0), mean_truth=measured(acutance=2.0),
    )  # fmt: skip
    document = json.loads(as_json(as_document(found)))
    assert document["results"][1]["mean"] == {"psnr": None}
    assert document["comparisons"][0] | {"metric": "psnr"} == {
        "metric": "psnr", "name": "b", "against": "a", "difference": None, "interval": [-1.0, None],
        "p": None, "cases": 2, "why": "few",
    }  # fmt: skip
    assert document["warnings"] == ["mean is over 2 sets of results: results has the mean of each."]
    assert document["mean_noisy"] == {"psnr": 1.0} and document["mean_reference"] == {"acutance": 2.0}
    assert document["definitions"]["psnr"] == {
        "unit": "dB", "best": "high", "what": "peak signal-to-noise ratio"
    }  # fmt: skip
    sheet, table = write_document(as_document(found), tmp_path / "out.html")
    assert sheet.name == "out.json" and json.loads(sheet.read_text()) == document
    lines = list(csv.DictReader(table.read_text().splitlines()))
    assert [line["result"] for line in lines] == ["a", "b", "c.nii"]
    assert [line["metrics_psnr"] for line in lines] == ["3.0", "", ""] and lines[2]["error"] == "why"
    with pytest.raises(OutputError):
        write_document(as_document(found), tmp_path / "out.json" / "below.json")


def test_the_means_of_the_page_mark_the_winner_and_give_units_intervals_and_differences() -> None:
    row = Comparison("rmse", "runs/b", "runs/a", -1.5, (-2.0, 0.25), 0.031, 2)
    untested = replace(row, metric="psnr", difference=2.0, p=None, why='few <"patients">')
    sets = standing("runs/a", rmse=5.0, psnr=30.0), standing("runs/b", rmse=3.5, psnr=30.0)
    text = standings(evaluation(*sets, comparisons=(row, untested), mean_before=measured(rmse=9.0)))
    assert '<td class="n best">3.5<small>1 … 2</small></td>' in text and text.count("best") == 2
    assert "RMSE [HU]</th>" in text and '<th scope="col" class="n">noisy</th>' in text
    assert '<th scope="row">b − a</th><td>RMSE [HU]</td><td class="n">−1.5</td>' in text
    assert '<td class="n">−2 … +0.25</td><td class="n">0.031</td><td class="n">2</td>' in text
    assert '<span title="few &lt;&quot;patients&quot;&gt;">–</span>' in text
    assert "Means over 3 series, with 95 % intervals over patients." in text
    assert standings(evaluation(standing("a", rmse=5.0))) == ""


def test_a_metric_in_several_units_has_no_row_of_means() -> None:
    pairs = pair("a.nii", "HU", rmse=1.0, psnr=3.0), pair("b.nii", "", rmse=1.0, psnr=3.0)
    lone = evaluation(standing("a", cases=1, rmse=1.0, psnr=3.0), pairs=pairs)
    text = standings(lone)
    assert "PSNR" in text and "RMSE" not in text
    assert "intervals" not in text and "marked" not in text and "Difference" not in text
    assert as_document(lone)["definitions"]["rmse"]["unit"] is None
