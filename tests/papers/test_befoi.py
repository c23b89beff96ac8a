"""The fluoroscopy benchmark: its regions and ghosts, peers that are what they are called, one document."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from meddenoise.networks import build
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint

ROOT = Path(__file__).parents[2]
SIDE = 128


def textured(side: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(size=(side, side)), 3)
    return (120 + 30 * texture / texture.std()).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth frames, some to train on and one to score."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "fluoro").mkdir()
    lines = ["file,split"]
    for n in range(5):
        frame = gaussian_filter(textured(160, n), 2)
        Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).save(folder / "fluoro" / f"f{n}.png")
        lines.append(f"fluoro/f{n}.png,{'val' if n == 4 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def test_the_region_is_the_flattest_part_of_the_clean_frame_and_no_collimator() -> None:
    from papers.befoi.cine_measures import flattest_region, region_snr

    frame = textured(SIDE, 0)
    frame[:, :50] = 0
    rng = np.random.default_rng(1)
    frame[60:108, 70:118] = 120 + 0.5 * rng.normal(size=(48, 48))
    region = flattest_region(frame)
    assert region == (slice(60, 108), slice(70, 118))
    assert region_snr(frame, region) == pytest.approx(240, rel=0.1)


def test_a_ghost_is_a_share_of_the_neighbours_and_neither_noise_nor_blur() -> None:
    from papers.befoi.cine_measures import ghost_amplitude

    rng, truth = np.random.default_rng(0), textured(SIDE, 0).astype(np.float64)
    beside = (np.roll(truth, 6, axis=1) + np.roll(truth, -6, axis=1)) / 2
    moved = np.abs(beside - truth) > 5
    assert ghost_amplitude(truth, truth, beside, moved) == pytest.approx(0, abs=1e-9)
    assert ghost_amplitude(beside, truth, beside, moved) == pytest.approx(1, abs=1e-9)
    average = (2 * beside + truth) / 3
    assert ghost_amplitude(average, truth, beside, moved) == pytest.approx(2 / 3, abs=1e-9)
    noisy = average + rng.normal(0, 10, truth.shape)
    assert ghost_amplitude(noisy, truth, beside, moved) == pytest.approx(2 / 3, abs=0.05)
    assert ghost_amplitude(gaussian_filter(truth, 2), truth, beside, moved) == pytest.approx(0, abs=0.05)


def test_noise_blocks_come_from_smooth_patches_and_are_noise_alone() -> None:
    from papers.rivals.gcbd import PATCH, collect_blocks, smallest_factor

    rng, side = np.random.default_rng(0), 4 * PATCH
    plane = np.full((side, side), 100.0) + np.linspace(0, 8, side)
    plane[:, side // 2 :] += 60 * (np.arange(side // 2) % 48 < 20)
    noisy = (plane + rng.normal(0, 5, plane.shape)).astype(np.float32)
    blocks, factor = collect_blocks([noisy], enough=5)
    assert factor < 2, "white noise on a flat ground is smooth by about the bounds of the paper"
    assert len(blocks) >= 5 and blocks.shape[1:] == (PATCH, PATCH)
    assert blocks.std() == pytest.approx(5, rel=0.05) and np.abs(blocks.mean(axis=(1, 2))).max() < 0.5
    flat, striped = noisy[:PATCH, :PATCH], noisy[:PATCH, -PATCH:]
    assert smallest_factor(flat[None])[0] < smallest_factor(striped[None])[0] / 2
    with_zeros = collect_blocks([np.zeros((side, side), np.float32)])[0]
    assert len(with_zeros) == 0, "clipped patches hold no noise"


def test_noise2self_never_sees_the_pixel_it_predicts() -> None:
    from papers.rivals.noise2self import STRIDE, JInvariant, fill, grid_mask

    masks = torch.stack([grid_mask((12, 12), phase) for phase in range(STRIDE**2)])
    assert torch.equal(masks.sum(0), torch.ones(12, 12, dtype=torch.long))
    noisy = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    mask = grid_mask((12, 12), 5)
    filled = fill(noisy, mask)
    assert torch.equal(filled[..., ~mask], noisy[..., ~mask])
    around = noisy[0, 0, 4, 5] + noisy[0, 0, 6, 5] + noisy[0, 0, 5, 4] + noisy[0, 0, 5, 6]
    assert float(filled[0, 0, 5, 5]) == pytest.approx(float(around) / 4, abs=1e-6)
    torch.manual_seed(0)
    invariant = JInvariant(torch.nn.Conv2d(1, 1, 3, padding=1))
    changed = noisy.clone()
    changed[0, 0, 7, 6] += 100
    with torch.inference_mode():
        before, after = invariant(noisy), invariant(changed)
    assert float(before[0, 0, 7, 6]) == float(after[0, 0, 7, 6])
    assert float((before - after).abs().max()) > 1


def test_made_noise_has_the_level_of_the_given_and_the_dncnn_17_layers() -> None:
    from papers.rivals.gcbd import DnCNN
    from papers.rivals.gcbd_gan import MADE, train_generator

    blocks = np.random.default_rng(0).normal(0, 4, (20, 64, 64)).astype(np.float32)
    made, minutes = train_generator(blocks, 0.001, seed=0)
    assert made.shape == (MADE, 64, 64) and minutes > 0
    assert np.sqrt(np.mean(made**2)) == pytest.approx(4, rel=0.05)
    layers = [layer for layer in DnCNN().layers if isinstance(layer, torch.nn.Conv2d)]
    assert len(layers) == 17 and {layer.kernel_size for layer in layers} == {(3, 3)}


def test_white_noise_is_less_real_than_the_core_where_noise_follows_the_signal() -> None:
    from meddenoise.noise.models import GaussianNoise, XrayNoise
    from meddenoise.noise.simulate import simulate
    from papers.befoi.noise_realism import compare_noise, noise_of

    mean = np.tile(np.linspace(20, 220, SIDE, dtype=np.float32), (SIDE, 1))
    frames = np.repeat(mean[None], 8, axis=0)
    noise = XrayNoise(6.0, 1.0, 0.3)
    real, again = (noise_of(simulate(frames, noise, np.random.default_rng(seed))[0]) for seed in (0, 1))
    white = noise_of(simulate(frames, GaussianNoise(float(real.std())), np.random.default_rng(2))[0])
    same, other = compare_noise(real, again, mean), compare_noise(real, white, mean)
    assert same.histogram < 0.03 and same.spectrum < 0.06 and same.slope < 0.1
    assert other.histogram > 0.04 and other.spectrum > 0.3 and other.slope > 0.8


def make_checkpoint(path: Path) -> Path:
    torch.manual_seed(0)
    student = {"channels": [8, 8], "blocks": [1, 1], "unshuffle": 2, "frames": 3}
    diffusion = {"profile": "tiny", "condition": 4}
    described = {
        "student": {"network": "noise-unet", "network_options": student},
        "diffusion": {"network": "cond-unet", "network_options": diffusion},
    }
    tensors = {
        f"{part}.{name}": tensor
        for part, row in described.items()
        for name, tensor in build(row["network"], row["network_options"]).state_dict().items()
    }
    metadata = CheckpointMetadata(
        method="befoi",
        network="noise-unet",
        network_options=student,
        normalisation={"name": "noise-units"},
        sigma_range=(0.5, 64.0),
        modalities=("XA", "RF"),
        training_data=(),
        licence="none",
        recipe="befoi",
        schedule={"name": "linear-2000", "prediction": "v"},
        method_options=described,
    )
    save_checkpoint(path, tensors, metadata)
    return path


def run(script: str, *arguments: object) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_from_images_to_the_document(data: Path, tmp_path: Path) -> None:
    weights = make_checkpoint(tmp_path / "befoi.safetensors")
    methods = "nlm,noise2self,gcbd-unet,average,recursive,befoi,befoi-alone,befoi-mixing"
    settings = [
        "--minutes",
        "0.02",
        "--images",
        "1",
        "--size",
        "96",
        "--parts",
        "gain-6",
        "--weights",
        weights,
    ]
    settings += ["--ablation", f"without-NSM={weights}", "--keep", tmp_path / "pictures"]
    run("papers/befoi/befoi.py", data, *settings, "--methods", methods, "--json", tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["left_out"] == {}
    rows = {row["method"]: row for row in document["rows"]}
    names = {"noisy", "clean", "nlm", "noise2self", "gcbd-unet", "average", "recursive", "befoi"}
    names |= {"befoi told", "befoi alone", "befoi alone told", "befoi-mixing", "ablation without-NSM"}
    assert set(rows) == names
    assert rows["clean"]["psnr"] is None and rows["clean"]["ssim"] == pytest.approx(1)
    assert rows["nlm"]["psnr"] > rows["noisy"]["psnr"] + 2
    assert rows["average"]["snr"] > rows["noisy"]["snr"]
    assert rows["ablation without-NSM"]["psnr"] == pytest.approx(rows["befoi"]["psnr"])
    assert document["training"]["gain-6"]["noise2self"]["steps"] > 0
    assert {path.name for path in (tmp_path / "pictures").iterdir()} >= {"gain-6-0-nlm.png"}
    realism = {"run": "IM1", "noise": "white", "histogram": 0.1, "spectrum": 0.2, "slope": 1.0}
    (tmp_path / "b.json").write_text(json.dumps({"kind": "realism", "rows": [realism]}))
    run("papers/befoi/befoi_document.py", tmp_path / "befoi.md", tmp_path / "a.json", tmp_path / "b.json")
    text = (tmp_path / "befoi.md").read_text()
    assert (
        "*34.2575*" in text and "other images" in text and "| white | IM1 | 0.100 | 0.200 | 1.000 |" in text
    )
    assert "*36.2901* | *0.9252*" in text, "the published row of the ablation"
    assert "gain-6: PSNR over the best peer" in text and "not met" in text


def test_the_gain_is_paired_by_frame_and_the_verdict_names_the_best_peer() -> None:
    from papers.befoi.befoi_verdicts import gain_over, judge

    scores = {"befoi": (30.0, 40.0), "nlm": (29.0, 38.0), "bm3d": (29.2, 38.4), "clean": (None, None)}
    rows = [
        {"part": "gain-2", "picture": str(n), "source": str(n), "method": name, "psnr": psnr, "ssim": 0.9,
         "reblur": 0.3}
        for name, values in scores.items()
        for n, psnr in enumerate(values)
    ]  # fmt: skip
    gain = gain_over(rows, "nlm", "psnr")
    assert gain is not None and gain.mean == pytest.approx(1.5) and (gain.low, gain.high) == (1.0, 2.0)
    assert gain_over(rows, "clean", "psnr") is None
    lines = list(judge(rows))
    assert lines[0] == (
        "* gain-2: PSNR over the best peer, bm3d: +1.20 (+0.80 to +1.60) dB; wanted at least 0.5 dB: met."
    )
    assert len(lines) == 2 and lines[1].endswith("**not met**.")


def test_the_last_run_counts_where_a_number_stands_in_several() -> None:
    from papers.befoi.befoi_document import join_rows

    row = {"part": "real", "picture": "a", "method": "nlm", "psnr": 1.0}
    joined = join_rows([{"rows": [row]}, {"rows": [row | {"psnr": 2.0}, row | {"method": "bm3d"}]}])
    assert [(one["method"], one["psnr"]) for one in joined] == [("nlm", 2.0), ("bm3d", 1.0)]
