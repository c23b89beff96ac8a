"""The training loop every learned method shares: Accelerate, EMA, validation, checkpoints, exact resume."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal, Protocol, Self

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from meddenoise.engine.device import quick_precision
from meddenoise.errors import TrainingError
from meddenoise.training.budget import fit_cases
from meddenoise.training.checked import Count, Positive, Proportion, Size, Within
from meddenoise.training.digest import precision_of, refuse_change, with_precision
from meddenoise.training.muon import Muon
from meddenoise.training.state import load_state, read_notes, save_state


class TrainingTask(Protocol):
    """Training task of a method: everything the loop must know of it."""

    cases: Any
    """Validation cases: a list or a tensor, which a time budget may shorten."""
    digest: str
    """Text that names everything that changes the result; a resume with another digest is refused."""

    def network(self) -> nn.Module:
        """A freshly initialised network."""

    def loss(self, network: nn.Module, step: int, share: "Share") -> Tensor:
        """The loss of this process's share of step `step`; of the step alone, so that a resume is exact."""

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Scores on images no training patch came from; "score" decides which weights are kept."""

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint that `denoise --weights` reads."""


@dataclass(frozen=True, slots=True)
class Share:
    """Every `count`-th patch of a batch from `index` on, on `device`: what one of several processes does.

    Together they take the step that one process would take alone.
    """

    device: torch.device
    index: int = 0
    count: int = 1

    @classmethod
    def of(cls, accelerator: Accelerator) -> Self:
        """The share of this process, started by `torchrun` or alone."""
        return cls(accelerator.device, accelerator.process_index, accelerator.num_processes)


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """Settings of the loop; see the [training] table of a recipe."""

    steps: Count = 20_000
    batch: Size = 16
    patch: Size = 96
    learning_rate: Positive = 1e-3
    warmup: Annotated[int, Within(0, 1_000_000_000)] = 300
    decay: Proportion = 0.3
    """Share of the steps, at the end, over which the learning rate falls to 1 %; constant before."""
    weight_decay: Proportion = 1e-4
    clip: Annotated[float, Within(0, 1e6, above=True)] = 1.0
    ema: Proportion = 0.999
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    validate_every: Count = 2000
    save_every: Count = 500
    seconds: Annotated[float, Within(0, 1e9)] = 0.0
    """Time to train for, validation and saving included, instead of `steps`; 0 for no limit. With one the
    result depends on the machine."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16, fp32, or auto: the quick one of the device. A resumed run keeps the one it began with."""


FREE = ("steps", "validate_every", "save_every", "seconds")
"""Settings that do not change what a step does."""
ENDS = ("head", "floor", "tail")
"""First and last layers, by the names every network here gives them."""


def settings(options: LoopOptions) -> dict[str, object]:
    """The settings that change what a step does, for a task's digest."""
    return {name: value for name, value in asdict(options).items() if name not in FREE}


Progress = Callable[[int, int, dict[str, float]], None]


def train(
    task: TrainingTask, options: LoopOptions, output: Path, *, resume: bool, progress: Progress
) -> Path:
    """Train, and return the checkpoint written: OUT/checkpoint.safetensors, the best on validation.

    OUT/state.safetensors holds the whole run and is refreshed every `save_every` steps and on an interrupt;
    with `resume` it is taken up exactly where it stopped. OUT/log.jsonl gets a line per validation.
    `progress(step, steps, values)` is called after every step.
    Raises TrainingError for a resume with a changed recipe, a loss that is no number, an unwritable folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    run = _begin(task, options, output / "state.safetensors", resume)
    checkpoint = output / "checkpoint.safetensors"
    try:
        _plan_end(run, task, options)
        ended = options.seconds <= 0 or checkpoint.exists()  # without any time left there is one step
        while run.done(options) < 1 or not ended:
            loss = _one_step(run, task, options)
            values = {"loss": loss}
            last = run.done(options) >= 1
            if run.writes and (last or run.step % options.validate_every == 0):
                with _autocast(run):
                    scores = task.validate(run.ema, run.accelerator.device)
                _log(output / "log.jsonl", run.step, loss, scores)
                values |= scores
                if scores["score"] > run.best:
                    run.best = scores["score"]
                    task.export(run.ema, scores, run.step, checkpoint)
            ended = ended or last
            if last or run.step % options.save_every == 0:
                _save(run, task, options)
            if run.writes:
                progress(run.step, math.ceil(run.step / run.done(options)), values)
    except KeyboardInterrupt:
        _save(run, task, options)
        raise
    finally:
        run.accelerator.end_training()
    return checkpoint


@dataclass
class _Run:
    """Everything that changes while training."""

    state: Path
    accelerator: Accelerator
    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    precision: str
    began: float
    """The time, or what it would have been, had an earlier part of the run ended right before."""
    step: int = 0
    best: float = -math.inf
    ending: float = 0.0
    """Seconds that the last validation and saving take."""

    def done(self, options: LoopOptions) -> float:
        """Share of the run that is behind, 1 at its end: of the steps, or of the time if that is limited."""
        if options.seconds > 0:
            return max(1e-9, (perf_counter() - self.began) / max(options.seconds - self.ending, 1e-9))
        return self.step / options.steps

    @property
    def writes(self) -> bool:
        """True in the one process that validates, reports and writes files."""
        return bool(self.accelerator.is_main_process)


def _begin(task: TrainingTask, options: LoopOptions, state: Path, resume: bool) -> _Run:
    """A new run, or the saved one."""
    began = perf_counter()
    alone = not torch.accelerator.is_available()  # several processes on CPUs find each other only if told
    accelerator = Accelerator(
        cpu=alone,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if options.batch % accelerator.num_processes:
        raise TrainingError(
            f"a batch of {options.batch} cannot be shared by {accelerator.num_processes} processes: "
            "start a number of them that divides it."
        )
    if options.seconds > 0 and accelerator.num_processes > 1:
        raise TrainingError("a time budget needs a single process: start one, or give --steps.")
    torch.manual_seed(options.seed)
    network = task.network().to(accelerator.device)
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    notes = check_resume(task, options, state) if resume and state.exists() else None
    precision = (notes and precision_of(str(notes["digest"]))) or options.precision
    if precision == "auto":
        precision = quick_precision(accelerator.device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    optimizer = Muon(network, ENDS, options.learning_rate, options.weight_decay, dtype)
    run = _Run(state, accelerator, network, ema, optimizer, precision, began)
    if notes is not None:
        load_state(state, network, ema, optimizer)
        run.step, run.best = int(notes["step"]), float(notes["best"])
        run.began -= float(notes["elapsed"])
    run.network, run.optimizer = accelerator.prepare(network, optimizer)
    return run


def _plan_end(run: _Run, task: TrainingTask, options: LoopOptions) -> None:
    """Of a run with limited time, keep as much as its end will take."""
    if options.seconds <= 0 or run.done(options) >= 1:
        return
    with _autocast(run):
        validating = fit_cases(task, lambda: task.validate(run.ema, run.accelerator.device), options.seconds)
    saving = perf_counter()
    _save(run, task, options)
    run.ending = 1.2 * validating + 2 * (perf_counter() - saving)


def _one_step(run: _Run, task: TrainingTask, options: LoopOptions) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = options.learning_rate * _schedule(run.step, run.done(options), options)
    with _autocast(run):
        loss = task.loss(run.network, run.step, Share.of(run.accelerator))
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss became {value} at step {run.step}: lower the learning rate.")
    run.optimizer.zero_grad()
    run.accelerator.backward(loss)
    run.accelerator.clip_grad_norm_(run.network.parameters(), options.clip)
    run.optimizer.step()
    run.step += 1
    decay = min(options.ema, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        weights = list(run.accelerator.unwrap_model(run.network).parameters())
        torch._foreach_lerp_(list(run.ema.parameters()), weights, 1 - decay)
    return value


def _autocast(run: _Run) -> torch.autocast:
    """The run's precision; not Accelerate's, of which a process can have only one."""
    return torch.autocast(run.accelerator.device.type, torch.bfloat16, enabled=run.precision == "bf16")


def _schedule(step: int, done: float, options: LoopOptions) -> float:
    """Warm-up, a constant stretch, then half a cosine down to 1 % of the learning rate.

    The constant stretch does not know the number of steps, so a run can be made longer or shorter on the
    way (warmup-stable-decay; Hu et al. 2024, arXiv 2404.06395).
    """
    warm = min(1.0, (step + 1) / max(options.warmup, 1))
    fall = min(1.0, max(0.0, 1 - (1 - done) / max(options.decay, 1e-9)))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def _save(run: _Run, task: TrainingTask, options: LoopOptions) -> None:
    if not run.writes:
        return
    inner = getattr(run.optimizer, "optimizer", run.optimizer)  # Accelerate wraps it
    notes = {
        "digest": with_precision(task.digest, run.precision),
        "step": run.step,
        "best": run.best,
        "steps": options.steps,
        "elapsed": max(perf_counter() - run.began, options.seconds if run.done(options) >= 1 else 0.0),
    }
    save_state(run.state, run.accelerator.unwrap_model(run.network), run.ema, inner, notes)


def _log(path: Path, step: int, loss: float, scores: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({"step": step, "loss": loss} | scores) + "\n")


def check_resume(task: TrainingTask, options: LoopOptions, state: Path) -> dict[str, Any]:
    """The notes of the run saved in `state`, which `task` and `options` may go on with.

    Raises TrainingError for a changed recipe, another length too late, and a damaged file.
    """
    notes = read_notes(state)
    before = str(notes["digest"])
    refuse_change(state, before, with_precision(task.digest, precision_of(before) or "auto"))
    _refuse_new_length(state, notes, options)
    return notes


def _refuse_new_length(path: Path, notes: dict[str, Any], options: LoopOptions) -> None:
    """Another number of steps is fine until the learning rate has begun to fall for the old one."""
    decays = (1 - options.decay) * min(int(notes["steps"]), options.steps)
    if int(notes["steps"]) != options.steps and int(notes["step"]) > decays:
        raise TrainingError(
            f"{path} is at step {notes['step']} of {notes['steps']}, where the learning rate already falls: "
            f"finish it with that number of steps, or start again with {options.steps}."
        )
