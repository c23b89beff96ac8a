"""One series denoised: the whole story on one page."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from meddenoise.engine import Engine
from meddenoise.engine.device import Device, choose_device, fit
from meddenoise.engine.estimator import doubts
from meddenoise.engine.level import check_profile, expect_noise, map_noise, measure_series
from meddenoise.engine.neighbours import slices_help
from meddenoise.engine.planes import load_planes
from meddenoise.io.modality import Taken, take
from meddenoise.methods import MethodRow, Setup, rows
from meddenoise.methods.choice import Choice, choose
from meddenoise.noise import SeriesNoise
from meddenoise.noise.map_file import digest, read_noise_map
from meddenoise.normalize import fit_window
from meddenoise.pipeline.options import DEFAULTS, Options, check_options, choose_sampling
from meddenoise.pipeline.plan import Plan, Tick, ignore
from meddenoise.pipeline.result import Result
from meddenoise.series import Derivation, Image, Series
from meddenoise.version import __version__

ROUNDING = 12**-0.5
"""Standard deviation of rounding to whole stored values: less noise than that cannot be seen in integers."""


def denoise_series(series: Series, options: Options = DEFAULTS, tick: Tick = ignore) -> Result:
    """`series` with its noise removed, and judged: same header, geometry and pixel type, derivation added.

    `tick` is called with the number of planes finished since its last call, before every batch with 0; it may
    raise to stop. Raises as `prepare_denoising` and `Plan.run`.
    """
    return prepare_denoising(series, options).run(tick).judged()


def prepare_denoising(series: Series, options: Options) -> Plan:
    """The choice of method, weights and device for a series, and the noise of its planes.

    Raises UsageError for options that do not fit, UnsupportedError for a noise profile of other images, and
    WeightsError for a checkpoint that cannot be used.
    """
    started = perf_counter()
    taken = take(series, options.modality)
    choice, device = choose_for(taken.seen, options)
    noise, seen_noise = _noise_of(taken, options)
    noise = _with_neighbours(choice, noise, taken.seen)
    warnings = [*series.warnings, *taken.warnings, *choice.warnings]
    # nothing to do: what is left of the story is the report
    idle = options.strength == 0 or not _has_noise(taken.series, noise, warnings)
    setup = Setup(
        noise.middle,
        taken.seen.modality,
        checkpoint=choice.checkpoint,
        sampling=choose_sampling(options),
        window=fit_window(taken.seen),
        planes=noise,
    )
    row = rows().get(choice.method.name)
    return Plan(
        taken,
        options,
        choice,
        device,
        noise,
        seen_noise,
        setup,
        Denoising(taken.series, choice, options, noise, row),
        tuple(warnings),
        perf_counter() - started,
        idle,
        self_checked=row is not None and row.family == "self-supervised",
    )


@dataclass(frozen=True, slots=True)
class Denoising:
    """The work of removing noise; `row` is that of the method, None for one that is in no table."""

    grid: Series
    choice: Choice
    options: Options
    noise: SeriesNoise
    row: MethodRow | None
    done: None = None

    def feed(self, start: int, stop: int, context: int) -> tuple[Image, Image]:
        """Planes with the neighbours that the method wants, and their noise maps."""
        return load_planes(self.grid, start, stop, self.noise, context)

    def finish(self, planes: Image, start: int) -> Image:
        """The planes as they are."""
        return planes

    def derive(self, device: Device) -> Derivation:
        """All settings but the device: the same study denoised again elsewhere stays the same object."""
        method, options = self.choice.method.name, self.options
        by_map = options.noise_map is not None
        settings = {
            **asdict(options),
            "method": method,
            "weights": self.choice.checkpoint.sha256 if self.choice.checkpoint else None,
            "sigma": self.noise.sigma,
            "noise_map": digest(self.noise) if by_map else None,
            "precision": device.precision,
            "version": __version__,
        }
        del settings["device"]
        description = (
            f"Noise reduced by meddenoise {__version__}, method {method}, "
            f"noise level {_words(self.noise)}{' by a map' if by_map else ''}, "
            f"strength {options.strength:g}. Not for diagnostic use."
        )
        return Derivation(method, description, json.dumps(settings, sort_keys=True))

    def warnings(self, engine: Engine) -> tuple[str, ...]:
        """Those of the engine, and one if a method for cines has no cine."""
        for_slices = self.row is not None and not self.row.temporal
        if not engine.context or self.grid.is_cine or for_slices:
            return tuple(engine.warnings)
        name = self.choice.method.name
        without = f"no cine of several frames: {name} works on each by itself, with less to go by."
        return (without, *engine.warnings)

    def mode(self, ran: str | None) -> str | None:
        """The mode of a method with a sampler, its one pass by the name its row gives it; None for others."""
        if self.row is None or not self.row.sampler:
            return None
        return self.row.one_pass if ran == "distilled" else ran


def choose_for(series: Series, options: Options) -> tuple[Choice, Device]:
    """Method, checkpoint and device for a series, by the modality it is taken for.

    Methods without weights are filters for the CPU in full precision, unless the options say otherwise.
    What `auto` chose must fit the other options too.

    Raises UsageError and WeightsError as `prepare_denoising`.
    """
    choice = choose(options.method, options.asked_weights, series.modality, series.is_cine)
    check_options(replace(options, method=choice.method.name))
    name, precision = options.device, options.precision
    is_filter = not choice.method.uses_weights
    if is_filter and precision == "auto":
        precision = "fp32"
    if is_filter and name == "auto":
        device = replace(choose_device("cpu", precision), reason="filters run on the CPU")
    else:
        device = choose_device(name, precision)
    return choice, fit(device, choice.method, choose_sampling(options), series.pixels.size)


def _noise_of(taken: Taken, options: Options) -> tuple[SeriesNoise, SeriesNoise]:
    """The noise that the method is given, and that which the pixels show, measured once for both."""
    profile, given = options.noise_profile, None
    # no profile is refused because of a guess
    if profile is not None:
        check_profile(taken.series, profile)
    if options.noise_map is not None:
        given = read_noise_map(Path(options.noise_map), taken.seen)
    measured = measure_series(taken.seen)
    seen = measured.steadied()
    if profile is not None:
        return expect_noise(taken.series, profile, measured), seen
    if given is not None:
        return map_noise(seen, given), seen
    return seen if options.sigma is None else seen.with_sigma(options.sigma), seen


def _with_neighbours(choice: Choice, noise: SeriesNoise, series: Series) -> SeriesNoise:
    """The noise, which says whether a network for slices with their neighbours is given these; one that does
    not know motion gets no frames."""
    checkpoint = choice.checkpoint
    several = checkpoint is not None and checkpoint.metadata.network_options.get("frames", 1) > 1
    row = rows().get(choice.method.name)
    if not several or row is None or row.temporal:
        return noise
    return replace(noise, neighbours=slices_help(series))


def _has_noise(series: Series, noise: SeriesNoise, warnings: list[str]) -> bool:
    """False, and a warning, where there is no more noise than rounding makes."""
    is_float = series.pixels.dtype.kind == "f"
    floor = 0.0 if is_float else ROUNDING * float(np.abs(series.slope).max(initial=0))
    warnings += doubts(noise.planes)
    if noise.range()[1] > floor:
        return True
    warnings.append(
        f"no noise to remove (level {noise.sigma:.3g}{f' {series.unit}' if series.unit else ''}): "
        "the pixels are left as they are; give --sigma if you know better."
    )
    return False


def _words(noise: SeriesNoise) -> str:
    """The level of all planes, or the lowest and highest where those differ."""
    low, high = (f"{level:.4g}" for level in noise.range())
    return low if low == high else f"{low} to {high} by plane"
