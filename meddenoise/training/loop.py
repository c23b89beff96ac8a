"""The training loop every learned method shares: Accelerate, EMA, validation, checkpoints, exact resume."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from meddenoise.errors import TrainingError
from meddenoise.training.state import load_state, read_notes, save_state


class Task(Protocol):
    """What a method trains: everything the loop must know of it."""

    digest: str
    """Text that names everything that changes the result; a resume with another digest is refused."""

    def network(self) -> nn.Module:
        """A freshly initialised network."""

    def loss(self, network: nn.Module, step: int, device: torch.device) -> Tensor:
        """The loss of training step `step`; a function of the step alone, so that a resume is exact."""

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Scores on images no training patch came from; "score" decides which weights are kept."""

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint that `denoise --weights` reads."""


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How the loop runs; see the [training] table of a recipe."""

    steps: int = 20_000
    batch: int = 16
    patch: int = 96
    learning_rate: float = 1e-3
    warmup: int = 300
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    validate_every: int = 2000
    save_every: int = 500
    precision: str = "bf16"


Progress = Callable[[int, dict[str, float]], None]


def train(task: Task, options: LoopOptions, output: Path, *, resume: bool, progress: Progress) -> Path:
    """Train, and return the checkpoint written: OUT/checkpoint.safetensors, the best on validation.

    OUT/state.safetensors holds the whole run and is refreshed every `save_every` steps and on an interrupt;
    with `resume` it is taken up exactly where it stopped. OUT/log.jsonl gets a line per validation.
    `progress(step, values)` is called after every step.
    Raises TrainingError for a resume with a changed recipe, a loss that is no number, an unwritable folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    state, checkpoint = output / "state.safetensors", output / "checkpoint.safetensors"
    accelerator = Accelerator(mixed_precision="bf16" if options.precision == "bf16" else "no")
    torch.manual_seed(options.seed)
    network = task.network().to(accelerator.device)
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    step, best = 0, -math.inf
    if resume and state.exists():
        notes = read_notes(state)
        _refuse_change(state, str(notes["digest"]), task.digest)
        load_state(state, network, ema, optimizer)
        step, best = int(str(notes["step"])), float(str(notes["best"]))
    network, optimizer = accelerator.prepare(network, optimizer)
    try:
        while step < options.steps:
            loss = _one_step(task, network, optimizer, accelerator, options, step)
            step += 1
            _average(ema, accelerator.unwrap_model(network), min(options.ema, (1 + step) / (10 + step)))
            values = {"loss": loss}
            if step % options.validate_every == 0 or step == options.steps:
                with accelerator.autocast():
                    scores = task.validate(ema, accelerator.device)
                _log(output / "log.jsonl", step, loss, scores)
                values |= scores
                if scores["score"] > best:
                    best = scores["score"]
                    task.export(ema, scores, step, checkpoint)
            if step % options.save_every == 0 or step == options.steps:
                _save(state, accelerator.unwrap_model(network), ema, optimizer, task, step, best)
            progress(step, values)
    except KeyboardInterrupt:
        _save(state, accelerator.unwrap_model(network), ema, optimizer, task, step, best)
        raise
    return checkpoint


def _one_step(
    task: Task,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    options: LoopOptions,
    step: int,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * _schedule(step, options)
    with accelerator.autocast():
        loss = task.loss(network, step, accelerator.device)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss became {value} at step {step}: lower the learning rate.")
    optimizer.zero_grad()
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(network.parameters(), options.clip)
    optimizer.step()
    return value


def _schedule(step: int, options: LoopOptions) -> float:
    """Warm-up, then half a cosine down to 1 % of the learning rate."""
    warm = min(1.0, (step + 1) / max(options.warmup, 1))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / options.steps)))


@torch.no_grad()
def _average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1 - decay)


def _save(
    path: Path,
    network: nn.Module,
    ema: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    step: int,
    best: float,
) -> None:
    inner = getattr(optimizer, "optimizer", optimizer)  # Accelerate wraps it
    save_state(path, network, ema, inner, {"digest": task.digest, "step": step, "best": best})


def _log(path: Path, step: int, loss: float, scores: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({"step": step, "loss": loss} | scores) + "\n")


def _refuse_change(path: Path, before: str, now: str) -> None:
    if before == now:
        return
    old, new = before.splitlines(), now.splitlines()
    changed = [f"{a!r} became {b!r}" for a, b in zip(old, new, strict=False) if a != b]
    difference = "; ".join(changed[:3]) or "lines were added or removed"
    raise TrainingError(
        f"{path} was trained with another recipe ({difference}): "
        "give the same recipe, another output folder, or --no-resume."
    )


def describe(options: LoopOptions) -> dict[str, object]:
    """The options as a plain table, for checkpoints and recipes."""
    return asdict(options)
