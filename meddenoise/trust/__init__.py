"""SHELF of trust checks: the CHECKS table with its thresholds, and the verdict on a result.

    values = examine(pairs, noise)                    meddenoise.trust.examine   what the pixels show
    kept = survival(denoise, scene, clean, noise)     meddenoise.trust.lesions   what is left of small discs
    removal = measure_removal(noisy, result)          meddenoise.trust.removal   how much noise is left
    trust = judge(values)

No reference is needed; where there is one, `meddenoise.trust.reference` measures against it. What noise of
the estimated level, spectrum and dependence would show is simulated, and most scores are relative to that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from meddenoise.trust.advice import LEVEL, METHOD, STRONGER, WEAKER, Tried, advise

Verdict = Literal["ok", "no effect", "look", "reject"]
SEVERITY: tuple[Verdict, ...] = ("reject", "look", "no effect", "ok")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of CHECKS: the value from which somebody should look at the image, or not use it.

    A value is worse the higher it is, or the lower where `falling`. None: the check never says so.
    """

    what: str
    found: str
    """The reason that a person reads; {value} and the {limit} that it reached are put in."""
    advice: tuple[str, ...]
    """Options to try next, the most likely first; of `trust.advice`."""
    look: float | None
    reject: float | None = None
    no_effect: float | None = None
    falling: bool = False

    def judge(self, value: float) -> Verdict:
        """The verdict on one value.

        >>> judge(Values({"structure_lost": 0.0})).verdict
        'ok'
        """
        sign = -1 if self.falling else 1
        for verdict, limit in self.limits.items():
            if limit is not None and sign * value >= sign * limit:
                return verdict
        return "ok"

    @property
    def limits(self) -> dict[Verdict, float | None]:
        """The value from which each verdict is given, the worst verdict first."""
        return {"reject": self.reject, "no effect": self.no_effect, "look": self.look}


CHECKS: Mapping[str, Check] = {
    "structure_lost": Check(
        "strongest spot of the input that the result lacks, over the strongest that noise makes",
        "structure was removed with the noise: a spot {value:.1f} times as strong as noise makes "
        "(limit {limit:g})",
        advice=(WEAKER, METHOD),
        look=1.25,
        reject=1.5,
    ),
    "structure_invented": Check(
        "strongest spot of the result that the input lacks, over the strongest that noise makes",
        "the result shows a spot that the input does not: it is {value:.1f} times as strong as noise makes "
        "(limit {limit:g})",
        advice=(METHOD,),
        look=1.2,
        reject=1.5,
    ),
    "edges_lost": Check(
        "power of the removed part, averaged along the edges of the result, over that of pure noise",
        "edges were removed with the noise: {value:.1f} times the power along them that noise has "
        "(limit {limit:g})",
        advice=(WEAKER,),
        look=1.3,
        reject=2.0,
    ),
    "mean_shift": Check(
        "largest shift of the mean of a range of brightness (a tissue), in noise standard deviations",
        "tissues changed their brightness, by up to {value:.2f} of the noise (limit {limit:g})",
        advice=(LEVEL, METHOD),
        look=0.55,
        reject=0.8,
    ),
    "lesion_survival": Check(
        "share of their contrast that small discs keep, put into the input just above the noise; median",
        "small discs just above the noise keep {value:.0%} of their contrast (limit {limit:.0%})",
        advice=(WEAKER,),
        look=0.34,
        reject=0.2,
        falling=True,
    ),
    "smoothing": Check(
        "shift of brightness over its limit, and the share of their contrast that small discs lose, "
        "added up; only if neither is a finding by itself",
        "tissues changed their brightness a little, and small discs lose some of their contrast ({value:.1f} "
        "together, limit {limit:g}): this is smoother than it should be",
        advice=(WEAKER,),
        look=1.1,
    ),
    "noise_left": Check(
        "share of the noise that is left in flat places; without any, that was not removed from the image",
        "{value:.0%} of the noise is left (limit {limit:.0%})",
        advice=(STRONGER, METHOD),
        look=0.42,
        no_effect=2 / 3,
    ),
    "grain_coarser": Check(
        "how far the mean frequency of the noise that is left has moved down",
        "the noise that is left looks blotchy: its mean frequency is {value:.0%} lower (limit {limit:.0%})",
        advice=(WEAKER,),
        look=0.3,
    ),
    "reference_lost": Check(
        "strongest spot of the reference that the result lacks, less the noise left there, over the "
        "strongest that noise makes",
        "a spot of the reference is missing, {value:.1f} times as strong as noise makes (limit {limit:g})",
        advice=(WEAKER, METHOD),
        look=0.9,
        reject=1.3,
    ),
    "reference_invented": Check(
        "strongest spot of the result that the reference lacks, less the noise left there, over the "
        "strongest that noise makes",
        "the result shows a spot that the reference does not: it is {value:.1f} times as strong as noise "
        "makes (limit {limit:g})",
        advice=(METHOD,),
        look=0.9,
        reject=1.3,
    ),
    "faint_lost": Check(
        "share of the faint spots of the reference that keep less than half of their contrast",
        "{value:.0%} of the faint spots of the reference lost more than half of their contrast "
        "(limit {limit:.0%})",
        advice=(WEAKER, METHOD),
        look=0.25,
        reject=0.75,
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
    """Measured values, by names of CHECKS, None for those without a value; and why."""

    values: dict[str, float | None]
    bins: tuple[Bin, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict, None where nothing could be measured, its reasons, and `advice` on what to try next."""

    verdict: Verdict | None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: dict[str, float | None] = field(default_factory=dict)
    bins: tuple[Bin, ...] = ()
    advice: tuple[str, ...] = ()


def judge(measured: Values, tried: Tried | None = None) -> Trust:
    """The worst verdict of all checks that have a value, with the reasons, the worst first.

    Nothing that was `tried` is advised again. "smoothing" is made of other checks, and added to the values.
    """
    measured = replace(measured, values=_with_smoothing(measured.values))
    known = {name: value for name, value in measured.values.items() if value is not None}
    verdicts = {name: CHECKS[name].judge(value) for name, value in known.items()}
    ranked = [name for verdict in SEVERITY[:-1] for name in CHECKS if verdicts.get(name) == verdict]
    worst = min(verdicts.values(), key=SEVERITY.index, default=None)
    wanted = [option for name in ranked if verdicts[name] == worst for option in CHECKS[name].advice]
    return Trust(
        worst,
        tuple(_reason(name, known[name], verdicts[name]) for name in ranked),
        measured.notes,
        measured.values,
        measured.bins,
        advise(wanted, tried or Tried()),
    )


def _reason(name: str, value: float, verdict: Verdict) -> str:
    check = CHECKS[name]
    return check.found.format(value=value, limit=check.limits[verdict])


def _with_smoothing(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The values and "smoothing", None where one of its parts is, or speaks for itself.

    Both are small where nothing but noise was taken, however much it was.
    """
    if values.get("mean_shift") is None:  # nothing was measured, or a reference says it better
        return dict(values)
    parts = [(CHECKS[name], values.get(name)) for name in ("mean_shift", "lesion_survival")]
    known = [(check, value) for check, value in parts if value is not None and check.judge(value) == "ok"]
    shares = [1 - value if check.falling else value / (check.look or 1.0) for check, value in known]
    return {**values, "smoothing": sum(shares) if len(shares) == len(parts) else None}
