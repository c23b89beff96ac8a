"""The lab: images and trained networks of one scale, made when asked for and kept in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.pictures import MODALITIES, central_crop, load_pictures
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods.srds import Srds
from meddenoise.networks import build
from meddenoise.networks.blind_spot import BlindSpotNet
from meddenoise.series import Image
from meddenoise.training.blindspot import BlindSpotTask
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.noisy import NoisyBatch, NoisyImage, NoisySet
from meddenoise.training.diffusion import Condition, DiffusionTask
from meddenoise.training.loop import LoopOptions, Share, TrainingTask, train
from meddenoise.training.recipe import DataRow, DiffusionOptions, Recipe, Stages, TargetOptions
from meddenoise.training.supervised import SupervisedTask
from meddenoise.training.targets import Teacher, as_training_images, make_targets
from meddenoise.weights.checkpoint import load_checkpoint, load_state
from papers.diffdenoise.ablations.runs import DiffusionRun, Test
from papers.diffdenoise.ablations.scales import AblationScale
from papers.diffdenoise.ablations.toy import SOURCE, ToyImages, add_noise, draw_images

Tell = Callable[[str], None]
MAIN = DiffusionOptions()
"""Masked conditioning, v, L1: what the product does."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, ready to use, and the checksum of its checkpoint."""

    network: nn.Module
    identity: str


class Lab:
    """Images and networks of `scale`; `data` is a folder of real images, for the scales that need one.

    What is trained is kept under `folder`, in a part that belongs to these very settings, and taken up there
    where an earlier call stopped.
    """

    def __init__(self, scale: AblationScale, folder: Path, tell: Tell, data: Path | None = None) -> None:
        if scale.name == "full" and data is None:
            raise UsageError("--scale full needs --data: a folder of images, see benchmarks/quality.py.")
        settings = f"{asdict(scale)} {data}"
        self.scale, self.data, self.tell = scale, data, tell
        self.folder = folder / f"{scale.name}-{sha256(settings.encode()).hexdigest()[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.accelerator.current_accelerator() or torch.device("cpu")

    @cached_property
    def training(self) -> ToyImages:
        """The training images in white noise."""
        return add_noise(self._clean(self.scale.images, self.scale.side, "train"), self.scale.sigma, 0, 1)

    @cached_property
    def test(self) -> Test:
        """The test images in white noise."""
        clean = self._clean(self.scale.tests, self.scale.side, "val")
        return Test.of(add_noise(clean, self.scale.sigma, 0, 2), self.device)

    def correlated(self, kernel: float) -> tuple[ToyImages, Test]:
        """Training and test images in noise blurred by `kernel` pixels."""
        scale = self.scale
        training = self._clean(scale.correlated_images, scale.correlated_side, "train")
        test = self._clean(scale.tests // 2, scale.correlated_side, "val")
        noisy = add_noise(test, scale.sigma, kernel, 4)
        return add_noise(training, scale.sigma, kernel, 3), Test.of(noisy, self.device)

    @cached_property
    def blind(self) -> TrainedNetwork:
        """The blind-spot network of the white noise."""
        recipe = self.recipe()
        task = BlindSpotTask(recipe, self.training.images(), [])
        return self._open(self._train(task, stages_of(recipe).blind, "blind"))

    def blind_for(self, name: str, images: list[NoisyImage]) -> TrainedNetwork:
        """A blind-spot network of images in correlated noise, for the blind radius that they ask for."""
        recipe = self.recipe(radius=images[0].rho, correlated=True)
        options = replace(stages_of(recipe).blind, steps=self.scale.radius_steps)
        return self._open(self._train(BlindSpotTask(recipe, images, []), options, name))

    def diffusion(
        self,
        name: str,
        sampler: DiffusionOptions = MAIN,
        condition: tuple[Condition, str] | None = None,
        step: int | None = None,
    ) -> DiffusionRun:
        """The diffusion network of the white noise after `step` steps, all where that is None.

        `name` tells one training from another; `condition` with its checksum, None for the blind estimate.
        """
        condition = condition or (self.blind_condition(), self.blind.identity)
        recipe = self.recipe(sampler=sampler)
        task = DiffusionTask(recipe, NoisySet(training=self.training.images()), condition)
        path = self._train(task, stages_of(recipe).diffusion, name)
        if step is not None:
            path = path.with_name(f"step-{step}.safetensors")
        found = self._open(path)
        return DiffusionRun(found.network, found.identity, get_schedule(sampler.schedule), sampler.prediction)

    def blind_condition(self) -> Condition:
        """The blind estimate of the white noise as a condition."""
        return condition_of(self.blind.network)

    def targets(self, options: TargetOptions) -> list[Image | None]:
        """Results of the main sampler for every training image, by the product's own code."""
        diffusion = self.diffusion("masked")
        network, blind = diffusion.network.cpu(), self.blind.network.cpu()
        srds = Srds(network, diffusion.schedule, diffusion.prediction, options.steps, options.pairs)
        teacher = Teacher(condition_of(blind), srds, f"{self.blind.identity} {diffusion.identity}")
        folder = self.folder / f"targets-{'fused' if options.fusion else 'blind'}"
        made = make_targets(teacher, self.training.images(), options, folder, lambda done, total: None)
        network.to(self.device), blind.to(self.device)
        return made

    def student(self, name: str, targets: Sequence[Image | None], options: TargetOptions) -> nn.Module:
        """A student of `targets` for the training images in white noise."""
        images: list[TrainingImage] = as_training_images(self.training.images(), targets, options, False)
        images = [image for image in images if image.weight > 0]
        recipe = self.recipe()
        return self._open(self._train(SupervisedTask(recipe, images, []), recipe.loop, name)).network

    def recipe(
        self,
        sampler: DiffusionOptions = MAIN,
        targets: TargetOptions | None = None,
        radius: int = 0,
        correlated: bool = False,
    ) -> Recipe:
        """A recipe of this scale, for one blind radius and the images in white or correlated noise."""
        scale = self.scale
        patch = scale.correlated_patch if correlated else scale.patch
        batch = scale.correlated_batch if correlated else scale.batch

        def options(stage: str, steps: int) -> LoopOptions:
            return LoopOptions(
                steps=steps, batch=batch, patch=patch,
                learning_rate=scale.learning_rate[stage], warmup=min(100, steps // 4 + 1), decay=0.5,
                validate_every=max(1, steps), save_every=max(1, steps // 4), precision="fp32",
            )  # fmt: skip

        diffusion = replace(options("diffusion", scale.diffusion_steps), validate_every=scale.lengths[0])
        stages = Stages(
            blind_network={**scale.blind_network, "radii": [radius]},
            blind=options("blind", scale.blind_steps),
            diffusion_network=scale.diffusion_network,
            diffusion=diffusion,
            sampler=sampler,
            targets=targets or TargetOptions(),
            simulated=None,
        )
        return Recipe(
            name="ablations", method="diffdenoise", network="noise-unet",
            network_options=scale.student_network, modalities=("OT",), licence="Apache-2.0",
            loop=options("student", scale.student_steps), noise=NoiseMix(),
            data=(DataRow(folder=SOURCE),), stages=stages,
        )  # fmt: skip

    def train_network(self, task: TrainingTask, options: LoopOptions, name: str) -> TrainedNetwork:
        """The network of `task`, trained in the folder `name` of this lab."""
        return self._open(self._train(task, options, name))

    def _clean(self, count: int, side: int, split: str) -> Image:
        if self.data is None:
            return draw_images(count, side, 0 if split == "train" else 1)
        pictures = load_pictures(self.data, -(-count // 4), split, MODALITIES, side)
        if not pictures:
            raise UsageError(f"{self.data} has no {split} image of {side} x {side} pixels.")
        low = {"CT": -1000.0}
        planes = [(central_crop(p.plane, side) - low.get(p.modality, 0.0)) * (255 / p.peak) for p in pictures]
        return np.stack(planes[:count]).astype(np.float32)

    def _train(self, task: TrainingTask, options: LoopOptions, name: str) -> Path:
        started = not (self.folder / name / "checkpoint.safetensors").exists()
        if started:
            self.tell(f"  training {name}: {options.steps} steps")
        return train(
            Kept(task), options, self.folder / name, resume=True, progress=lambda step, total, values: None
        )

    def _open(self, path: Path) -> TrainedNetwork:
        checkpoint = load_checkpoint(path, sha256=None)
        network = build(checkpoint.metadata.network, dict(checkpoint.metadata.network_options))
        load_state(network, checkpoint)
        return TrainedNetwork(network.eval().requires_grad_(False).to(self.device), checkpoint.sha256)


class Kept:
    """A task whose last weights are kept, not the best of a validation, and those of each validation too."""

    def __init__(self, task: TrainingTask) -> None:
        self.task, self.digest, self.step = task, task.digest, 0
        self.cases = task.cases

    def network(self) -> nn.Module:
        """That of the task."""
        return self.task.network()

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """That of the task."""
        self.step = step + 1
        return self.task.loss(network, step, share)

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """The later the better."""
        return {"score": float(self.step)}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """The checkpoint, and a copy by its step."""
        self.task.export(network, {}, step, path)
        self.task.export(network, {}, step, path.with_name(f"step-{step}.safetensors"))


def stages_of(recipe: Recipe) -> Stages:
    """The stages of a recipe that has some."""
    assert recipe.stages is not None
    return recipe.stages


def condition_of(network: nn.Module) -> Condition:
    """A blind-spot network as a condition."""
    assert isinstance(network, BlindSpotNet)

    @torch.no_grad()
    def condition(batch: NoisyBatch) -> Tensor:
        blind: Tensor = network(batch.noisy, batch.sigma, batch.bands, batch.rho)
        return blind

    return condition
