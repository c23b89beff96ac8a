"""What `direct` trains: clean patches plus simulated noise, regression towards the clean patch."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.checkpoint import Checkpoint, CheckpointMetadata, load_state, save_checkpoint
from meddenoise.networks import build
from meddenoise.noise.correlation import noise_like
from meddenoise.training.data import Batch, PatchSource, TrainingImage, middle
from meddenoise.training.frames import COUNT, FrameSource
from meddenoise.training.loop import Share, describe, settings
from meddenoise.training.motion import make_sequence
from meddenoise.training.recipe import Recipe

VALIDATION_SIGMAS = (5.0, 15.0, 25.0, 50.0)
VALIDATION_CROP = 160
VALIDATION_PER_SOURCE = 4
FLOOR = 1e-3
"""Added to the squared error in units of sigma, so that patches without error do not dominate."""


@dataclass(frozen=True, slots=True)
class Case:
    """One validation crop [1, 1, H, W] and its noisy version; with the frames around [1, T, H, W]."""

    modality: str
    level: str
    """Its noise as it is called in the scores; "own" for the real noise of a pair, or that of a profile."""
    sigma: float
    noisy: Tensor
    clean: Tensor


class SupervisedTask:
    """Regression on simulated noise, as `training.loop.Task`.

    The loss is the mean over patches of the root mean square error in units of the true sigma: between the
    mean square error, where noisy patches weigh most, and the mean PSNR, where flat ones do.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: list[TrainingImage],
        validation: Iterable[TrainingImage],
        start: Checkpoint | None = None,
    ) -> None:
        self.recipe, self.start = recipe, start
        weights = {row.folder: row.weight for row in recipe.data}
        moving = recipe.network_options.get("frames", 1) > 1
        source = FrameSource if moving else PatchSource
        self.source = source(training, weights, recipe.noise, recipe.loop.patch, recipe.loop.seed)
        self.cases = _cases(validation, moving)
        self.digest = describe(
            network=[recipe.network, recipe.network_options],
            **settings(recipe.loop),
            **asdict(recipe.noise),
            data=[(row.folder, row.weight) for row in recipe.data],
            images=len(training),
            start=start.sha256 if start else None,
            # Not named where there is none: runs from before profiles can go on.
            **({"like": str(training[0].like)} if training and training[0].like else {}),
        )

    def network(self) -> nn.Module:
        """A freshly initialised network of the recipe, or the one to fine-tune."""
        network = build(self.recipe.network, self.recipe.network_options)
        if self.start is not None:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error in units of the true sigma, mean over this share of the step's patches."""
        batch = self.source.batch(step, self.recipe.loop.batch)
        part = slice(share.index, None, share.count)
        mine = Batch(*(getattr(batch, field.name)[part] for field in fields(Batch)))
        return mean_error(network, mine, share.device)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean PSNR (range 255) per modality and level of white noise, told; "score" is their mean."""
        table: dict[str, list[float]] = defaultdict(list)
        for case in self.cases:
            sigma = torch.full_like(case.clean, max(case.sigma, 1e-3))
            bands = torch.zeros(1, 4) if case.level == "own" else torch.ones(1, 4)
            told = (bands, torch.zeros(1))
            result = network(*(x.to(device) for x in (case.noisy, sigma, *told))).cpu()
            error = float((result - case.clean).square().mean())
            table[f"{case.modality or 'image'}-{case.level}"].append(10 * np.log10(255**2 / error))
        scores = {name: float(np.mean(values)) for name, values in sorted(table.items())}
        return scores | {"score": float(np.mean(list(scores.values())))}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint: the averaged weights and all it takes to use them."""
        recipe = self.recipe
        metadata = CheckpointMetadata(
            method=recipe.method,
            network=recipe.network,
            network_options=recipe.network_options,
            normalisation={"name": "noise-units"},
            sigma_range=(recipe.noise.sigma_min, recipe.noise.sigma_max),
            modalities=recipe.modalities,
            training_data=tuple(dict.fromkeys(row.attribution for row in recipe.data if row.attribution)),
            licence=recipe.licence,
            recipe=recipe.name,
            method_options={"steps": step, "validation": {k: round(v, 3) for k, v in scores.items()}},
        )
        save_checkpoint(path, network.state_dict(), metadata)


def mean_error(network: nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """Root mean square error of the network on `batch`, in units of the true sigma, mean over the patches."""
    given = (batch.noisy, batch.sigma, batch.bands, batch.zero)
    clean, scale = batch.clean.to(device), batch.scale.to(device)
    error = (network(*(part.to(device) for part in given)) - clean) / scale[:, None, None, None]
    return torch.sqrt(error.square().mean(dim=(1, 2, 3)) + FLOOR).mean()


def _cases(images: Iterable[TrainingImage], moving: bool) -> list[Case]:
    """Middle crops of a few images of each source, with the same noise, and motion, at every validation."""
    rng = np.random.default_rng(0)
    taken: dict[str, int] = defaultdict(int)
    cases = []
    for image in images:
        if taken[image.source] == VALIDATION_PER_SOURCE:
            continue
        taken[image.source] += 1
        plane = middle(image.plane, VALIDATION_CROP)
        frames = make_sequence(plane, plane[::-1], COUNT, rng) if moving else plane[None].copy()
        sequence = torch.from_numpy(frames)[None]
        crop = sequence[:, len(frames) // 2, None]
        if image.noise is not None:
            noise = torch.from_numpy(middle(image.noise, VALIDATION_CROP).copy())[None, None]
            cases.append(Case(image.modality, "own", float(noise.std()), crop + noise, crop))
            continue
        if image.like is not None:
            drawn = torch.from_numpy(noise_like(image.like, crop[0, 0].numpy(), rng))[None, None]
            cases.append(Case(image.modality, "own", float(drawn.std()), crop + drawn, crop))
            continue
        for sigma in VALIDATION_SIGMAS:
            noise = torch.from_numpy(rng.standard_normal(sequence.shape, np.float32)) * sigma
            cases.append(Case(image.modality, f"{sigma:g}", sigma, sequence + noise, crop))
    return cases
