"""Options of a denoising run, and checks that they fit together."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from meddenoise.errors import UsageError
from meddenoise.io.modality import check_code
from meddenoise.methods import MethodRow, Sampling, rows
from meddenoise.trust.advice import Tried

if TYPE_CHECKING:
    from meddenoise.noise.profile import NoiseProfile

FACTORS = (2.0, 16.0)
"""Smallest and largest factor of "upscale" that its network was trained for."""
STRONGEST = 2.0
QUALITIES = ("fast", "standard", "best")
SMALL = "direct-fast"
"""The checkpoint of the quality "fast"."""
_KINDS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (str, "text", ("method", "quality", "mode", "modality", "device", "precision", "task")),
    (
        Integral,
        "a whole number",
        ("steps", "samples", "seed", "tile", "overlap", "batch_size", "blind_radius"),
    ),
    (Real, "a number", ("sigma", "strength", "factor")),
)
"""Kinds of options, in words, and their names."""
_DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that can change the pixels. None leaves it to the method."""

    method: str = "auto"
    weights: str | None = None
    quality: str = "standard"
    """Of one pass: "fast" takes a smaller network, "best" the mean over the plane rotated and mirrored."""
    mode: str | None = None
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    sigma: float | None = None
    """Noise standard deviation in the image's unit; None estimates it."""
    noise_profile: "NoiseProfile | None" = None
    """The noise of the device, in place of an estimate of level, spectrum and dependence."""
    noise_map: str | None = None
    """Path of a map of the noise's standard deviation in the image's unit, in place of an estimated level."""
    modality: str | None = None
    """DICOM code of what files that state none show; None guesses it."""
    strength: float = 1.0
    """Up to 1 the share of the change that is made; beyond, how much more noise than estimated is assumed."""
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    overlap: int | None = None
    batch_size: int | None = None
    fusion: bool = True
    """False leaves out the last step of methods that weigh their result against the noisy image."""
    blind_radius: int | None = None
    """In pixels, of methods with a blind-spot network; None measures how far the noise is correlated."""
    uncertainty: bool = False
    """Also give a map of uncertainty; the sampler makes it, whichever makes the image."""
    task: Literal["denoise", "upscale", "inpaint"] = "denoise"
    """Kind of processing; each but denoising has only one method."""
    factor: float = 1.0
    """Pixels of the result in one of the input, along rows and along columns; of the task "upscale"."""
    grain: bool = False
    """Of the task "inpaint": add made-up noise like that around it to what is filled in."""

    @property
    def asked_weights(self) -> str | None:
        """The checkpoint that was asked for, by its name or by the quality."""
        return SMALL if self.quality == "fast" else self.weights

    @property
    def share(self) -> float:
        """The share of the change that is made."""
        return min(self.strength, 1.0)

    def tried(self, method: str) -> Tried:
        """The options that advice after a run of `method` goes by."""
        level = (self.sigma, self.noise_map, self.noise_profile)
        return Tried(method, self.strength, any(one is not None for one in level))


DEFAULTS = Options()


def check_options(options: Options) -> None:
    """Raises UsageError for a value out of range, or one that the method has no use for.

    What `auto` has use for shows once it stands for a method: `pipeline.prepare` asks again then.
    """
    _check_kinds(options)
    for option, value, least in (
        ("--steps", options.steps, 1),
        ("--samples", options.samples, 1),
        ("--seed", options.seed, 0),
        ("--tile", options.tile, 16),
        ("--overlap", options.overlap, 0),
        ("--batch-size", options.batch_size, 1),
        ("--blind-radius", options.blind_radius, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{option} is {value}: give {least} or more.")
    _check_noise(options)
    if not 0 <= options.strength <= STRONGEST:
        raise UsageError(
            f"--strength is {options.strength}: give 0 (the input) to 1 (the full result), or up to "
            f"{STRONGEST:g} (as if there were that much more noise)."
        )
    if options.tile is not None and options.overlap is not None and options.overlap >= options.tile:
        raise UsageError(f"--overlap is {options.overlap} with tiles of {options.tile}: give less.")
    if options.precision not in ("auto", "fp32", "bf16"):
        raise UsageError(f"--precision is {options.precision!r}: give auto, fp32 or bf16.")
    if not _DEVICES.fullmatch(options.device):
        raise UsageError(f"--device is {options.device!r}: give auto, cpu, cuda, cuda:N or mps.")
    if options.task == "upscale" and not FACTORS[0] <= options.factor <= FACTORS[1]:
        raise UsageError(f"--factor is {options.factor:g}: give {FACTORS[0]:g} to {FACTORS[1]:g}.")
    _check_mode(options)
    _check_quality(options)
    row = rows().get(options.method)
    if row is not None:
        _check_method(options, row)


def choose_sampling(options: Options) -> Sampling:
    """Sampler settings from the options: whatever only a sampler can do selects it."""
    mode = "diffusion" if _needing_sampler(options) else options.mode
    return Sampling(
        cast(Literal["distilled", "diffusion"] | None, mode),
        options.steps,
        options.samples,
        options.fusion,
        options.blind_radius,
        options.quality == "best",
    )


def _check_kinds(options: Options) -> None:
    """Raises UsageError for a value of another kind: no command line gives one, but a script may."""
    for kind, what, names in _KINDS:
        for name in names:
            value = getattr(options, name)
            if value is None and getattr(DEFAULTS, name) is None:
                continue
            if not isinstance(value, kind):
                raise UsageError(f"{name} of Options is {value!r}: give {what}.")


def _check_noise(options: Options) -> None:
    """Raises UsageError where noise or modality given are of no use or given twice."""
    if options.sigma is not None and not (math.isfinite(options.sigma) and options.sigma >= 0):
        raise UsageError(f"--sigma is {options.sigma}: give auto, or a noise level of 0 or more.")
    levels = {
        "--sigma": options.sigma,
        "--noise-profile": options.noise_profile,
        "--noise-map": options.noise_map,
    }
    given = [option for option, value in levels.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} each give the level of the noise: leave all but one out.")
    if options.noise_map is not None and not Path(options.noise_map).exists():
        raise UsageError(f"--noise-map {options.noise_map} does not exist: give an image or its folder.")
    if options.modality is not None:
        check_code(options.modality)


def _check_method(options: Options, row: MethodRow) -> None:
    """Raises UsageError for an option that the method has no use for.

    Classical methods choose widths, thresholds or when to stop by what they are given: on an MR phantom of
    160 x 160 pixels `median` changed by up to 6 sigmas in tiles of 64, `bm3d` by 0.4 even in tiles of 128.
    """
    asked = _asking_for_sampler(options) + ["--uncertainty"] * options.uncertainty
    if asked and not row.sampler:
        raise UsageError(
            f"{asked[0]} needs a method with a sampler, and {options.method!r} works in one pass: "
            f"leave it out ({_having('methods with a sampler', lambda other: other.sampler)})."
        )
    blind = {"--no-fusion": not options.fusion, "--blind-radius": options.blind_radius is not None}
    for option, given in blind.items():
        if given and not row.fusion:
            raise UsageError(
                f"{option} needs a method with a blind-spot network, and {options.method!r} has none: "
                f"leave it out ({_having('methods with fusion', lambda other: other.fusion)})."
            )
    tiles = {"--tile": options.tile, "--overlap": options.overlap}
    for option, pixels in tiles.items():
        if pixels is not None and row.family == "classical":
            raise UsageError(
                f"{option} needs a method with a network, and {options.method!r} fits itself to the whole "
                "plane, so that tiles would show: leave it out."
            )


def _check_mode(options: Options) -> None:
    if options.mode not in (None, "distilled", "diffusion"):
        raise UsageError(f"--mode is {options.mode!r}: give distilled or diffusion.")
    asked = _needing_sampler(options)
    if options.mode == "distilled" and asked:
        raise UsageError(
            f"{asked[0]} needs the sampler, and --mode distilled is one pass: leave one of them out."
        )


def _check_quality(options: Options) -> None:
    """Raises UsageError for a quality that there is not, or that does not go with what else is asked."""
    if options.quality not in QUALITIES:
        raise UsageError(
            f"--quality is {options.quality!r}: give {', '.join(QUALITIES[:-1])} or {QUALITIES[-1]}."
        )
    sampler = _asking_for_sampler(options)
    if options.quality != "standard" and sampler:
        raise UsageError(
            f"--quality {options.quality} is for one pass, {sampler[0]} for the sampler: leave one out."
        )
    if options.quality == "fast" and options.weights is not None:
        raise UsageError("--quality fast has its own checkpoint: leave out --weights, or --quality.")
    if options.quality == "fast" and options.method not in ("auto", "direct"):
        raise UsageError(
            f"--quality fast is a smaller network of 'direct', not of {options.method!r}: leave it out."
        )
    row = rows().get(options.method)
    if options.quality == "best" and row is not None and not row.averages:
        raise UsageError(
            f"--quality best needs a network of one pass, and {options.method!r} has none: "
            f"leave it out ({_having('methods with one', lambda other: other.averages)})."
        )


def _needing_sampler(options: Options) -> list[str]:
    """The options given that ask for an image of the sampler by what they mean."""
    given = {"--steps": options.steps is not None, "--samples": options.samples > 1}
    return [option for option, is_given in given.items() if is_given]


def _asking_for_sampler(options: Options) -> list[str]:
    return ["--mode diffusion"] if options.mode == "diffusion" else _needing_sampler(options)


def _having(what: str, has: Callable[[MethodRow], bool]) -> str:
    names = [name for name, row in rows().items() if has(row)]
    return f"{what}: {', '.join(names) or 'none'}"
