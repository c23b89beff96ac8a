"""The ablations of DiffDenoise: toy images, trainings taken up, verdicts from the numbers, one document."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a busy machine several threads wait for each other in every small convolution."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
