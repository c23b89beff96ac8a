"""What a user may ask of a denoising run, and whether it fits together."""

import math
import re
from dataclasses import dataclass

from meddenoise.errors import UsageError
from meddenoise.methods import rows

_DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that can change the pixels. None leaves it to the method."""

    method: str = "auto"
    weights: str | None = None
    mode: str | None = None
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    sigma: float | None = None
    """Noise standard deviation in the image's unit; None estimates it."""
    strength: float = 1.0
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    overlap: int | None = None
    batch_size: int | None = None


DEFAULTS = Options()


def check_options(options: Options, *, uncertainty: bool = False) -> None:
    """Raises UsageError for a value out of range, or one that the method has no use for."""
    for option, value, least in (
        ("--steps", options.steps, 1),
        ("--samples", options.samples, 1),
        ("--seed", options.seed, 0),
        ("--tile", options.tile, 16),
        ("--overlap", options.overlap, 0),
        ("--batch-size", options.batch_size, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{option} is {value}: give {least} or more.")
    if options.sigma is not None and not (math.isfinite(options.sigma) and options.sigma >= 0):
        raise UsageError(f"--sigma is {options.sigma}: give auto, or a noise level of 0 or more.")
    if not 0 <= options.strength <= 1:
        raise UsageError(f"--strength is {options.strength}: give 0 (the input) to 1 (the full result).")
    if options.tile is not None and options.overlap is not None and options.overlap >= options.tile:
        raise UsageError(f"--overlap is {options.overlap} with tiles of {options.tile}: give less.")
    if options.precision not in ("auto", "fp32", "bf16"):
        raise UsageError(f"--precision is {options.precision!r}: give auto, fp32 or bf16.")
    if not _DEVICES.fullmatch(options.device):
        raise UsageError(f"--device is {options.device!r}: give auto, cpu, cuda, cuda:N or mps.")
    if options.mode not in (None, "distilled", "diffusion"):
        raise UsageError(f"--mode is {options.mode!r}: give distilled or diffusion.")
    _check_sampler(options, uncertainty)


def _check_sampler(options: Options, uncertainty: bool) -> None:
    asked = {
        "--mode diffusion": options.mode == "diffusion",
        "--steps": options.steps is not None,
        "--samples": options.samples > 1,
        "--uncertainty": uncertainty,
    }
    samplers = [name for name, row in rows().items() if row.family == "diffusion"]
    for option, given in asked.items():
        if given and options.method not in samplers:
            have = (
                f"methods that draw samples: {', '.join(samplers)}" if samplers else "no method has one yet"
            )
            raise UsageError(
                f"{option} needs a method with a sampler, and {options.method!r} works in one pass: "
                f"leave it out ({have})."
            )
