"""A time budget: shared out to the stages of a training as they begin, and kept by what each takes to end."""

from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any, Protocol

END_S, END_SHARE = 2.0, 0.04
"""Kept back for writing the result: seconds, or a share of a short budget."""
LEAST_S = 0.1
"""Given to a stage where no time is left, so that all of them are done."""
VALIDATION = 0.1
"""Most of a stage's time that one validation may take."""


class Budget:
    """`seconds` from now on, 0 for no limit, of which reading the images takes what it takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._until = perf_counter() + seconds - min(END_S, END_SHARE * seconds)
        self._ahead = 1.0
        self._whole: float | None = None

    @property
    def left(self) -> float:
        """Seconds that are left; never nothing."""
        return max(self._until - perf_counter(), LEAST_S)

    def take(self, share: float) -> float:
        """Seconds for a stage that begins now and has that share of all stages' time; 0 for no limit.

        A stage that took longer shortens those that follow; what it left over is not spent.
        """
        if not self.seconds:
            return 0.0
        if self._whole is None:
            self._whole = self.left
        given = min(self.left * share / max(self._ahead, share), self._whole * share)
        self._ahead -= share
        return given


class Judged(Protocol):
    """Anything that is validated on `cases`."""

    cases: Any


def fit_cases(task: Judged, validate: Callable[[], object], seconds: float) -> float:
    """Leave of `task.cases` what a tenth of `seconds` suffices for; the time they take, in seconds."""
    everything = task.cases
    task.cases = _spread(everything, 1)
    began = perf_counter()
    validate()  # the first time is slower than those that follow: rather too few cases than too many
    each = perf_counter() - began
    task.cases = _spread(everything, max(1, int(VALIDATION * seconds / max(each, 1e-9))))
    return each * len(task.cases)


def _spread(cases: Any, count: int) -> Any:
    """`count` of the cases, a list or a tensor, any kind of them as likely; always the same."""
    if count >= len(cases):
        return cases
    chosen = sorted(Random(0).sample(range(len(cases)), count))
    is_list = isinstance(cases, list | tuple)
    return [cases[index] for index in chosen] if is_list else cases[chosen]
