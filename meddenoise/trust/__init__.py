"""SHELF of trust checks: the CHECKS table with its thresholds, and the verdict `ok | look | reject`.

    values = examine(pairs, noise)                    meddenoise.trust.examine   what the pixels show
    kept = survival(denoise, scene, clean, noise)     meddenoise.trust.lesions   what is left of small discs
    trust = judge(values)

No reference is needed. What noise of the estimated level, spectrum and dependence would show is simulated,
and every score is relative to that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["ok", "look", "reject"]


@dataclass(frozen=True, slots=True)
class Check:
    """One row of CHECKS: from `look` on somebody should look at the image, from `reject` on not use it.

    A value is worse the higher it is, or the lower where `reject` is below `look`.
    """

    what: str
    found: str
    """The reason that a person reads; {value} and {look} are put in."""
    look: float
    reject: float

    def judge(self, value: float) -> Verdict:
        """The verdict on one value."""
        sign = 1 if self.reject > self.look else -1
        if sign * value >= sign * self.reject:
            return "reject"
        return "look" if sign * value >= sign * self.look else "ok"


CHECKS: Mapping[str, Check] = {
    "structure_lost": Check(
        "strongest spot of the input that the result lacks, over the strongest that noise makes",
        "structure was removed with the noise: a spot {value:.1f} times as strong as noise makes "
        "(from {look:g} on)",
        look=1.2,
        reject=1.5,
    ),
    "structure_invented": Check(
        "strongest spot of the result that the input lacks, over the strongest that noise makes",
        "the result shows what the input does not: a spot {value:.1f} times as strong as noise makes "
        "(from {look:g} on)",
        look=1.2,
        reject=1.5,
    ),
    "edges_lost": Check(
        "power of what was removed, averaged along the edges of the result, over that of noise alone",
        "edges went out with the noise: {value:.1f} times the power along them that noise has "
        "(from {look:g} on)",
        look=1.3,
        reject=2.0,
    ),
    "mean_shift": Check(
        "largest shift of the mean of a range of brightness (a tissue), in noise standard deviations",
        "tissues changed their brightness, by up to {value:.2f} of the noise (from {look:g} on)",
        look=0.25,
        reject=0.5,
    ),
    "lesion_survival": Check(
        "share of their contrast that small discs keep, put into the input just above the noise; median",
        "small discs just above the noise keep {value:.0%} of their contrast (from {look:.0%} down)",
        look=0.4,
        reject=0.2,
    ),
}


@dataclass(frozen=True, slots=True)
class Bin:
    """One range of brightness of the result: `low` to `high`, and how its mean changed, all in the unit."""

    low: float
    high: float
    shift: float


@dataclass(frozen=True, slots=True)
class Values:
    """What was measured, by names of CHECKS, None where one has no value; and why."""

    values: dict[str, float | None]
    bins: tuple[Bin, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict, None where nothing could be measured; its reasons; what was not measured."""

    verdict: Verdict | None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: dict[str, float | None] = field(default_factory=dict)
    bins: tuple[Bin, ...] = ()


def judge(measured: Values) -> Trust:
    """The worst verdict of all checks that have a value, with the reasons, the worst first."""
    known = {name: value for name, value in measured.values.items() if value is not None}
    order: tuple[Verdict, ...] = ("reject", "look")
    verdicts = {name: CHECKS[name].judge(value) for name, value in known.items()}
    reasons = tuple(
        CHECKS[name].found.format(value=known[name], look=CHECKS[name].look)
        for verdict in order
        for name in CHECKS
        if verdicts.get(name) == verdict
    )
    worst: Verdict | None = next((verdict for verdict in order if verdict in verdicts.values()), "ok")
    return Trust(worst if known else None, reasons, measured.notes, measured.values, measured.bins)
