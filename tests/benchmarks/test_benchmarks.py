"""The benchmark scripts: their noise models are true, and they run from images to a table."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


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
    from benchmarks.cases import NoisyCase
    from benchmarks.peers import _power
    from meddenoise.noise.models import CorrelatedNoise
    from meddenoise.noise.simulate import simulate

    clean = np.zeros((64, 63), np.float32)
    draws = [simulate(clean, CorrelatedNoise(5.0, 0.8), np.random.default_rng(n)) for n in range(40)]
    measured = np.mean([np.abs(np.fft.fft2(noisy)) ** 2 for noisy, _ in draws], axis=0)
    case = NoisyCase("", "", "", "CT", clean, draws[0][0], 1.0, 5.0, 5.0, draws[0][1].nps)
    told = _power(case)
    assert told is not None and told.mean() == pytest.approx(1)
    measured /= measured.mean()
    strong = told > 0.2
    assert np.corrcoef(told[strong], measured[strong])[0, 1] > 0.9
    assert measured[strong].sum() == pytest.approx(told[strong].sum(), rel=0.02)


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
