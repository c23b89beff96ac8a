"""Options to try after a verdict: alternatives, the most likely first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WEAKER, STRONGER, LEVEL, METHOD = (
    "--strength 0.6",
    "--sigma with a higher level",
    "--sigma with the level you know",
    "--method {other}",
)
"""Options that a check may advise."""
WEAK = 0.6
"""Strength of WEAKER."""
OTHER = "another --method"
"""METHOD where nobody knows which one ran."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Options of the run that made a result; `method` is empty if unknown, `level` says that it was given."""

    method: str = ""
    strength: float = 1.0
    level: bool = False


def advise(wanted: Sequence[str], tried: Tried) -> tuple[str, ...]:
    """Alternatives of those `wanted`, one entry per check, that were not tried, the most wanted first.

    Stronger and weaker at once is neither: only another method can be better in both. Where nothing is left,
    another method is.
    """
    counts = Counter(wanted)
    if WEAKER in counts and STRONGER in counts:
        counts = Counter({METHOD: 1})
    if tried.strength <= WEAK:
        del counts[WEAKER]
    if tried.level or STRONGER in counts:
        del counts[LEVEL]
    ordered = [option for option, _ in counts.most_common()] or ([METHOD] if wanted else [])
    return tuple(_as_run(option, tried) for option in ordered)


def _as_run(option: str, tried: Tried) -> str:
    """The option as one would type it after a run."""
    if option == METHOD:
        return METHOD.format(other="direct" if tried.method == "nlm" else "nlm") if tried.method else OTHER
    if (option == STRONGER and tried.strength < 1) or (option == WEAKER and tried.strength > 1):
        return "--strength 1"
    return option


def say_advice(advice: Sequence[str]) -> str:
    """The alternatives as part of a sentence; empty without any.

    >>> say_advice(["--strength 0.6", "--method nlm"])
    'try one of: --strength 0.6 or --method nlm'
    """
    if not advice:
        return ""
    if len(advice) == 1:
        return f"try {advice[0]}"
    return f"try one of: {', '.join(advice[:-1])} or {advice[-1]}"
