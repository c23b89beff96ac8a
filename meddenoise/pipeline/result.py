"""A processed series and the report of it."""

from dataclasses import dataclass, field, replace

from meddenoise.engine.device import Device
from meddenoise.methods.choice import Choice
from meddenoise.noise import SeriesNoise
from meddenoise.series import Series
from meddenoise.trust import Trust
from meddenoise.trust.removal import Removal
from meddenoise.trust.series import Change, judge_change


@dataclass(frozen=True, slots=True)
class Result:
    """A denoised series and what there is to say about it; sigmas in the series' unit."""

    series: Series = field(repr=False)
    choice: Choice
    device: Device
    noise: SeriesNoise
    """That which the method was given."""
    seen_noise: SeriesNoise
    """That which the pixels of the input show."""
    seconds: float
    warnings: tuple[str, ...]
    removal: Removal | None = None
    """The noise before and after as measured; None for other tasks, and before it is judged."""
    done: dict[str, str | float] | None = None
    """`task`, and its `factor` or number of `pixels`, of tasks other than removing noise."""
    mode: str | None = None
    """"diffusion", or what its one pass is called, for methods with a sampler, as it ran; None for others."""
    uncertainty: Series | None = field(default=None, repr=False)
    """Standard deviation that each pixel is uncertain by, a float32 series, where it was asked for."""
    checks: dict[str, float | None] = field(default_factory=dict)
    """Self-checks of self-supervised methods without a reference: the table of `selfcheck`."""
    trust: Trust | None = None
    """The verdict on what was denoised; None for other tasks, and before it is judged."""
    modality: str = ""
    """Modality the series was taken for; empty if unknown."""
    modality_from: str = ""
    """Source of the modality, as a part of a sentence."""
    change: Change | None = field(default=None, repr=False)
    """Images to judge; None for other tasks, and after judging."""

    def judged(self) -> "Result":
        """The same with its verdict, for which the method runs again on some planes; as it is otherwise."""
        if self.change is None:
            return self
        found = judge_change(self.change)
        misfit = found.removal.misfit(self.series.unit)
        return replace(
            self,
            removal=found.removal,
            checks=found.checks.values,
            trust=found.trust,
            warnings=(*self.warnings, *found.checks.warnings, *filter(None, [misfit])),
            change=None,
        )
