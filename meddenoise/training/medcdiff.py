"""Training of Med-cDiff: a diffusion network conditioned on a degraded image, then its one-pass student."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.diffusion.schedules import get_schedule, target
from meddenoise.methods.conditional import Condition, Diffusion, OnePass
from meddenoise.networks import build
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.corrupt import NOISE, WEAK
from meddenoise.training.data.pairs import Case, PairSource, TrainingPair
from meddenoise.training.described import describe_checkpoint
from meddenoise.training.digest import describe, name_images
from meddenoise.training.loop import Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    load_network,
    load_state,
    save_checkpoint,
)

NETWORK = "cond-unet"
RATIOS = (0.01, 10.0)
"""Noise levels over which half of the draws are spread evenly in their logarithm: where the image forms. The
other half is spread evenly over the steps, most of which are nearly pure noise."""
TRUTH = 0.5
"""Share of the clean image in what the one pass learns; the rest is the diffusion network's mean."""
FLOOR = 1e-5
"""Least mean square error that counts of a patch: those without error shall not dominate."""


class RestorationTask:
    """Prediction of the noise in clean patches given degraded ones, as `training.loop.TrainingTask`.

    Source: Hung et al. 2023 (Med-cDiff), equation 19. By default the network says v instead of eps, and the
    loss is the mean over patches of the root mean square error: in the mean square, the levels where v is all
    but unknown would rule those where the image forms.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: list[TrainingImage],
        validation: Sequence[Case],
        start: Checkpoint | None = None,
    ) -> None:
        """It begins as `start` where that is such a network, else with random weights."""
        assert recipe.conditional is not None
        self.recipe, self.options, self.cases = recipe, recipe.conditional, validation
        self.schedule = get_schedule(self.options.schedule)
        self.source = PairSource(recipe, training, self.options.loop)
        self.described = {**self.options.network, "condition": self.source.row.channels}
        spoken = {"name": self.schedule.name, "prediction": self.options.prediction}
        alike = start is not None and start.metadata.network_options == self.described
        self.start = start if alike and start is not None and start.metadata.schedule == spoken else None
        self.digest = describe(
            network=[NETWORK, self.described],
            prediction=self.options.prediction,
            loss=self.options.loss,
            schedule=self.options.schedule,
            **settings(self.options.loop),
            **_data(recipe, training),
            start=self.start.sha256 if self.start else None,
        )

    def network(self) -> nn.Module:
        """The conditional U-Net it begins as."""
        network = build(NETWORK, self.described)
        if self.start is not None:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Error of the prediction over the pixels that count, mean over this share of the step's patches."""
        size = self.options.loop.batch
        pair = self.source.batch(step, size, share)
        generator = torch.Generator().manual_seed(step * 1_000_003 + self.options.loop.seed)
        part = slice(share.index, None, share.count)
        index = self._indices(size, generator)[part].to(share.device)
        eps = torch.randn((size, *pair.clean.shape[1:]), generator=generator)[part].to(share.device)
        alpha, sigma = self.schedule.levels(index)
        wanted = target(self.options.prediction, pair.clean, eps, alpha, sigma)
        diffusion = Diffusion(network, self.schedule, self.options.prediction)
        error = diffusion.predict(alpha * pair.clean + sigma * eps, pair.condition.channels, index) - wanted
        squared = _mean(error.square(), pair.counts)
        return torch.sqrt(squared + FLOOR).mean() if self.options.loss == "rms" else squared.mean()

    def _indices(self, size: int, generator: torch.Generator) -> Tensor:
        """Steps, each half of them stratified."""
        drawn = (torch.arange(size) + torch.rand(size, generator=generator)) / size
        low, high = (float(np.log(ratio)) for ratio in RATIOS)
        middle = torch.searchsorted(self.schedule.ratio, (low + (high - low) * drawn).double().exp())
        even = (drawn * len(self.schedule)).long()
        return torch.where(torch.arange(size) % 2 == 0, middle, even).clamp(max=len(self.schedule) - 1)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """PSNR (range 2) of the mean in one evaluation, by modality; "score" is their mean."""
        diffusion = Diffusion(network, self.schedule, self.options.prediction)
        return _score(self.cases, lambda pair: diffusion.mean(pair.condition), device)

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the stage's checkpoint; `distil` packs it with the one-pass network."""
        schedule = {"name": self.schedule.name, "prediction": self.options.prediction}
        metadata = _metadata(self.recipe, self.described, schedule, step, scores)
        save_checkpoint(path, network.state_dict(), metadata)


class OnePassTask:
    """Regression on the diffusion network's mean and on the clean image, as `training.loop.TrainingTask`.

    In the mean square both have the same best answer, the mean of clean images given the condition, where the
    diffusion network is exact. Its mean has no spread left, the clean image no error: half of each. So this
    is a regression beside the distillation. It begins as the diffusion network, where that predicts v.

    The loss is the mean over patches of the root mean square error: between the mean square error, where the
    worst patches weigh most, and the mean PSNR, where the best ones do.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: list[TrainingImage],
        validation: Sequence[Case],
        teacher: Checkpoint,
    ) -> None:
        assert recipe.conditional is not None
        self.recipe, self.cases = recipe, validation
        self.source = PairSource(recipe, training, recipe.loop)
        self.described = {**recipe.network_options, "condition": self.source.row.channels}
        self.start, prediction = teacher, recipe.conditional.prediction
        self.alike = prediction == "v" and self.described == teacher.metadata.network_options
        network = load_network(teacher, teacher.metadata.network, teacher.metadata.network_options)
        self.teacher = Diffusion(network, get_schedule(recipe.conditional.schedule), prediction)
        self.digest = describe(
            network=[NETWORK, self.described],
            teacher=teacher.sha256,
            **settings(recipe.loop),
            **_data(recipe, training),
        )

    def network(self) -> nn.Module:
        """The diffusion network where it is alike, else a freshly initialised one."""
        network = build(NETWORK, self.described)
        if self.alike:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error of the one pass over the pixels that count, mean over the patches."""
        pair = self.source.batch(step, self.recipe.loop.batch, share)
        with torch.no_grad():
            self.teacher.network.to(share.device)
            wanted = TRUTH * pair.clean + (1 - TRUTH) * self.teacher.mean(pair.condition)
        error = OnePass(network)(pair.condition) - wanted
        return torch.sqrt(_mean(error.square(), pair.counts) + FLOOR).mean()

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """PSNR (range 2) by modality; "score" is their mean."""
        return _score(self.cases, lambda pair: OnePass(network)(pair.condition), device)

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the stage's checkpoint, in half precision."""
        metadata = _metadata(self.recipe, self.described, None, step, scores)
        save_checkpoint(path, {k: v.half() for k, v in network.state_dict().items()}, metadata)


def _mean(error: Tensor, counts: Tensor) -> Tensor:
    """Mean [B] over the pixels of each patch that count."""
    mean: Tensor = (error * counts).sum(dim=(1, 2, 3)) / counts.sum(dim=(1, 2, 3)).clamp(min=1)
    return mean


def _score(
    cases: Sequence[Case], run: Callable[[TrainingPair], Tensor], device: torch.device
) -> dict[str, float]:
    table: dict[str, list[float]] = defaultdict(list)
    for modality, case in cases:
        on = Condition(
            case.condition.channels.to(device),
            None if case.condition.known is None else case.condition.known.to(device),
        )
        result = run(TrainingPair(case.clean, on, case.counts)).cpu().float()
        error = float(_mean((result - case.clean).square(), case.counts))
        table[modality].append(10 * np.log10(4 / max(error, FLOOR)))
    scores = {name: float(np.mean(values)) for name, values in sorted(table.items())}
    return scores | {"score": float(np.mean(list(scores.values())))}


def _data(recipe: Recipe, training: list[TrainingImage]) -> dict[str, object]:
    rows = [(row.source, row.weight) for row in recipe.data]
    device = next((image.device for image in training if image.device is not None), None)
    named: dict[str, object] = {"task": recipe.method, "data": rows, **name_images(training)}
    return named if device is None else {**named, "device": device}


def _metadata(
    recipe: Recipe,
    network_options: dict[str, object],
    schedule: dict[str, str] | None,
    step: int,
    scores: dict[str, float],
) -> CheckpointMetadata:
    return describe_checkpoint(
        recipe,
        step,
        scores,
        network=NETWORK,
        network_options=network_options,
        normalisation={"name": "patient-window"},
        sigma_range=(2 * WEAK, 2 * NOISE[1]),
        schedule=schedule,
    )
