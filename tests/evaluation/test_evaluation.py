"""Sets of results from files: their order, their partners, what all have in common, and their page."""

from pathlib import Path

import numpy as np
import pytest

from meddenoise.errors import NothingReadableError, UsageError
from meddenoise.evaluation import evaluate, items_under, result_sets
from meddenoise.evaluation.forecast import Forecast
from meddenoise.evaluation.page import write_evaluation
from meddenoise.evaluation.pair import EvaluationOptions
from meddenoise.io import write
from meddenoise.io.memory import as_series
from meddenoise.metrics.measure import Wanted
from meddenoise.pipeline.options import Options
from tests.plain import series

FEW = EvaluationOptions(wanted=Wanted(("psnr", "rmse", "acutance")))
RNG = np.random.default_rng(2)
TRUTH = np.tile(np.linspace(0, 200, 64, dtype=np.float32), (64, 1))
GRAIN = RNG.normal(0, 8, (64, 64)).astype(np.float32)


def save(path: Path, plane: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(as_series(plane.astype(np.float32)), path, format="nifti")
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two results of one image, of one name, beside the noisy image and the truth."""
    for name, share in (("a", 0.25), ("b", 0.5), ("noisy", 1.0), ("clean", 0.0)):
        save(tmp_path / name / "scan.nii", TRUTH + share * GRAIN)
    return tmp_path


def test_files_that_share_their_partners_are_sets_in_the_order_given(study: Path) -> None:
    shares: list[tuple[str, float, float]] = []
    files = [study / name / "scan.nii" for name in ("b", "a")]
    found = evaluate(
        files, study / "clean", study / "noisy", FEW, lambda *told: shares.append(told)
    )  # fmt: skip
    assert [standing.name for standing in found.standings] == [str(file) for file in files]
    rmse = np.sqrt(np.mean(np.square(GRAIN)))
    assert [one.mean.values["rmse"] for one in found.standings] == pytest.approx(
        [rmse / 2, rmse / 4], rel=1e-4
    )
    assert found.mean.values["rmse"] == pytest.approx(0.375 * rmse, rel=1e-4)
    assert found.mean_before is not None and found.mean_before.values["rmse"] == pytest.approx(rmse, rel=1e-4)
    assert found.mean_truth is not None and set(found.mean_truth.values) == {"acutance"}
    # one patient: nothing to compare over patients, and their names are their paths
    assert found.comparisons == () and {pair.name for pair in found.pairs} == {""}
    assert shares[0] == (str(files[0]), 0, 2) and shares[-1] == (str(files[1]), 2, 2)
    assert [done for _, done, _ in shares] == sorted(done for _, done, _ in shares)


def test_folders_files_and_what_is_damaged_are_told_apart(study: Path) -> None:
    save(study / "a" / "other.nii", TRUTH)
    whole = (study / "b" / "scan.nii").read_bytes()
    (study / "b" / "broken.nii").write_bytes(whole[:1000])
    one, two = study / "a" / "scan.nii", study / "a" / "other.nii"
    sets, failed = result_sets([study / "b", one, two, study / "b"], None)
    # the files, which are one set together, come first
    assert [(name, len(items)) for name, items in sets] == [("2 files", 2), (str(study / "b"), 1)]
    assert [path.name for path, _ in failed] == ["broken.nii"]
    partners, _ = items_under([study / "clean"])
    sets, _ = result_sets([study / "a", two, study / "b", one], partners)
    assert [name for name, _ in sets] == [str(path) for path in (study / "a", two, study / "b", one)]
    (study / "none").mkdir()
    with pytest.raises(NothingReadableError):
        result_sets([study / "none"], None)
    with pytest.raises(UsageError, match="has no partner under --ref"):
        evaluate([study / "a"], study / "clean")


def test_a_pair_that_does_not_fit_is_named_and_the_others_are_measured(study: Path) -> None:
    save(study / "clean" / "small.nii", TRUTH[:32])
    save(study / "a" / "small.nii", TRUTH)
    found = evaluate([study / "a"], study / "clean", options=FEW)
    ((path, why),) = found.failed
    assert path.name == "small.nii" and "differ in matrix (64 x 64 and 32 x 64)" in why
    assert [pair.result.name for pair in found.pairs] == ["scan.nii"] and found.mean_before is None
    assert found.standings[0].sigma_before is None


def test_the_page_names_rivals_by_what_tells_them_apart_and_shows_an_infinite_value(study: Path) -> None:
    save(study / "b" / "scan.nii", TRUTH)
    found = evaluate([study / "a", study / "b"], study / "clean", study / "noisy", FEW)
    assert write_evaluation(found, study / "e.html", command="eval a b") == ()
    text = (study / "e.html").read_text()
    # the names of the files are alike: those of their folders are not
    assert '"rival0": "b"' in text.replace('":"', '": "') and '"rival0": "a"' in text.replace('":"', '": "')
    assert "∞" in text and "2 measured, 0 failed" in text and "eval a b" in text
    for pair in found.pairs:
        pair.result.unlink()
    problems = write_evaluation(found, study / "f.html")
    assert len(problems) == 2 and all("is not drawn (" in text for text in problems)
    assert (study / "f.html").read_text().count("<!--drawing") == 0


def test_small_images_take_no_time_worth_a_warning_and_methods_of_unknown_cost_have_one() -> None:
    image = series(np.zeros((2, 48, 64), np.float32))
    expected = Forecast(image, Options(device="cpu"))
    # both parts that are timed are the whole of it: nothing runs
    assert expected.seconds("bm3d") == 0 and expected.warning("bm3d") == ""
    for method in ("vpsde-slides", "another package's"):
        assert expected.warning(method) == f"nobody has measured how slow {method} is: it may take long."
