"""The essential control: the one-pass network of Med-cDiff trained by plain regression on clean images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from meddenoise.methods.conditional import OnePass
from meddenoise.networks import build
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import Case as Validation
from meddenoise.training.data.pairs import PairSource
from meddenoise.training.digest import describe
from meddenoise.training.loop import Share, settings, train
from meddenoise.training.medcdiff import NETWORK
from meddenoise.training.recipe import Recipe
from meddenoise.weights import load
from meddenoise.weights.checkpoint import CheckpointMetadata, load_network, save_checkpoint
from papers.medcdiff.restoration_cases import RestorationCase

FLOOR = 1e-5
"""Least mean square error that counts of a patch, as in the training of the one pass."""


class RegressionTask:
    """As `training.medcdiff.OnePassTask`, from random weights and towards the clean image alone."""

    def __init__(self, recipe: Recipe, training: list[TrainingImage], validation: list[Validation]) -> None:
        self.recipe, self.cases = recipe, validation
        self.source = PairSource(recipe, training, recipe.loop)
        self.described = {**recipe.network_options, "condition": self.source.row.channels}
        self.digest = describe(task="regression", images=len(training), **settings(recipe.loop))

    def network(self) -> nn.Module:
        """A freshly initialised network of the student's size."""
        return build(NETWORK, self.described)

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error over the pixels that count, mean over the patches."""
        pair = self.source.batch(step, self.recipe.loop.batch, share)
        error = (OnePass(network)(pair.condition) - pair.clean).square() * pair.counts
        mean = error.sum(dim=(1, 2, 3)) / pair.counts.sum(dim=(1, 2, 3)).clamp(min=1)
        return torch.sqrt(mean + FLOOR).mean()

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """ "score": mean PSNR over the pixels that count."""
        values = []
        for _, pair in self.cases:
            wrong = (OnePass(network.cpu())(pair.condition) - pair.clean).square() * pair.counts
            values.append(10 * torch.log10(4 / (wrong.sum() / pair.counts.sum().clamp(min=1) + FLOOR)))
        return {"score": float(torch.stack(values).mean())}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the network as a checkpoint of this benchmark."""
        metadata = CheckpointMetadata(
            method="regression",
            network=NETWORK,
            network_options=self.described,
            normalisation={"name": "patient-window"},
            sigma_range=(0.0, 1.0),
            modalities=self.recipe.modalities,
            training_data=(),
            licence=self.recipe.licence,
            recipe=self.recipe.name,
            method_options={"steps": step},
        )
        save_checkpoint(path, network.state_dict(), metadata)


def train_regression(task: RegressionTask, minutes: float, folder: Path) -> Path:
    """The checkpoint of a network trained for `minutes`, or the one that is there already."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        options = replace(task.recipe.loop, seconds=60 * minutes)
        train(task, options, folder, resume=True, progress=lambda step, steps, values: None)
    return path


def load_regression(path: Path) -> Callable[[RestorationCase], Tensor]:
    """The trained network on test cases."""
    checkpoint = load(str(path))
    one = OnePass(load_network(checkpoint, checkpoint.metadata.network, checkpoint.metadata.network_options))
    return lambda case: one(case.condition)
