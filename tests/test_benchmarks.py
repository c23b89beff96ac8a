"""The benchmark scripts: their noise models are true, and they run from images to a table."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("quanta", [5, 20, 100, 500])
def test_the_anscombe_transform_gives_unit_noise_and_its_inverse_no_bias(quanta: int) -> None:
    from stabilise import Anscombe

    rng = np.random.default_rng(quanta)
    gain, electronic = 2.0, 3.0
    noisy = gain * rng.poisson(quanta, 200_000) + rng.normal(0, electronic, 200_000)
    transform = Anscombe(gain, electronic**2)
    stable = transform.forward(noisy)
    assert stable.std() == pytest.approx(1, abs=0.03)
    assert transform.inverse(np.array([stable.mean()]))[0] == pytest.approx(gain * quanta, rel=0.01)


def test_the_whole_spectrum_told_to_bm3d_is_that_of_the_noise() -> None:
    from cases import Case
    from peers import _power

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
    from neighbor2neighbor import neighbours

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
    command = [sys.executable, str(BENCHMARKS / "selfsupervised.py"), str(data), "--modality", "DX"]
    command += ["--methods", "neighbor2neighbor,nlm", "--minutes", "0.1", "--images", "4", "--others", "1"]
    command += ["--size", "48", "--sigma", "20", "--keep", str(kept), "--json", str(output)]
    environment = {"PYTHONPATH": str(BENCHMARKS.parent), "PATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    from pictures import central_crop

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
    command = [sys.executable, str(BENCHMARKS / "quality.py"), str(tmp_path / "data"), "--methods", "nlm"]
    command += ["--noise", "white,harm", "--crop", "48", "--json", str(output)]
    run = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(BENCHMARKS.parent), "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    rows = json.loads(output.read_text())["rows"]
    assert {row["case"] for row in rows if row["group"] == "white"} == {"sigma 15", "sigma 25", "sigma 50"}
    assert all(row["gain"] > 3 for row in rows if row["group"] == "white")
    untouched = [row for row in rows if row["case"] == "sigma 0"]
    assert len(untouched) == 1 and untouched[0]["psnr"] is None and untouched[0]["rmse_of_255"] == 0
    assert {row["modality"] for row in rows} == {"DX"} and "sigma 25" in run.stdout
