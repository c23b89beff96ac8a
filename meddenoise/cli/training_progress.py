"""Progress of training for people: steps, loss, validation scores, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Progress on stderr; silent, but for the validation scores, where stderr is no terminal."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.bar: TaskID | None = None
        self.loss: float | None = None
        self.steps = 0
        self.what = "training"

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def reading(self, done: int, total: int) -> None:
        """Images read so far."""
        self._show("reading", done, total, "series")

    def stage(self, name: str) -> None:
        """Another stage of the training begins."""
        self.what, self.loss = name, None
        if not self.console.is_terminal:
            self.console.print(f"{name} ...")

    def making(self, done: int, total: int) -> None:
        """Training targets made so far."""
        self._show(self.what, done, total, "images")

    def note(self, text: str) -> None:
        """Something about the images that a user should know."""
        self.console.print(f"note: {text}", style="yellow", markup=False)

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        """One training step with its loss and, after a validation, its scores."""
        self.steps += 1
        loss = values["loss"]
        self.loss = loss if self.loss is None else 0.99 * self.loss + 0.01 * loss
        self._show(self.what, step, total, f"loss {self.loss:.4f}")
        if "score" in values:
            rows = "  ".join(f"{k} {v:.2f}" for k, v in values.items() if k not in ("loss", "score"))
            self.console.print(
                f"{self.what}, step {step}: validation {values['score']:.3f}, loss {self.loss:.4f}  {rows}"
            )

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        if self.bar is None:
            self.bar = self.bars.add_task(what, total=total, note=note)
        self.bars.update(self.bar, description=what, completed=done, total=total, note=note)
