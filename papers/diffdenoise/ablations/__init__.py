"""SHELF of ablations: what one gives back, the table of them, and what a verdict can be.

Each is a function (lab) -> Finding in one of the files here. The lab trains what it is asked for through the
product's own code, once, and keeps it; clean images are looked at in `measure` alone, and by the supervised
control of A10.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from papers.diffdenoise.ablations.lab import Lab

Verdict = Literal["holds", "holds in part", "does not hold"]


@dataclass(frozen=True)
class Finding:
    """One ablation: its table, the claim it tests, what was seen and what was done about it.

    `verdict`, `seen` and `done` are chosen by `numbers`, never by hand.
    """

    title: str
    claim: str
    columns: list[str]
    rows: list[list[str]]
    numbers: dict[str, float]
    verdict: Verdict
    seen: str
    done: str

    def as_json(self) -> dict[str, Any]:
        """The values that `Finding(**values)` takes."""
        return asdict(self)


ABLATIONS: dict[str, str] = {
    "A1": "papers.diffdenoise.ablations.sampling:condition",
    "A2": "papers.diffdenoise.ablations.sampling:pairs",
    "A3": "papers.diffdenoise.ablations.sampling:contracted",
    "A4": "papers.diffdenoise.ablations.sampling:one_step",
    "A5": "papers.diffdenoise.ablations.conditions:strength",
    "A6": "papers.diffdenoise.ablations.conditions:leak_control",
    "A7": "papers.diffdenoise.ablations.results:fusion",
    "A8": "papers.diffdenoise.ablations.sampling:partial_start",
    "A9": "papers.diffdenoise.ablations.conditions:targets_and_losses",
    "A10": "papers.diffdenoise.ablations.results:distillation",
    "A11": "papers.diffdenoise.ablations.correlated:radii",
    "A12": "papers.diffdenoise.ablations.correlated:iterations",
}


def get_ablation(name: str) -> "Callable[[Lab], Finding]":
    """The function of ablation `name`, a key of ABLATIONS."""
    module, _, function = ABLATIONS[name].partition(":")
    return cast("Callable[[Lab], Finding]", getattr(import_module(module), function))


def judge(*conditions: bool) -> Verdict:
    """ "holds" where all conditions do, "does not hold" where none does."""
    if all(conditions):
        return "holds"
    return "holds in part" if any(conditions) else "does not hold"
