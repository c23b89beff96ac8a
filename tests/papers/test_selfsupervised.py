"""The self-supervised benchmark: fair pairs, noisy images alone, and runs joined in one document."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from papers.diffdenoise.selfsupervised_document import compose

ROOT = Path(__file__).parents[2]
COMMAND = (
    "`python papers/diffdenoise/selfsupervised.py DATA --modality CT --sigma 25.0 --kernel 0.0 --images 50"
)


def measured(minutes: str, psnr: dict[str, float], **settings: str) -> dict[str, Any]:
    """Results of one call, in the layout that selfsupervised.py writes."""
    chosen = {"modality": "CT", "sigma": "25.0", "kernel": "0.0", "images": "50", "others": "10"}
    chosen |= {"size": "256", "seed": "0", "minutes": minutes, "methods": str(list(psnr)), **settings}
    trained = [name for name in psnr if name == "diffdenoise"]
    return {
        "date": "2026-11-30T10:00:00+00:00",
        "settings": chosen,
        "versions": {"torch": "2.6", "bm3d": None},
        "means": {
            name: {"own": {"psnr": value, "ssim": 0.8}, "others": {"psnr": value - 1, "ssim": 0.75}}
            for name, value in psnr.items()
        },
        "training": {name: {"minutes": float(minutes), "steps": 900} for name in trained},
    }


def test_a_method_trained_twice_as_long_has_a_row_of_its_own_and_the_last_of_the_same_counts() -> None:
    runs = [
        measured("5", {"nlm true": 29.0, "diffdenoise": 30.0}),
        measured("10", {"diffdenoise": 31.5}),
        measured("5", {"nlm true": 29.5}),
    ]
    lines = [line for line in compose(runs).splitlines() if line.startswith(("|", "## ", "*"))]
    assert lines == [
        "## CT, sigma 25, white; 50 images of 256 x 256, 10 others",
        f"* {COMMAND} --minutes 5 --methods nlm true,diffdenoise`, 2026-11-30 (torch 2.6)",
        f"* {COMMAND} --minutes 10 --methods diffdenoise`, 2026-11-30 (torch 2.6)",
        f"* {COMMAND} --minutes 5 --methods nlm true`, 2026-11-30 (torch 2.6)",
        "| method | minutes | steps | own | others |",
        "|---|---|---|---|---|",
        "| nlm true |  |  | 29.50 / 0.800 | 28.50 / 0.750 |",
        "| diffdenoise | 5.0 | 900 | 30.00 / 0.800 | 29.00 / 0.750 |",
        "| diffdenoise | 10.0 | 900 | 31.50 / 0.800 | 30.50 / 0.750 |",
    ]


def test_other_noise_is_another_section() -> None:
    text = compose([measured("5", {"noisy": 20.0}), measured("5", {"noisy": 20.0}, kernel="0.8")])
    assert text.count("\n## ") == 2 and "## CT, sigma 25, kernel 0.8 px; 50 images" in text


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
