"""DiffDenoise from noisy images to a checkpoint: every stage in its own folder, each resumed by itself.

OUT/blind, OUT/diffusion, OUT/targets, OUT/student, and OUT/checkpoint.safetensors with all networks in it;
OUT/preview-*.png show what the stages make of held-out images.
Later iterations, whose condition is the student before, lie in OUT/iteration-2 and so on.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from meddenoise.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods.srds import Srds
from meddenoise.networks import build
from meddenoise.training import Watch
from meddenoise.training.blindspot import BlindSpotTask
from meddenoise.training.data import TrainingImage
from meddenoise.training.diffusion import Condition, DiffusionTask
from meddenoise.training.loop import LoopOptions, train
from meddenoise.training.noisy import NoisyBatch, NoisySet
from meddenoise.training.recipe import Recipe, Stages
from meddenoise.training.supervised import VALIDATION_PER_SOURCE, SupervisedTask
from meddenoise.training.targets import (
    WHOLE,
    Teacher,
    as_training_images,
    least_noisy,
    make_targets,
    write_previews,
)

SHARES = {"blind": 0.28, "diffusion": 0.17, "targets": 0.1, "student": 0.4}
"""Of a time budget; the rest is for reading, validation and writing."""
LATER = 0.25
"""Length of the stages of a later iteration, relative to the first."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of all stages."""

    recipe: Recipe
    images: NoisySet
    output: Path
    resume: bool
    watch: Watch
    seconds: float = 0.0
    """Time budget, 0 for none."""

    @property
    def stages(self) -> Stages:
        """What is trained before the student."""
        assert self.recipe.stages is not None
        return self.recipe.stages

    def timed(self, options: LoopOptions, stage: str, part: float) -> LoopOptions:
        """`options` for a `part` of the stage's usual length, in steps or in its share of the budget."""
        seconds = part * SHARES[stage] * self.seconds
        return replace(options, steps=max(1, round(part * options.steps)), seconds=seconds)


def train_stages(run: Run) -> Path:
    """Train all stages; OUT/checkpoint.safetensors with the student, blind and diffusion networks.

    Raises TrainingError as `loop.train` does, for every stage.
    """
    iterations = run.stages.targets.iterations
    parts = [1 / (1 + LATER * (iterations - 1)) if run.seconds else 1.0]
    parts += [LATER * parts[0]] * (iterations - 1)
    blind = _train_blind(run, parts[0])
    network = build(blind.metadata.network, dict(blind.metadata.network_options))
    load_state(network, blind)
    condition, identity = _by_blind_spot(network), blind.sha256
    diffusion: Checkpoint | None = None
    student: Checkpoint | None = None
    for number, part in enumerate(parts, 1):
        folder = run.output if number == 1 else run.output / f"iteration-{number}"
        if student is not None:
            condition, identity = _by_student(student), student.sha256
        diffusion = _train_diffusion(run, folder, (condition, identity), diffusion, part)
        teacher = Teacher(condition, _sampler(run, diffusion), f"{identity} {diffusion.sha256}")
        student = _train_student(run, folder, teacher, student, part)
    assert diffusion is not None and student is not None
    return _pack(run.output / "checkpoint.safetensors", student, blind, diffusion)


def _train_blind(run: Run, part: float) -> Checkpoint:
    options = run.timed(run.stages.blind, "blind", part)
    task = BlindSpotTask(run.recipe, run.images.training, run.images.validation)
    run.watch.stage("blind-spot network")
    path = train(task, options, run.output / "blind", resume=run.resume, progress=run.watch.step)
    return load_checkpoint(path, sha256=None)


def _train_diffusion(
    run: Run, folder: Path, condition: tuple[Condition, str], start: Checkpoint | None, part: float
) -> Checkpoint:
    options = run.timed(run.stages.diffusion, "diffusion", part)
    task = DiffusionTask(run.recipe, run.images, condition, start)
    run.watch.stage("diffusion network")
    path = train(task, options, folder / "diffusion", resume=run.resume, progress=run.watch.step)
    return load_checkpoint(path, sha256=None)


def _train_student(
    run: Run, folder: Path, teacher: Teacher, start: Checkpoint | None, part: float
) -> Checkpoint:
    training = _targets(run, folder, teacher, "training", part)
    validation = [
        image for image in _targets(run, folder, teacher, "validation", part) if image.noise is None
    ]
    recipe = replace(run.recipe, loop=run.timed(run.recipe.loop, "student", part))
    task = SupervisedTask(recipe, training, validation, start)
    run.watch.stage("student")
    path = train(task, recipe.loop, folder / "student", resume=run.resume, progress=run.watch.step)
    return load_checkpoint(path, sha256=None)


def _targets(
    run: Run, folder: Path, teacher: Teacher, side: Literal["training", "validation"], part: float
) -> list[TrainingImage]:
    """What the student learns from, or is validated on: the teacher's results."""
    most = VALIDATION_PER_SOURCE if side == "validation" else WHOLE
    images = least_noisy(getattr(run.images, side), run.stages.targets.keep, most)
    run.watch.stage(f"targets of {side} images")
    seconds = part * SHARES["targets"] * run.seconds * (0.8 if side == "training" else 0.2)
    options = run.stages.targets
    if side == "validation":
        write_previews(teacher, images, options, folder)
    targets = make_targets(teacher, images, options, folder / "targets" / side, run.watch.making, seconds)
    return as_training_images(images, targets, options, run.stages.simulated is not None)


def _by_blind_spot(network: nn.Module) -> Condition:
    network.eval().requires_grad_(False)

    def condition(batch: NoisyBatch) -> Tensor:
        blind: Tensor = network(batch.noisy, batch.sigma, batch.bands, batch.rho)
        return blind

    return condition


def _by_student(student: Checkpoint) -> Condition:
    """The student before as condition: it has seen the noise, so that what leaks grows with iterations."""
    network = build(student.metadata.network, dict(student.metadata.network_options))
    load_state(network, student)
    network.eval().requires_grad_(False)

    def condition(batch: NoisyBatch) -> Tensor:
        clean: Tensor = network(
            batch.noisy, batch.sigma, batch.bands, batch.noisy.new_zeros(len(batch.noisy))
        )
        return clean

    return condition


def _sampler(run: Run, checkpoint: Checkpoint) -> Srds:
    network = build(checkpoint.metadata.network, dict(checkpoint.metadata.network_options))
    load_state(network, checkpoint)
    network.eval().requires_grad_(False)
    sampler, targets = run.stages.sampler, run.stages.targets
    return Srds(network, get_schedule(sampler.schedule), sampler.prediction, targets.steps, targets.pairs)


def _pack(path: Path, student: Checkpoint, blind: Checkpoint, diffusion: Checkpoint) -> Path:
    """All networks in one checkpoint; those that are used beside the student in half precision."""
    tensors = {f"student.{name}": tensor for name, tensor in student.tensors.items()}
    parts: dict[str, object] = {}
    for prefix, part in (("blind", blind), ("diffusion", diffusion)):
        tensors |= {f"{prefix}.{name}": tensor.half() for name, tensor in part.tensors.items()}
        parts[prefix] = {
            "network": part.metadata.network,
            "network_options": part.metadata.network_options,
            **part.metadata.method_options,
        }
    options = {**student.metadata.method_options, **parts}
    metadata = replace(student.metadata, schedule=diffusion.metadata.schedule, method_options=options)
    save_checkpoint(path, tensors, metadata)
    return path
