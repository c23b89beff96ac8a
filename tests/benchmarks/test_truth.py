"""The truth benchmark: what it says is left of the noise, or kept of the contrast, is what is."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Plane = NDArray[np.float32]


def bottle(shift: float = 0.0) -> Plane:
    """A bright disc with a soft edge on a dark ground, moved down by `shift` pixels."""
    y, x = np.mgrid[:160, :160]
    return (20 + 500 * np.clip(50.5 - np.hypot(y - 80 - shift, x - 80), 0, 1)).astype(np.float32)


def drift() -> Plane:
    """Shading that one of two acquisitions has more than the other."""
    y, x = np.mgrid[:160, :160]
    return (8 * np.sin(x / 60) * np.cos(y / 50)).astype(np.float32)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.8])
def test_a_pair_tells_the_noise_and_how_much_of_it_is_left_whatever_drifted(left: float) -> None:
    from benchmarks.truth_real import judge_pair, pair_noise, still_part

    rng = np.random.default_rng(1)
    noises = [9 * rng.standard_normal((160, 160)).astype(np.float32) for _ in range(2)]
    first, second = bottle() + noises[0], bottle() + drift() + noises[1]
    where = still_part(first, second)
    assert pair_noise(first, second, where) ** 0.5 == pytest.approx(9, rel=0.02)
    results = [bottle() + left * noises[0], bottle() + drift() + left * noises[1]]
    outcome = judge_pair(first, second, where, 500.0)(results)[0]
    assert outcome.left_ms == pytest.approx((9 * left) ** 2, abs=0.03 * 81)
    same = judge_pair(first, second, where, 500.0)([first, second])[0]
    assert same.left_ms == pytest.approx(pair_noise(first, second, where))


def test_structure_smoothed_away_counts_against_a_result_and_a_rim_that_moved_does_not() -> None:
    from benchmarks.truth_real import judge_pair, pair_noise, still_part

    rng = np.random.default_rng(2)
    noises = [2 * rng.standard_normal((160, 160)).astype(np.float32) for _ in range(2)]
    planes = [bottle() + noise for noise in noises]
    where = still_part(*planes)
    blurred = [gaussian_filter(plane, 1.5) for plane in planes]
    assert judge_pair(*planes, where, 500.0)(blurred)[0].left_ms > pair_noise(*planes, where)
    moved = [planes[0], bottle(0.3) + noises[1]]
    assert pair_noise(*moved, still_part(*moved)) ** 0.5 == pytest.approx(2, rel=0.06)
    assert pair_noise(*moved, where) ** 0.5 > 4


@pytest.mark.parametrize("weight", [1.0, 0.65])
def test_frames_are_judged_by_others_with_which_they_share_no_noise(weight: float) -> None:
    from benchmarks.truth_real import judge_frames, witnesses

    rng = np.random.default_rng(3)
    truth = bottle()[:128, :128] / 5
    noise = 8 * rng.standard_normal((14, 128, 128)).astype(np.float32)
    noise[0] *= 4
    for n in range(1, 14):
        noise[n] = weight * noise[n] + (1 - weight) * noise[n - 1]
    frames = truth + noise
    found = witnesses(frames)
    assert all(np.isfinite(one.noise_ms) and one.noise_ms > 0 for one in found)
    judge = judge_frames(found, 255.0)
    for n, (before, half) in enumerate(zip(judge(frames), judge(truth + noise / 2), strict=True)):
        power = float(np.mean(noise[n] ** 2))
        assert before.part == half.part == f"frame {n}"
        assert before.left_ms == pytest.approx(power, rel=0.08)
        assert half.left_ms == pytest.approx(power / 4, abs=0.06 * power)


def test_gains_are_relative_to_the_noisy_planes_and_stop_where_chance_rules() -> None:
    from benchmarks.truth_trial import BEST_DB, TruthOutcome

    assert TruthOutcome("", 255.0, 100.0, 10.0).gain_db == pytest.approx(10)
    assert TruthOutcome("", 255.0, 100.0, 200.0).gain_db == pytest.approx(-3.01, abs=0.01)
    assert TruthOutcome("", 255.0, 100.0, -1.0).gain_db == pytest.approx(BEST_DB)
    assert TruthOutcome("", 255.0, 0.0, 4.0).gain_db is None


@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_the_share_of_contrast_of_inserted_discs_is_that_which_was_kept(kept: float) -> None:
    from benchmarks.truth_contrast import Discs, flat_places, judge_pairs

    truth = np.full((2, 120, 120), 50.0, np.float32)
    truth[1, :, 60:] = 90
    places = flat_places(truth, np.full((120, 120), 10.0, np.float32))
    assert places and all(abs(column - 60) > 12 for _, column in places)
    discs = Discs(tuple(places), 4.0, (120, 120))
    heights = [10.0 if n % 2 else -10.0 for n in range(len(places))]
    drawn = discs.drawn(heights)
    assert discs.contrasts(drawn) == pytest.approx(heights, rel=0.01)
    rng = np.random.default_rng(4)
    noisy = truth[0] + 10 * rng.standard_normal((120, 120)).astype(np.float32)
    shares = [o.share for o in judge_pairs(discs, drawn, 255.0)([noisy, noisy + kept * drawn])]
    assert shares == pytest.approx([kept] * len(places), abs=1e-4)


def test_discs_of_a_scan_are_found_where_they_are_and_nowhere_else() -> None:
    from benchmarks.truth_contrast import Discs, find_discs, judge_discs

    true = Discs(((40.0, 30.0), (30.0, 52.0), (58.0, 48.0)), 2.5, (90, 90))
    rng = np.random.default_rng(5)
    scan = 1000 + true.drawn([40.0, 40.0, 60.0]) + 5 * rng.standard_normal((90, 90)).astype(np.float32)
    found = find_discs(scan, 2.0)
    assert len(found.centres) == 3
    for centre in found.centres:
        assert min(np.hypot(*np.subtract(centre, other)) for other in true.centres) <= 1.5
    halved = judge_discs([found], [scan], 1000.0)([1000 + (scan - 1000) / 2])
    assert [o.share for o in halved] == pytest.approx([0.5] * 3, abs=1e-4)


def test_an_image_serves_as_reference_only_where_its_own_noise_is_negligible() -> None:
    from benchmarks.pictures import Picture
    from benchmarks.truth_medical import Reference, halved, references

    rng = np.random.default_rng(6)
    plane = (100 + 3 * rng.standard_normal((256, 256))).astype(np.float32)
    picture = Picture("xray/a.png", "DX", plane, 255.0, 0.7)
    whole, small = references(picture, {"xray/a.png": 1.0})
    assert whole.own == pytest.approx(3, rel=0.1) and small.own == pytest.approx(1.5, rel=0.15)
    assert halved(plane).std() == pytest.approx(1.5, rel=0.05) and small.picture.plane.shape == (128, 128)
    # 3² / (3² + 21²) is just below a fiftieth
    edge = Reference(picture, 3.0, False)
    assert edge.serves(21.1) and not edge.serves(20.9)
    assert references(picture, {"xray/a.png": 9.0})[0].own == 9.0


def test_noisy_images_serve_halved_or_at_strong_noise_and_modalities_without_images_are_named(
    tmp_path: Path,
) -> None:
    from benchmarks.truth_medical import medical

    rng = np.random.default_rng(7)
    folder = tmp_path / "xray"
    folder.mkdir()
    y, x = np.mgrid[:300, :300]
    plane = 90 + 60 * (np.hypot(y - 150, x - 150) < 90) + 3 * rng.standard_normal((300, 300))
    Image.fromarray(np.rint(plane).astype(np.uint8)).save(folder / "a.png")
    trials = {trial.row: trial for trial in medical(tmp_path, 2, 256, (5, 15, 50), every=False)}
    assert not trials["DX white 5"].cases and not trials["CT white 50"].cases
    assert trials["DX white 15"].note == "halved" and trials["DX white 15"].noisy[0].shape == (150, 150)
    whole = trials["DX white 50"]
    assert whole.note == "" and whole.noisy[0].shape == (256, 256) and whole.sigma == pytest.approx(50)


def test_noise_in_percent_of_the_peak_is_read_from_the_list(tmp_path: Path) -> None:
    from benchmarks.truth_medical import listed_noise

    lines = [
        "file,split,wavelet_sigma,note",
        "xray/a.png,val,0.83,",
        "xray/b.png,train,5,",
        "xray/c.png,val,,",
    ]
    (tmp_path / "SPLITS.csv").write_text("\n".join(lines))
    assert listed_noise(tmp_path) == {"xray/a.png": 0.83}


def row(
    method: str, group: str, name: str, gain: float, image: str = "a", part: str = ""
) -> dict[str, object]:
    """One row as the benchmark writes it."""
    return {
        "group": group,
        "row": name,
        "modality": "MR",
        "image": image,
        "part": part,
        "note": "",
        "method": method,
        "peak": 255.0,
        "noise_ms": 100.0,
        "left_ms": 100.0 * 10 ** (-gain / 10),
        "gain_db": gain,
        "share": None,
        "seconds": 0.5,
    }


def test_targets_say_what_each_learned_method_reached_and_mark_what_is_not_met() -> None:
    from benchmarks.truth_targets import targets_of

    rows = [row("nlm", "repeats", "a", 4.0), row("nlm", "repeats", "b", 6.0, "b")]
    rows += [row("good", "repeats", "a", 5.0), row("good", "repeats", "b", 7.5, "b")]
    rows += [row("poor", "repeats", "a", 6.5), row("poor", "repeats", "b", 5.0, "b")]
    rows += [row("good", "harm", "mr white 1", -0.2)]
    targets = {text: reached for text, _, reached in targets_of(rows)}
    assert targets["repeats: above NLM, mean"] == {"good": "+1.25", "poor": "+0.75 *"}
    assert targets["repeats: above NLM, worst pair"] == {"good": "+1.00", "poor": "-1.00 *"}
    assert targets["harm: worst image, dB"] == {"good": "-0.20 *"}
    assert not any("BM3D" in text for text in targets), "peers that did not run decide nothing"


def test_the_table_fits_100_columns_and_says_where_no_image_is_clean_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks.peers import GIVEN_MODEL
    from benchmarks.truth_table import print_tables

    methods = ("nlm", "nlm auto", "bm3d", GIVEN_MODEL, "direct", "diffdenoise", "befoi")
    rows = [row(method, "cines", "IM1", 4.0, "IM1", f"frame {n}") for method in methods for n in range(3)]
    rows += [{"group": "medical", "row": "XA white 15", "modality": "XA", "note": "no image is clean enough"}]
    print_tables(rows)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    (frame,) = [line for line in text.splitlines() if "IM1 frame 0" in line]
    assert frame.split()[-7:] == ["+4.00"] * 7 and frame.split()[3] == "1"
    (empty,) = [line for line in text.splitlines() if "XA white 15" in line]
    assert "IM1 other frames" in text and empty.split()[3:] == ["0", *["none"] * 7]


def test_the_document_holds_the_same_lines_and_targets() -> None:
    from benchmarks.truth_document import compose

    rows = [row("nlm", "repeats", "knee", 4.0), row("direct", "repeats", "knee", 3.5)]
    text = compose([{"settings": {"images": "6", "groups": "['repeats']"}, "rows": rows}])
    assert "| knee | 1 | 28.1 | +4.00 | +3.50 |" in text
    assert "| repeats: above NLM, mean | +1.00 | -0.50 \\* |" in text


def test_a_run_judges_photographs_and_keeps_what_peers_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import truth

    y, x = np.mgrid[:256, :256]
    folder = tmp_path / "data" / "natural"
    folder.mkdir(parents=True)
    plane = 60 + 90 * (np.hypot(y - 128, x - 128) < 70)
    Image.fromarray(plane.astype(np.uint8)).save(folder / "disc.png")
    command = [
        "truth.py",
        str(tmp_path / "data"),
        "--quick",
        "--groups",
        "natural",
        "--methods",
        "nlm,gaussian",
    ]
    command += ["--cache", str(tmp_path / "kept"), "--json", str(tmp_path / "rows.json")]
    results = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", command)
        assert truth.main() == 0
        results.append(json.loads((tmp_path / "rows.json").read_text())["rows"])
    assert results[0] == [r | {"seconds": s["seconds"]} for r, s in zip(results[1], results[0], strict=True)]
    assert {r["seconds"] for r in results[0] if r["method"] == "nlm"} == {
        r["seconds"] for r in results[1] if r["method"] == "nlm"
    }, "the second run took NLM from the cache"
    assert len(list((tmp_path / "kept").iterdir())) == 2
    gains = {r["method"]: r["gain_db"] for r in results[0] if r["row"] == "white 25"}
    assert gains["nlm"] > 10 and gains["gaussian"] > 3
    assert "photographs" in capsys.readouterr().out
