"""Listeners to the events of a run: the terminal, a script, the sender of an errand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from meddenoise.report import Failure, Row


class Listener(Protocol):
    """Listener to the run, called from any thread but never from two at a time."""

    def found(self, series: int, images: int, skipped: Sequence[Path]) -> None:
        """`series` of `images` in all will be denoised; `skipped` files are no images."""

    def noted(self, text: str) -> None:
        """Something about the inputs that a user should know."""

    def started(self, device: str) -> None:
        """The first series is about to be denoised on `device`, and why there."""

    def advanced(self, images: float) -> None:
        """So many images more are done, or need not be."""

    def written(self, row: Row) -> None:
        """A series is written."""

    def listed(self, row: Row) -> None:
        """After `written`, in the order of the series: those before have come, or the run is over."""

    def kept(self, row: Row) -> None:
        """A series was finished by an earlier run."""

    def failed(self, failure: Failure) -> None:
        """A series or file failed; the others go on."""
