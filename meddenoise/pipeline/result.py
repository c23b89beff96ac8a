"""A processed series and the report of it; the options of the engine."""

from dataclasses import dataclass, field

from meddenoise.engine import EngineOptions
from meddenoise.engine.device import Device
from meddenoise.methods.choice import Choice
from meddenoise.noise import SeriesNoise
from meddenoise.pipeline.options import Options
from meddenoise.series import Series
from meddenoise.trust import Trust
from meddenoise.trust.removal import Removal


@dataclass(frozen=True, slots=True)
class Result:
    """A denoised series and what there is to say about it; sigmas in the series' unit."""

    series: Series = field(repr=False)
    choice: Choice
    device: Device
    noise: SeriesNoise
    """That which the method was given."""
    seconds: float
    warnings: tuple[str, ...]
    removal: Removal | None = None
    """The noise before and after as measured; None for other tasks."""
    done: dict[str, str | float] | None = None
    """`task`, and its `factor` or number of `pixels`, of tasks other than removing noise."""
    mode: str | None = None
    """"diffusion", or what its one pass is called, for methods with a sampler, as it ran; None for others."""
    uncertainty: Series | None = field(default=None, repr=False)
    """Standard deviation that each pixel is uncertain by, a float32 series, where it was asked for."""
    checks: dict[str, float | None] = field(default_factory=dict)
    """What self-supervised methods are measured by without a reference: the table of `selfcheck`."""
    trust: Trust | None = None
    """The verdict on what was denoised; None for other tasks."""
    modality: str = ""
    """What the series was taken for; empty where nothing told."""
    modality_from: str = ""
    """Who or what told, as a part of a sentence."""


def engine_options(options: Options, device: Device) -> EngineOptions:
    """What of the options is for the engine."""
    return EngineOptions(
        device, options.tile, options.overlap, options.batch_size, options.seed, max(options.strength, 1.0)
    )
