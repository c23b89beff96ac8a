"""The benchmark scripts: their noise models are true, and they run from images to a table."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a busy machine several threads wait for each other in every small convolution."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("quanta", [5, 20, 100, 500])
def test_the_anscombe_transform_gives_unit_noise_and_its_inverse_no_bias(quanta: int) -> None:
    from benchmarks.stabilise import Anscombe

    rng = np.random.default_rng(quanta)
    gain, electronic = 2.0, 3.0
    noisy = gain * rng.poisson(quanta, 200_000) + rng.normal(0, electronic, 200_000)
    transform = Anscombe(gain, electronic**2)
    stable = transform.forward(noisy)
    assert stable.std() == pytest.approx(1, abs=0.03)
    assert transform.inverse(np.array([stable.mean()]))[0] == pytest.approx(gain * quanta, rel=0.01)


def test_the_whole_spectrum_told_to_bm3d_is_that_of_the_noise() -> None:
    from benchmarks.cases import Case
    from benchmarks.peers import _power
    from meddenoise.noise.models import CorrelatedNoise
    from meddenoise.noise.simulate import simulate

    clean = np.zeros((64, 63), np.float32)
    draws = [simulate(clean, CorrelatedNoise(5.0, 0.8), np.random.default_rng(n)) for n in range(40)]
    measured = np.mean([np.abs(np.fft.fft2(noisy)) ** 2 for noisy, _ in draws], axis=0)
    case = Case("", "", "", "CT", clean, draws[0][0], 1.0, 5.0, 5.0, draws[0][1].nps)
    told = _power(case)
    assert told is not None and told.mean() == pytest.approx(1)
    measured /= measured.mean()
    strong = told > 0.2
    assert np.corrcoef(told[strong], measured[strong])[0, 1] > 0.9
    assert measured[strong].sum() == pytest.approx(told[strong].sum(), rel=0.02)


def test_a_pair_of_neighbours_is_two_pixels_that_share_an_edge_and_all_pairs_are_as_frequent() -> None:
    import torch

    from papers.rivals.neighbor2neighbor import neighbours

    first, second = neighbours(80_000, torch.Generator().manual_seed(0))
    pairs, counts = torch.unique(torch.stack([first, second]), dim=1, return_counts=True)
    touching = {(0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 3), (3, 1), (3, 2)}
    assert {(int(a), int(b)) for a, b in pairs.T} == touching
    assert counts.min() > 9_500 and counts.max() < 10_500


def test_training_is_compared_on_noisy_images_alone_and_noise_is_that_asked_for(tmp_path: Path) -> None:
    data, kept, output = tmp_path / "data", tmp_path / "kept", tmp_path / "out.json"
    (data / "xray").mkdir(parents=True)
    y, x = np.mgrid[:64, :64]
    names = [f"xray/{n}.png" for n in range(5)]
    for n, name in enumerate(names):
        plane = 60 + 100 * (np.hypot(x - 20 - 5 * n, y - 32) < 14)
        Image.fromarray(plane.astype(np.uint8)).save(data / name)
    lines = [f"{name},{'val' if n == 4 else 'train'}" for n, name in enumerate(names)]
    (data / "SPLITS.csv").write_text("file,split\n" + "\n".join(lines))
    command = [
        sys.executable,
        str(ROOT / "papers/diffdenoise/selfsupervised.py"),
        str(data),
        "--modality",
        "DX",
    ]
    command += ["--methods", "neighbor2neighbor,nlm", "--minutes", "0.1", "--images", "4", "--others", "1"]
    command += ["--size", "48", "--sigma", "20", "--keep", str(kept), "--json", str(output)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    from benchmarks.pictures import central_crop
    from meddenoise.io import read

    files = sorted((kept / "own").iterdir())
    assert len(files) == 4 and len(list((kept / "others").iterdir())) == 1
    document = json.loads(output.read_text())
    by_picture = [row["picture"] for row in document["rows"] if row["method"] == "noisy"]
    noises = []
    for file, name in zip(files, by_picture[:4], strict=True):
        clean = central_crop(np.asarray(Image.open(data / name), np.float32), 48)
        noises.append(read(file)[0].values(0, 1)[0] - clean)
    assert np.std(noises) == pytest.approx(20, rel=0.03)
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.1
    means = document["means"]
    assert set(means) == {"noisy", "neighbor2neighbor", "nlm true", "nlm auto"}
    # a machine busy with other things trains for few steps in that time
    for name, gain in (("neighbor2neighbor", 0.5), ("nlm true", 2), ("nlm auto", 2)):
        assert all(means[name][k]["psnr"] > means["noisy"][k]["psnr"] + gain for k in ("own", "others"))
    assert document["training"]["neighbor2neighbor"]["minutes"] >= 0.1
    assert document["left_out"] == {}


def test_quality_measures_a_folder_of_images_and_writes_all_rows(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    plane = (40 + 120 * (np.hypot(x - 32, y - 32) < 20)).astype(np.uint8)
    folder = tmp_path / "data" / "xray"
    folder.mkdir(parents=True)
    Image.fromarray(plane).save(folder / "disc.png")
    (folder / "note.txt").write_text("no image")
    output = tmp_path / "rows.json"
    command = [
        sys.executable,
        str(ROOT / "benchmarks/quality.py"),
        str(tmp_path / "data"),
        "--methods",
        "nlm",
    ]
    command += ["--noise", "white,harm", "--crop", "48", "--json", str(output)]
    run = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    rows = json.loads(output.read_text())["rows"]
    assert {row["case"] for row in rows if row["group"] == "white"} == {"sigma 15", "sigma 25", "sigma 50"}
    assert all(row["gain"] > 3 for row in rows if row["group"] == "white")
    untouched = [row for row in rows if row["case"] == "sigma 0"]
    assert len(untouched) == 1 and untouched[0]["psnr"] is None and untouched[0]["rmse_of_255"] == 0
    assert {row["modality"] for row in rows} == {"DX"} and "sigma 25" in run.stdout


def test_toy_images_have_the_noise_they_are_told() -> None:
    from papers.diffdenoise.ablations.measure import score
    from papers.diffdenoise.ablations.toy import add_noise, draw_images

    clean = draw_images(40, 32, 0)
    assert clean.min() >= 0 and clean.max() <= 255 and np.ptp(clean, axis=(1, 2)).min() > 20
    assert not np.array_equal(clean, draw_images(40, 32, 1))
    for kernel in (0.0, 1.2):
        noisy = add_noise(clean, 31.875, kernel, 2)
        noise = noisy.noisy - clean
        assert noise.std() == pytest.approx(31.875, rel=0.03)
        neighbours = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
        assert neighbours == pytest.approx(np.exp(-0.25 / 1.2**2) if kernel else 0, abs=0.03)
        found = score(noisy.noisy, clean, noisy.noisy)
        assert found.psnr == pytest.approx(18.06, abs=0.2) and found.leak == pytest.approx(1)
        assert score(clean + 0.25 * noise, clean, noisy.noisy).leak == pytest.approx(0.25)


def test_an_ablation_is_trained_once_and_taken_up_where_it_was(tmp_path: Path, one_thread: None) -> None:
    from papers.diffdenoise.ablations.lab import Lab
    from papers.diffdenoise.ablations.scales import TRIAL
    from papers.diffdenoise.diffdenoise import find_all, run_ablation

    said: list[str] = []
    first = run_ablation(Lab(TRIAL, tmp_path, said.append), "A2")
    assert [line for line in said if "training" in line] == [
        "  training blind: 2 steps",
        "  training masked: 4 steps",
    ]
    said.clear()
    lab = Lab(TRIAL, tmp_path, said.append)
    assert run_ablation(lab, "A2") == first == find_all(lab)["A2"] and not said
    (lab.folder / "A2.json").unlink()
    assert run_ablation(lab, "A2") == first and not [line for line in said if "training" in line]
    numbers = first.numbers
    halved = numbers["mean of two independent runs, gap"] / numbers["single run, gap"]
    assert halved == pytest.approx(0.5, abs=0.05)
    assert numbers["ratio pixels"] > 3 and first.verdict == "holds"
    kept = sorted(path.name for path in (lab.folder / "masked").glob("step-*"))
    assert kept == ["step-1.safetensors", "step-2.safetensors", "step-3.safetensors", "step-4.safetensors"]


def test_verdicts_follow_from_the_numbers() -> None:
    from papers.diffdenoise.ablations import judge

    assert [judge(True, True), judge(True, False), judge(False, False)] == [
        "holds",
        "holds in part",
        "does not hold",
    ]


@pytest.mark.slow
def test_every_ablation_runs_and_the_document_holds_them_all(tmp_path: Path) -> None:
    document = tmp_path / "ablations.md"
    command = [
        sys.executable,
        str(ROOT / "papers/diffdenoise/diffdenoise.py"),
        "--scale",
        "trial",
        "--out",
        str(document),
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    text = document.read_text(encoding="utf-8")
    assert "Not run" not in text
    for number in range(1, 13):
        section = text.split(f"## A{number}. ")[1].split("## ")[0]
        table = [line for line in section.splitlines() if line.startswith("|")]
        assert len(table) >= 5 and len({line.count("|") for line in table}) == 1
        assert "nan" not in section and "**Here it " in section


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--compressed"]])
def test_the_benchmark_of_a_cine_counts_frames_and_memory_of_the_real_program(
    more: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out.json"
    command = [sys.executable, str(ROOT / "benchmarks/cine.py"), "--frames", "20", "--size", "64"]
    done = subprocess.run(
        [*command, "--method", "gaussian", "--json", str(output), *more], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(output.read_text())
    assert document["bytes"] == 20 * 64 * 64 * 2
    assert (document["run"]["frames"], document["short"]["frames"], document["nlm"]["frames"]) == (20, 16, 16)
    assert document["run"]["frames_per_second"] > 0 and 50 < document["run"]["peak_mib"] < 4000
    assert "gaussian, 20 frames" in done.stdout and "times the frames of nlm" in done.stdout
