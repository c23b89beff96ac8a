"""Stage 0 of DiffDenoise: a blind-spot network, from noisy images alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.networks import build
from meddenoise.training.data import middle
from meddenoise.training.data.noisy import NoisyBatch, NoisyImage, NoisySource
from meddenoise.training.described import describe_checkpoint
from meddenoise.training.digest import describe, name_images
from meddenoise.training.loop import LoopOptions, Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint

BLIND = "blind-spot"
VALIDATION_CROP = 160
MOST_VALIDATION = 24


class BlindSpotTask:
    """Regression of every noisy pixel on its surroundings, as `training.loop.TrainingTask`.

    The loss is the root mean square error against the noisy patch in units of its noise, mean over patches.
    Noise in the target is independent of the estimate, so that the least error against the noisy image is
    the least error against the clean one. Source: Krull et al. 2019 (Noise2Void), Laine et al. 2019.
    """

    def __init__(
        self, recipe: Recipe, training: Sequence[NoisyImage], validation: Sequence[NoisyImage]
    ) -> None:
        assert recipe.stages is not None
        self.recipe, self.options = recipe, recipe.stages.blind
        self.network_options = recipe.stages.blind_network
        self.source = noisy_source(recipe, training, self.options)
        self.cases = list(validation_cases(validation))
        self.digest = describe(
            network=[BLIND, self.network_options],
            **settings(self.options),
            **noisy_settings(recipe, training),
        )

    def network(self) -> nn.Module:
        """A freshly initialised blind-spot network."""
        return build(BLIND, self.network_options)

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error in sigmas against this share of the step's noisy patches."""
        batch = take(self.source.batch(step, self.options.batch), share)
        error = (network(batch.noisy, batch.sigma, batch.bands, batch.rho) - batch.noisy) / batch.sigma
        mean: Tensor = error.square().mean(dim=(1, 2, 3)).sqrt().mean()
        return mean

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Blind error of held-out noisy images by blind radius; "score" is minus its mean.

        Mean of (B(y) - y)^2 / sigma^2: 1 plus the mean square error against the clean image in units of the
        noise variance, without a clean image.
        """
        errors: dict[int, list[float]] = {}
        for case in self.cases:
            blind = network(case.noisy.to(device), case.sigma.to(device), case.bands.to(device), case.rho)
            error = ((blind.cpu() - case.noisy) / case.sigma).square().mean()
            errors.setdefault(case.rho, []).append(float(error))
        scores = {f"blind-error-{rho}": float(np.mean(e)) for rho, e in sorted(errors.items())}
        return scores | {"score": -float(np.mean([value for e in errors.values() for value in e]))}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint that `--method blindspot --weights` reads."""
        save_checkpoint(
            path,
            network.state_dict(),
            stage_metadata(self.recipe, "blindspot", BLIND, self.network_options, step, scores),
        )


@dataclass(frozen=True, slots=True)
class ValidationCase:
    """The middle of a held-out noisy image: `noisy` and `sigma` [1, 1, H, W], `bands` [1, 4]."""

    noisy: Tensor
    sigma: Tensor
    bands: Tensor
    rho: int


def noisy_source(recipe: Recipe, images: Sequence[NoisyImage], options: LoopOptions) -> NoisySource:
    """The patches of a stage."""
    weights = {row.source: row.weight for row in recipe.data}
    return NoisySource(images, weights, options.patch, options.seed)


def noisy_settings(recipe: Recipe, images: Sequence[NoisyImage]) -> dict[str, object]:
    """Settings a stage depends on besides its own options, for its digest."""
    assert recipe.stages is not None
    return {
        "data": [(row.source, row.weight) for row in recipe.data],
        "simulated": recipe.stages.simulated,
        **name_images(images),
        "radii": sorted({image.rho for image in images}),
    }


def stage_metadata(
    recipe: Recipe, method: str, network: str, options: dict[str, object], step: int, scores: dict[str, float]
) -> CheckpointMetadata:
    """The metadata of a stage's checkpoint."""
    simulated = recipe.stages.simulated if recipe.stages else None
    return describe_checkpoint(
        recipe,
        step,
        scores,
        4,
        method=method,
        network=network,
        network_options=options,
        normalisation={"name": "noise-units"},
        sigma_range=(simulated.sigma_min, simulated.sigma_max) if simulated else (0.0, 255.0),
    )


def take(batch: NoisyBatch, share: Share) -> NoisyBatch:
    """This process's share of a batch, on its device."""
    noisy, sigma, bands = (
        part[share.index :: share.count].to(share.device) for part in (batch.noisy, batch.sigma, batch.bands)
    )
    return NoisyBatch(noisy, sigma, bands, batch.rho)


def validation_cases(images: Sequence[NoisyImage]) -> list[ValidationCase]:
    """Middle crops of some of the images, evenly spread over them."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), MOST_VALIDATION)).astype(int))
    cases = []
    for image in (images[n] for n in chosen):
        noisy, sigma = (middle(plane, VALIDATION_CROP).copy() for plane in (image.plane, image.sigma()))
        bands = torch.tensor([image.noise.bands], dtype=torch.float32)
        cases.append(
            ValidationCase(
                torch.from_numpy(noisy)[None, None], torch.from_numpy(sigma)[None, None], bands, image.rho
            )
        )
    return cases
