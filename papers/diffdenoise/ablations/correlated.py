"""A11 and A12: correlated noise, the blind radius it asks for, and repeated denoising."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from torch import nn

from meddenoise.networks import build
from meddenoise.noise.correlation import blind_radius, nearest_radius
from meddenoise.training.data.noisy import NoisyImage, NoisySet
from meddenoise.training.recipe import Recipe, TargetOptions
from meddenoise.training.stages import LATER, StagesRun, train_stages
from meddenoise.training.supervised import SupervisedTask
from meddenoise.training.targets import as_training_images
from meddenoise.weights.checkpoint import load_checkpoint, load_state
from papers.diffdenoise.ablations import Finding, judge
from papers.diffdenoise.ablations.lab import Lab, condition_of, stages_of
from papers.diffdenoise.ablations.measure import SCORES, AblationScores, score
from papers.diffdenoise.ablations.sampling import CLEARLY, apply_student

RADII = (0, 2, 4)
KERNELS = (0.0, 0.5, 1.2)
SMOOTHEST = KERNELS[-1]
ROUNDS = 3
LONGER = "student, one iteration, trained for as long as three"


def radii(lab: Lab) -> Finding:
    """A11: blind radii against the width of the noise's kernel."""
    rows: list[list[str]] = []
    found: dict[str, float] = {}
    right: list[bool] = []
    for kernel in KERNELS:
        training, test = lab.correlated(kernel)
        measured = nearest_radius(blind_radius(training.noise), RADII)
        scores = {rho: _blind_scores(lab, kernel, rho) for rho in RADII}
        fused = {rho: both[1].psnr for rho, both in scores.items()}
        best = max(fused, key=lambda rho: fused[rho])
        right.append(fused[best] - fused[measured] <= CLEARLY)
        found |= {f"{kernel:g} px, {rho}": value for rho, value in fused.items()}
        found |= {f"{kernel:g} px, {rho}, leak": both[0].leak for rho, both in scores.items()}
        noisy = score(test.noisy, test.clean, test.source.noisy)
        cells = [f"{alone.psnr:.2f} / {both.psnr:.2f} / {alone.leak:+.2f}" for alone, both in scores.values()]
        rows.append([f"{kernel:g} px", f"{noisy.psnr:.2f}", *cells, str(measured), str(best)])
    lost = found[f"{SMOOTHEST:g} px, 4"] - found[f"{SMOOTHEST:g} px, 0"]
    leak = found[f"{SMOOTHEST:g} px, 0, leak"]
    return Finding(
        title="Blind radius and correlated noise",
        claim="The smallest radius that the noise does not reach across is the best one.",
        columns=[
            *("kernel", "noisy, dB"),
            *[f"rho = {rho}: B(y) / fused, dB / leak" for rho in RADII],
            *("rho measured", "rho best fused"),
        ],
        rows=rows,
        numbers=found,
        verdict=judge(*right),
        seen=(
            f"the measured radius is within {CLEARLY} dB of the best in {sum(right)} of {len(right)} cases; "
            f"in noise of {SMOOTHEST:g} px rho = 4 is {lost:+.2f} dB against rho = 0, whose leak is "
            f"{leak:.2f}."
        ),
        done=(
            "--blind-radius auto takes the measured radius."
            if all(right)
            else "--blind-radius auto takes the measured radius, for what it cannot let through; "
            "--blind-radius N sets another."
        ),
    )


def iterations(lab: Lab) -> Finding:
    """A12: the student as the next condition, in noise of the widest kernel, by the product's whole run."""
    training, test = lab.correlated(SMOOTHEST)
    rho = nearest_radius(blind_radius(training.noise), RADII)
    options = TargetOptions(iterations=ROUNDS)
    recipe = lab.recipe(targets=options, radius=rho, correlated=True)
    images = training.images(rho)
    held_out = max(2, len(images) // 20)
    folder = lab.folder / "iterations"
    found_images = NoisySet(images[held_out:], images[:held_out])
    train_stages(StagesRun(recipe, found_images, folder, resume=True, watch=CorrelatedStages(lab)))
    results: dict[str, AblationScores] = {"noisy": score(test.noisy, test.clean, test.source.noisy)}
    blind = condition_of(_network(lab, folder / "blind"))(test.batch(rho))
    results["B(y) + fusion"] = score(test.fused(blind), test.clean, test.source.noisy)
    for number in range(1, ROUNDS + 1):
        place = folder if number == 1 else folder / f"iteration-{number}"
        student = apply_student(_network(lab, place / "student"), test)
        results[f"student, iteration {number}"] = score(student, test.clean, test.source.noisy)
    longer = apply_student(_longer(lab, recipe, found_images.training, folder), test)
    results[LONGER] = score(longer, test.clean, test.source.noisy)
    first, second, third = (results[f"student, iteration {n}"] for n in range(1, ROUNDS + 1))
    gains = (second.psnr - first.psnr, third.psnr - second.psnr)
    beyond = third.psnr - results[LONGER].psnr
    leaks = f"{first.leak:.2f}, {second.leak:.2f}, {third.leak:.2f}"
    return Finding(
        title=f"Iterations in noise of a kernel of {SMOOTHEST:g} px",
        claim="Denoising again, with the student as condition, improves the result in correlated noise.",
        columns=["result", *SCORES],
        rows=[[name, *value.cells()] for name, value in results.items()],
        numbers={f"{name}, {k}": v for name, s in results.items() for k, v in vars(s).items()},
        verdict=judge(gains[0] > 0 and gains[1] > 0, beyond > CLEARLY),
        seen=(
            f"the second iteration is {gains[0]:+.2f} dB, the third {gains[1]:+.2f} dB (leaks {leaks}); "
            f"three are {beyond:+.2f} dB against one whose student is trained for as long."
        ),
        done=(
            "one iteration is the default, for its time; more are an option of the recipe."
            if beyond > CLEARLY
            else "one iteration is the default; more are an option of the recipe."
        ),
    )


def _longer(lab: Lab, recipe: Recipe, images: list[NoisyImage], folder: Path) -> nn.Module:
    """A student of the first iteration's targets, trained for as many steps as all iterations take."""
    made = sorted((folder / "targets" / "training").glob("*.safetensors"))
    targets = [load_file(path)["target"].astype(np.float32) for path in made]
    steps = round(recipe.loop.steps * (1 + LATER * (ROUNDS - 1)))
    loop = replace(recipe.loop, steps=steps, validate_every=steps)
    pairs = as_training_images(images, targets, stages_of(recipe).targets, False)
    return lab.train_network(SupervisedTask(recipe, pairs, []), loop, "student-longer").network


class CorrelatedStages:
    """Tells which stage of a whole run begins."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def reading(self, done: int, total: int) -> None:
        """Nothing is read here."""

    def stage(self, name: str) -> None:
        """A line a stage."""
        self.lab.tell(f"  {name}")

    def making(self, done: int, total: int) -> None:
        """Targets come quickly at these sizes."""

    def note(self, text: str) -> None:
        """Notes come from reading folders, which is not done here."""

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        """Steps are not shown."""


def _blind_scores(lab: Lab, kernel: float, rho: int) -> tuple[AblationScores, AblationScores]:
    """A blind-spot network of radius `rho` in noise of `kernel` pixels: alone, and fused."""
    training, test = lab.correlated(kernel)
    trained = lab.blind_for(f"radius-{rho}-kernel-{kernel:g}", training.images(rho))
    blind = condition_of(trained.network)(test.batch(rho))
    alone, fused = (score(x, test.clean, test.source.noisy) for x in (blind, test.fused(blind)))
    return alone, fused


def _network(lab: Lab, folder: Path) -> nn.Module:
    checkpoint = load_checkpoint(folder / "checkpoint.safetensors", sha256=None)
    network = build(checkpoint.metadata.network, dict(checkpoint.metadata.network_options))
    load_state(network, checkpoint)
    return network.eval().requires_grad_(False).to(lab.device)
