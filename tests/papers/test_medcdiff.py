"""The Med-cDiff benchmark: fair cases, peers that learn, a classifier of others' images, one document."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from meddenoise.networks import build
from meddenoise.training.table import TRAININGS
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint

ROOT = Path(__file__).parents[2]
TASKS = ("medcdiff", "medcdiff-upscale", "medcdiff-inpaint")
RECIPE = """\
method = "{task}"
modalities = ["DX"]
[conditional]
prediction = "v"
[diffusion_network]
profile = "tiny"
[diffusion]
batch = 2
patch = 64
[network]
profile = "tiny"
[training]
batch = 2
patch = 64
warmup = 2
precision = "fp32"
[[data]]
folder = "xray"
modality = "DX"
low = 0
range = 255
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs on grey; those called pneumonia are twice as many and half as wide."""
    folder = tmp_path_factory.mktemp("radiographs")
    (folder / "xray").mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:144, :144]
    lines = ["file,split"]
    for n in range(20):
        ill = n % 2
        plane = np.full((144, 144), 60.0)
        for _ in range(16 if ill else 8):
            away = np.hypot(x - rng.uniform(0, 144), y - rng.uniform(0, 144))
            plane += rng.uniform(20, 40) * (away < (8 if ill else 16))
        name = f"pneumonia_person{n}_virus_1" if ill else f"normal_IM-{n:04d}-0001"
        Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8)).save(folder / "xray" / f"{name}.png")
        lines.append(f"xray/{name}.png,{'val' if n >= 18 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def make_checkpoint(path: Path, task: str) -> Path:
    torch.manual_seed(0)
    options = {"profile": "tiny", "condition": TRAININGS[task].channels}
    described = {"network": "cond-unet", "network_options": options}
    tensors = {
        f"{part}.{name}": tensor
        for part in ("student", "diffusion")
        for name, tensor in build("cond-unet", options).state_dict().items()
    }
    metadata = CheckpointMetadata(
        method=task,
        network="cond-unet",
        network_options=options,
        normalisation={"name": "patient-window"},
        sigma_range=(0.0, 0.3),
        modalities=("DX",),
        training_data=(),
        licence="none",
        recipe=task,
        schedule={"name": "linear-2000", "prediction": "v"},
        method_options={"steps": 1, "student": described, "diffusion": described},
    )
    save_checkpoint(path, tensors, metadata)
    return path


def run(script: str, *arguments: object) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("task", TASKS)
def test_cases_are_the_same_every_time_and_degraded_as_they_say(data: Path, task: str) -> None:
    from papers.medcdiff.restoration_cases import FACTORS, NOISES, load_cases

    cases, again = load_cases(data, task, 2, 128), load_cases(data, task, 2, 128)
    assert len(cases) == 2 * {"medcdiff": len(NOISES), "medcdiff-upscale": len(FACTORS)}.get(task, 1)
    for case, same in zip(cases, again, strict=True):
        assert torch.equal(case.condition.channels, same.condition.channels)
        assert "xray" in case.picture and case.clean.min() >= -1 and case.clean.max() <= 1
        error, told = case.condition.image - case.clean, case.condition.channels[:, 1:]
        if task == "medcdiff":
            impulses = 0.02 if "impulses" in case.setting else 0
            assert float(error.std()) >= 0.97 * case.sigma
            assert told[:, 0].unique().tolist() == pytest.approx([case.sigma])
            blurred = "kernel" in case.setting
            assert bool((told[:, 1:3].mean(dim=(0, 2, 3)) != 0).all()) == blurred
            assert float((case.condition.image.abs() == 1).float().mean()) == pytest.approx(
                impulses, abs=0.004
            )
        elif task == "medcdiff-upscale":
            assert told.unique().tolist() == pytest.approx([np.log2(case.factor) / 4])
            assert float(error.mean()) == pytest.approx(0, abs=0.01)
        else:
            assert case.condition.known is not None and torch.equal(told, 1 - case.condition.known)
            assert float((error * case.condition.known).abs().max()) == 0 and 0.03 < told.mean() < 0.3


def test_patches_of_the_discriminator_are_of_70_pixels_and_the_generator_sees_all() -> None:
    from papers.rivals.pix2pix import Pix2PixGenerator, discriminator

    judge = discriminator().double()
    for layer in judge:
        if isinstance(layer, torch.nn.InstanceNorm2d):  # the norm looks at the whole image
            layer.forward = lambda x: x  # type: ignore[method-assign]
    told = torch.randn(1, 3, 192, 192, dtype=torch.float64, requires_grad=True)
    logits = judge(told)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    seen = told.grad.abs().sum(dim=(0, 1)) > 0
    assert (int(seen.any(dim=0).sum()), int(seen.any(dim=1).sum())) == (70, 70)
    image = Pix2PixGenerator(width=8)(torch.randn(2, 2, 130, 128))
    assert image.shape == (2, 1, 130, 128) and image.abs().max() <= 1


def test_pix2pix_learns_to_give_back_what_it_is_told() -> None:
    from meddenoise.methods.conditional import Condition
    from meddenoise.training.data.pairs import TrainingPair
    from papers.rivals.pix2pix import Pix2PixGenerator, _step, discriminator

    torch.manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(2, 1, 8, 8) - 0.5, size=(128, 128), mode="bilinear")
    pair = TrainingPair(clean, Condition(clean.repeat(1, 2, 1, 1)), torch.ones_like(clean))
    generator, judge = Pix2PixGenerator(width=8), discriminator(width=8)
    makers = [torch.optim.Adam(network.parameters(), 2e-3, (0.5, 0.999)) for network in (generator, judge)]
    losses = [_step(generator, judge, makers, pair)["L1"] for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_every_task_runs_from_images_to_the_document(data: Path, tmp_path: Path) -> None:
    from papers.medcdiff.medcdiff_document import PAPER

    results = []
    for task in TASKS:
        recipe, checkpoint = (
            tmp_path / f"{task}.toml",
            make_checkpoint(tmp_path / f"{task}.safetensors", task),
        )
        recipe.write_text(RECIPE.format(task=task))
        output = tmp_path / f"{task}.json"
        # LPIPS needs 64 pixels, the sampler a quarter of the time with half as many.
        side = 64 if task == "medcdiff-inpaint" else 32
        arguments = ["--task", task, "--weights", checkpoint, "--recipe", recipe, "--minutes", 0.02]
        arguments += ["--images", 1, "--side", side, "--ddpm-steps", 3, "--pairs", 2]
        arguments += ["--keep", tmp_path / "kept", "--json", output]
        run("papers/medcdiff/medcdiff.py", data, *arguments, "--features", tmp_path)
        results.append(output)
        document = json.loads(output.read_text())
        assert (tmp_path / "kept" / task / "pix2pix.safetensors").exists()
        methods = {row["method"] for row in document["rows"]}
        assert {"regression", "pix2pix", task, f"{task}, one pair"} <= methods
        assert all(row["lpips"] is None for row in document["rows"])
        assert side < 64 or any("alexnet" in warning for warning in document["warnings"])
        stated = {row["method"] for row in document["rows"] if row["within"] is not None}
        assert stated == {f"{task}, one pair", f"{task}, 2 pairs"}
        # The bare network's one pass is the degraded image itself: its last layer is 0.
        one = {row["setting"]: row["psnr"] for row in document["rows"] if row["method"] == task}
        name = {"medcdiff": "noisy", "medcdiff-upscale": "bicubic", "medcdiff-inpaint": "hole"}[task]
        before = {row["setting"]: row["psnr"] for row in document["rows"] if row["method"] == name}
        assert one == pytest.approx(before, abs=1e-3)
        best = {row["psnr"] for row in document["rows"] if row["method"] in ("nlm", "biharmonic", "bilinear")}
        assert min(best) > 20
    scored = tmp_path / "scored.json"
    weights = tmp_path / "medcdiff.safetensors"
    arguments = ["--folder", "xray", "--side", 32, "--epochs", 2, "--keep", tmp_path / "kept"]
    run("papers/medcdiff/downstream.py", data, "--weights", weights, "--json", scored, *arguments)
    run("papers/medcdiff/medcdiff_document.py", tmp_path / "medcdiff.md", *results, scored)
    text = (tmp_path / "medcdiff.md").read_text()
    for title in ("## Denoising", "## Super-resolution", "## Inpainting", "## A classifier"):
        section = text.split(title)[1].split("\n## ")[0]
        for table in section.split("\n\n"):
            lines = [line for line in table.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) <= 1
        assert "nan" not in section and "The paper" in section
    assert text.count("Med-cDiff |") == sum(row[1] == "Med-cDiff" for rows in PAPER.values() for row in rows)
    assert "on clean images of 18 of these" in " ".join(text.split())


def test_patients_are_never_in_two_folds_and_the_area_is_that_of_the_ranks() -> None:
    from papers.medcdiff.classifier import FOLDS, accuracy, area_under_curve, choose_folds
    from papers.medcdiff.downstream import patient_of

    patients = [f"p{n // 2}" for n in range(40)]
    labels = [n // 2 % 2 for n in range(40)]
    folds = choose_folds(labels, patients)
    assert all(len({folds[n] for n in range(40) if patients[n] == name}) == 1 for name in patients)
    assert sorted(np.bincount(folds, minlength=FOLDS)) == [8] * FOLDS
    scores, truth = np.array([0.9, 0.8, 0.4, 0.4, 0.1]), np.array([1, 0, 1, 0, 0])
    assert area_under_curve(scores, truth) == pytest.approx((3 + 1.5) / 6)
    assert accuracy(scores, truth) == pytest.approx(3 / 5)
    assert np.isnan(area_under_curve(scores, np.zeros(5)))
    names = ("pneumonia_person5_bacteria_15", "normal_NORMAL2-IM-0416-0001-0002", "normal_IM-0129-0001")
    assert [patient_of(name) for name in names] == ["person5", "NORMAL2-IM-0416", "IM-0129"]


def test_the_classifier_tells_clean_images_apart_and_noise_takes_that_away(data: Path) -> None:
    from papers.medcdiff.classifier import area_under_curve, choose_folds, classify, train_folds
    from papers.medcdiff.downstream import load_radiographs, summarise

    found = load_radiographs(data, "xray", 64)
    assert found.labels.sum() == 10 and sum(found.held_out) == 2 and len(set(found.patients)) == 20
    folds = choose_folds(found.labels.tolist(), found.patients)
    networks = train_folds(found.clean, torch.from_numpy(found.labels), folds, 30)
    scores = classify(networks, found.clean, folds)
    assert area_under_curve(scores, found.labels) > 0.85
    guessed = np.full(20, 0.4)
    row = summarise(found, scores, guessed)
    assert row["auc"][0] == area_under_curve(scores, found.labels) and row["auc_gain"][0] > 0.35
    low, high = row["auc"][1:]
    assert 0.5 < low <= row["auc"][0] <= high <= 1 and row["auc_gain"][1] == pytest.approx(low - 0.5)
