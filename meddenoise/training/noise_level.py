"""Training task of the noise estimator: level, spectrum and place of drawn noise."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.networks import build
from meddenoise.networks.noise_level import CELL, NoiseReading
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.cells import cell_shares
from meddenoise.training.data import ANY, SCENES, PatchSource, TrainingImage, middle
from meddenoise.training.data.noise_draws import Labelled, draw_labelled
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.described import describe_checkpoint
from meddenoise.training.digest import describe, name_images
from meddenoise.training.loop import Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import Checkpoint, load_state, save_checkpoint

SIZES = 64, 96, 128, 192
"""Sides of the patches, a batch of one size at a time: small matrices too."""
LEAST_AMPLITUDE = 0.05
"""Amplitudes of a cell below this count as this."""
LOCAL_WEIGHT, SPECTRUM_WEIGHT, RICIAN_WEIGHT = 0.3, 0.7, 0.15
VALIDATION_PER_SOURCE = 12
VALIDATION_DRAWS = 4


class NoiseBatch(NamedTuple):
    """Inputs of `NoiseLevelNet.forward`, and what is true of them, see `Labelled`."""

    noisy: Tensor
    valid: Tensor
    zero: Tensor
    level: Tensor
    spectrum: Tensor
    rician: Tensor
    telling: Tensor


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean absolute errors [B]: of log sigma, of the local one, of the log amplitudes; sigma itself."""

    level: Tensor
    local: Tensor
    spectrum: Tensor
    seen: Tensor
    """1 where there is noise to be seen."""


class NoiseLevelTask:
    """Regression on drawn noise, as `training.loop.TrainingTask`.

    The loss is the negative log likelihood of the log level under a Laplace distribution whose width the
    network gives, its own uncertainty, plus absolute errors of the local log level and of the log amplitudes.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: Sequence[TrainingImage],
        validation: Sequence[TrainingImage],
        start: Checkpoint | None = None,
    ) -> None:
        self.recipe, self.start = recipe, start
        weights = {row.source: row.weight for row in recipe.data}
        self.source = PatchSource(list(training), weights, recipe.noise, recipe.loop.patch, recipe.loop.seed)
        self.cases = _cases(recipe, validation)
        self.digest = describe(
            network=[recipe.network, recipe.network_options],
            **settings(recipe.loop),
            **recipe.noise.settings(),
            data=[(row.source, row.weight) for row in recipe.data],
            **name_images(training),
            start=start.sha256 if start else None,
        )

    def network(self) -> nn.Module:
        """A freshly initialised network of the recipe, or the one to begin as."""
        network = build(self.recipe.network, self.recipe.network_options)
        if self.start is not None:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """The loss of this share of the step's patches."""
        rng = np.random.default_rng((self.recipe.loop.seed, step))
        size = int(rng.choice([side for side in SIZES if side <= self.recipe.loop.patch]))
        drawn = [self._draw(size, rng) for _ in range(self.recipe.loop.batch)][share.index :: share.count]
        batch = NoiseBatch(*(part.to(share.device) for part in to_batch(drawn)))
        return total_loss(network(batch.noisy, batch.valid, batch.zero), batch)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Median error of sigma in percent by source, mean errors, and "score", the higher the better."""
        table: dict[str, list[float]] = defaultdict(list)
        for source, case in self.cases:
            batch = NoiseBatch(*(part.to(device) for part in case))
            reading = network(batch.noisy, batch.valid, batch.zero)
            errors = measure(reading, batch)
            for level, spectrum, seen in zip(errors.level, errors.spectrum, errors.seen, strict=True):
                table[f"level-{source}"].append(float(level))
                if seen:
                    table["spectrum"].append(float(spectrum))
            right = (reading.rician > 0) == (batch.rician > 0.5)
            table["rician"] += right[batch.telling > 0.5].float().tolist()
        scores = {name: float(np.mean(values)) for name, values in sorted(table.items())}
        level = float(np.mean([scores[name] for name in scores if name.startswith("level-")]))
        return scores | {"score": -100 * (level + 0.5 * scores.get("spectrum", 0.0))}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint: the averaged weights, in half precision, and all it takes to use them."""
        seen = {"name": "quiet-differences"}
        metadata = describe_checkpoint(self.recipe, step, scores, 4, normalisation=seen)
        save_checkpoint(path, {name: x.half() for name, x in network.state_dict().items()}, metadata)

    def _draw(self, size: int, rng: np.random.Generator) -> Labelled:
        image, patch, _ = self.source.draw_patch(rng)
        y, x = rng.integers(len(patch) - size + 1, size=2)
        return draw_labelled(
            patch[y : y + size, x : x + size], image.own, image.modality, self.recipe.noise, rng
        )


def to_batch(drawn: Sequence[Labelled]) -> NoiseBatch:
    """Labelled patches of one size as tensors."""
    return NoiseBatch(
        noisy=torch.from_numpy(np.stack([part.noisy for part in drawn]))[:, None],
        valid=torch.from_numpy(np.stack([part.valid for part in drawn]).astype(np.float32))[:, None],
        zero=torch.tensor([part.zero for part in drawn]),
        level=torch.from_numpy(np.stack([part.level for part in drawn]))[:, None],
        spectrum=torch.from_numpy(np.stack([part.spectrum for part in drawn])),
        rician=torch.tensor([part.rician for part in drawn]),
        telling=torch.tensor([part.telling for part in drawn]),
    )


def measure(reading: NoiseReading, batch: NoiseBatch) -> Errors:
    """The errors of a reading."""
    floor = reading.floor.exp()
    count = batch.valid.sum(dim=(1, 2, 3)).clamp(min=1)
    power = (batch.level.square() * batch.valid).sum(dim=(1, 2, 3)) / count
    true = torch.maximum(power.sqrt(), floor)
    level = (torch.maximum(reading.level, reading.floor) - true.log()).abs()
    cells = functional.avg_pool2d(batch.level.square(), CELL)
    whole = (functional.avg_pool2d(batch.valid, CELL) > 0.99).float()
    least = floor[:, None, None, None]
    wrong = (
        torch.maximum(reading.local, reading.floor[:, None, None, None])
        - torch.maximum(cells.sqrt(), least).log()
    )
    local = (wrong.abs() * whole).sum(dim=(1, 2, 3)) / whole.sum(dim=(1, 2, 3)).clamp(min=1)
    weights = reading.spectrum.new_tensor(cell_shares())
    weights = 0.5 / len(weights) + 0.5 * weights
    least_log = float(np.log(LEAST_AMPLITUDE))
    off = reading.spectrum.clamp(min=least_log) - batch.spectrum.clamp(min=LEAST_AMPLITUDE).log()
    return Errors(level, local, (off.abs() * weights).sum(dim=1), (power.sqrt() > 2 * floor).float())


def total_loss(reading: NoiseReading, batch: NoiseBatch) -> Tensor:
    """The loss of `NoiseLevelTask`."""
    errors = measure(reading, batch)
    width = reading.error.clamp(-4, 2)
    likelihood = errors.level * torch.exp(-width) + width
    logits = functional.binary_cross_entropy_with_logits(reading.rician, batch.rician, reduction="none")
    loss = likelihood.mean() + errors.level.mean() + LOCAL_WEIGHT * errors.local.mean()
    loss = loss + SPECTRUM_WEIGHT * (errors.spectrum * errors.seen).mean()
    return loss + RICIAN_WEIGHT * (logits * batch.telling).mean()


def _cases(recipe: Recipe, images: Sequence[TrainingImage]) -> list[tuple[str, NoiseBatch]]:
    """Middle crops of a few images of each source with the same noises at every validation."""
    rng, taken = np.random.default_rng(0), defaultdict[str, int](int)
    scenes = [
        TrainingImage(draw_scene(SIZES[-1], rng), ANY, SCENES, "", NoiseEstimate(0.0))
        for _ in range(VALIDATION_PER_SOURCE)
    ]
    cases = []
    for image in [*(image for image in images if image.source != SCENES), *scenes]:
        taken[image.source] += 1
        if taken[image.source] > VALIDATION_PER_SOURCE:
            continue
        for number in range(VALIDATION_DRAWS):
            crop = middle(image.plane, SIZES[number % len(SIZES)])
            modality = "" if image.modality == ANY else image.modality
            drawn = draw_labelled(crop, image.own, modality, recipe.noise, rng)
            cases.append((image.source.replace(":", "-").partition("/")[0], to_batch([drawn])))
    return cases
