"""DiffDenoise from noisy images to a checkpoint: every stage in its own folder, each resumed by itself.

OUT/blind, OUT/diffusion, OUT/targets, OUT/student, and OUT/checkpoint.safetensors with all networks in it;
OUT/preview-*.png show what the stages make of held-out images.
Later iterations, whose condition is the student before, lie in OUT/iteration-2 and so on.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods.srds import Srds
from meddenoise.noise import WHITE
from meddenoise.training import Sides, Watch
from meddenoise.training.begin import part_of
from meddenoise.training.blindspot import BlindSpotTask
from meddenoise.training.budget import Budget
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.noisy import NoisyBatch, NoisySet
from meddenoise.training.diffusion import Condition, DiffusionTask
from meddenoise.training.loop import LoopOptions, TrainingTask, check_resume, train
from meddenoise.training.recipe import Recipe, Stages
from meddenoise.training.supervised import VALIDATION_PER_SOURCE, SupervisedTask
from meddenoise.training.targets import (
    MADE_FROM,
    PREVIEWS,
    WHOLE,
    Teacher,
    as_training_images,
    clear_targets,
    least_noisy,
    make_targets,
    write_previews,
)
from meddenoise.weights.checkpoint import Checkpoint, load_checkpoint, load_network, save_checkpoint

SHARES = {"blind": 0.21, "diffusion": 0.065, "training": 0.05, "validation": 0.015, "student": 0.66}
"""Of a time budget, once the images are read; of targets, by the side they are for. The sampler gets little:
its mean is that of the blind-spot network however long it trains."""
GIVEN = ("blind", "diffusion")
"""Stages that weights to begin with have done: their time is the student's."""
LATER = 0.25
"""Length of the stages of a later iteration, relative to the first."""
STATE = "state.safetensors"
PREVIEWED_S = 600.0
"""A shorter budget has no time for previews."""
ONLY_MADE = 1e-9
"""Time for targets where the student has begun: those that there are."""


@dataclass(frozen=True, slots=True)
class StagesRun:
    """One run of all stages."""

    recipe: Recipe
    images: NoisySet
    output: Path
    resume: bool
    watch: Watch
    budget: Budget = field(default_factory=Budget)
    exact: Sides = field(default_factory=lambda: ([], []))
    """References without noise, for training and validation: only the student sees them."""
    start: Checkpoint | None = None
    """Weights of the method: their student is trained on, their other networks stay as they are."""

    @property
    def stages(self) -> Stages:
        """Stages trained before the student."""
        assert self.recipe.stages is not None
        return self.recipe.stages

    def timed(self, options: LoopOptions, stage: str, part: float) -> LoopOptions:
        """`options` for a `part` of the stage's usual length, in steps or in its share of the budget.

        Asked for right before the stage is trained.
        """
        share = SHARES[stage]
        if self.start is not None:
            share += sum(SHARES[given] for given in GIVEN)
        seconds = self.budget.take(part * share)
        return replace(options, steps=max(1, round(part * options.steps)), seconds=seconds)

    def given(self, part: str) -> Checkpoint | None:
        """A network of the weights to begin with, None without them.

        Raises UsageError where they do not have it.
        """
        if self.start is None:
            return None
        found = part_of(self.start, part)
        if found is None:
            raise UsageError(
                f"{self.start.path} has no network {part!r} to begin with: give --from weights of "
                f"{self.recipe.method!r}."
            )
        return found

    def folder(self, number: int) -> Path:
        """Folder in which an iteration, from 1 on, keeps its stages."""
        return self.output if number == 1 else self.output / f"iteration-{number}"


def train_stages(run: StagesRun) -> Path:
    """Train all stages; OUT/checkpoint.safetensors with the student, blind and diffusion networks.

    Later iterations are for the student: the diffusion network that goes with the blind one is the first.
    Raises TrainingError as `loop.train` does, for every stage.
    """
    correlated = sum(image.rho > 0 for image in run.images.training)
    often = 2 if 2 * correlated > len(run.images.training) else 1
    iterations = 1 if run.start else run.stages.targets.iterations or often
    later = LATER * (iterations - 1) * (1 - SHARES["blind"])
    parts = [1 / (1 + later) if run.budget.seconds else 1.0]
    parts += [LATER * parts[0]] * (iterations - 1)
    blind = run.given("blind") or _train_blind(run, parts[0])
    condition, identity = _by_blind_spot(blind), blind.sha256
    models: list[Checkpoint] = []
    student = run.given("student")
    for number, part in enumerate(parts, 1):
        if models:
            assert student is not None
            condition, identity = _by_student(student), student.sha256
        model = run.given("diffusion") or _train_diffusion(
            run, number, (condition, identity), models[-1] if models else None, part
        )
        models.append(model)
        teacher = Teacher(condition, _sampler(run, models[-1]), f"{identity} {models[-1].sha256}")
        student = _train_student(run, number, teacher, student, part)
    assert student is not None
    return pack(run.output / "checkpoint.safetensors", student, blind=blind, diffusion=models[0])


def train_stage(
    task: TrainingTask, options: LoopOptions, folders: tuple[Path, Path | None], resume: bool, watch: Watch
) -> Checkpoint:
    """A stage trained to its end in the first folder; kept once the second path, if any, was begun from it.

    More steps of it, in time that is left on a second try, would make it another one.
    """
    folder, following = folders
    if resume and following is not None and following.exists():
        check_resume(task, options, folder / STATE)
        path = folder / "checkpoint.safetensors"
    else:
        path = train(task, options, folder, resume=resume, progress=watch.step)
    return load_checkpoint(path, sha256=None)


def pack(path: Path, student: Checkpoint, **others: Checkpoint) -> Path:
    """All networks in one checkpoint, in half precision: the student and the `others`, used next to it.

    The diffusion schedule is that of the part named "diffusion".
    """
    tensors = {f"student.{name}": tensor.half() for name, tensor in student.tensors.items()}
    parts: dict[str, object] = {}
    for prefix, part in others.items():
        tensors |= {f"{prefix}.{name}": tensor.half() for name, tensor in part.tensors.items()}
        parts[prefix] = {
            "network": part.metadata.network,
            "network_options": part.metadata.network_options,
            **part.metadata.method_options,
        }
    options = {**student.metadata.method_options, **parts}
    schedule = others["diffusion"].metadata.schedule
    save_checkpoint(path, tensors, replace(student.metadata, schedule=schedule, method_options=options))
    return path


def _train_blind(run: StagesRun, part: float) -> Checkpoint:
    task = BlindSpotTask(run.recipe, run.images.training, run.images.validation)
    options = run.timed(run.stages.blind, "blind", part)
    run.watch.stage("blind-spot network")
    folders = run.output / "blind", run.folder(1) / "diffusion" / STATE
    return train_stage(task, options, folders, run.resume, run.watch)


def _train_diffusion(
    run: StagesRun, number: int, condition: tuple[Condition, str], start: Checkpoint | None, part: float
) -> Checkpoint:
    task = DiffusionTask(run.recipe, run.images, condition, start)
    options = run.timed(run.stages.diffusion, "diffusion", part)
    run.watch.stage("diffusion network")
    folders = run.folder(number) / "diffusion", run.folder(number) / "targets" / "training" / MADE_FROM
    return train_stage(task, options, folders, run.resume, run.watch)


def _train_student(
    run: StagesRun, number: int, teacher: Teacher, start: Checkpoint | None, part: float
) -> Checkpoint:
    folder = run.folder(number)
    training = _targets(run, folder, teacher, "training", part)
    validation = [
        image for image in _targets(run, folder, teacher, "validation", part) if image.noise is None
    ]
    training, validation = training + run.exact[0], validation + run.exact[1]
    task = SupervisedTask(run.recipe, training, validation, start)
    options = run.timed(run.recipe.loop, "student", part)
    run.watch.stage("student")
    folders = folder / "student", run.folder(number + 1) / "diffusion" / STATE
    return train_stage(task, options, folders, run.resume, run.watch)


def _targets(
    run: StagesRun, folder: Path, teacher: Teacher, side: Literal["training", "validation"], part: float
) -> list[TrainingImage]:
    """Targets that the student learns from, or is validated on: the teacher's results."""
    most = VALIDATION_PER_SOURCE if side == "validation" else WHOLE
    images = least_noisy(getattr(run.images, side), run.stages.targets.keep, most)
    run.watch.stage(f"targets of {side} images")
    seconds = run.budget.take(part * SHARES[side])
    if run.budget.seconds and run.resume and (folder / "student" / STATE).exists():
        seconds = ONLY_MADE
    if not run.resume:
        clear_targets(folder / "targets" / side)
    options = run.stages.targets
    if side == "validation" and not 0 < run.budget.seconds < PREVIEWED_S:
        write_previews(teacher, images[:PREVIEWS], options, folder)
    targets = make_targets(teacher, images, options, folder / "targets" / side, run.watch.making, seconds)
    return as_training_images(images, targets, options, run.stages.simulated is not None)


def _by_blind_spot(blind_spot: Checkpoint) -> Condition:
    network = load_network(blind_spot, blind_spot.metadata.network, blind_spot.metadata.network_options)

    def condition(batch: NoisyBatch) -> Tensor:
        network.to(batch.noisy.device)  # targets are made on the CPU, patches may be on a GPU
        blind: Tensor = network(batch.noisy, batch.sigma, batch.bands, batch.rho)
        return blind

    return condition


def _by_student(student: Checkpoint) -> Condition:
    """The student before as condition: it has seen the noise, so that what leaks grows with iterations."""
    network = load_network(student, student.metadata.network, student.metadata.network_options)
    copies = int(student.metadata.network_options.get("bands", len(WHITE))) // len(WHITE)

    def condition(batch: NoisyBatch) -> Tensor:
        network.to(batch.noisy.device)
        told = batch.bands.repeat_interleave(copies, dim=1)
        clean: Tensor = network(batch.noisy, batch.sigma, told, batch.noisy.new_zeros(len(batch.noisy)))
        return clean

    return condition


def _sampler(run: StagesRun, checkpoint: Checkpoint) -> Srds:
    network = load_network(checkpoint, checkpoint.metadata.network, checkpoint.metadata.network_options)
    sampler, targets = run.stages.sampler, run.stages.targets
    return Srds(network, get_schedule(sampler.schedule), sampler.prediction, targets.steps, targets.pairs)
