"""One series on a finer grid, or with a part filled in, by a conditional diffusion network."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import numpy as np
from torch import from_numpy
from torch.nn.functional import interpolate

from meddenoise.engine import Engine
from meddenoise.engine.device import Device, choose_device, fit
from meddenoise.engine.level import estimate_series
from meddenoise.engine.planes import shown
from meddenoise.errors import UnsupportedError
from meddenoise.io.limits import allocate
from meddenoise.io.modality import take
from meddenoise.io.raster import resample
from meddenoise.methods import Denoiser, Setup
from meddenoise.methods.choice import Choice, choose_weights
from meddenoise.methods.medcdiff import TILE, load_restorer
from meddenoise.noise import SeriesNoise
from meddenoise.normalize import fit_window
from meddenoise.pipeline.filled import add_grain, smooth_filled
from meddenoise.pipeline.options import Options, choose_sampling
from meddenoise.pipeline.plan import Plan
from meddenoise.series import INPAINTED, UPSCALED, Derivation, Geometry, Image, Mask, Series, fill_holes
from meddenoise.version import __version__

GENERATED = "what it shows beyond the measured pixels is generated: not for diagnostic use."

MOST = 32767
"""Rows or columns that every format can hold."""


@dataclass(frozen=True, slots=True)
class Restorer:
    """The method of a task, as the engine loads methods."""

    options: Options
    uses_weights: bool = True
    tile: int | None = TILE

    @property
    def name(self) -> str:
        """That of its checkpoints."""
        return f"medcdiff-{self.options.task}"

    def load(self, setup: Setup) -> Denoiser:
        """The denoiser of one series. Raises as `load_restorer`."""
        assert self.options.task != "denoise"
        return load_restorer(setup, self.options.task, self.options.factor)


def prepare_restoring(series: Series, options: Options, hole: Mask | None) -> Plan:
    """The choice of weights and device for the task of the options, "upscale" or "inpaint".

    The result is on a grid `options.factor` times as fine, or has `hole` [N, Y, X] filled in; known pixels of
    an inpainted series keep every bit.

    Raises UnsupportedError for colour and for a grid too large, UsageError for options that do not fit and
    WeightsError for a checkpoint that cannot be used.
    """
    started = perf_counter()
    if series.channels != 1:
        raise UnsupportedError(f"{series.first_file} is in colour: convert it to grey levels first.")
    taken = take(series, options.modality)
    choice = choose_restorer(taken.seen, options)
    source = taken.series
    grid = source if hole is not None else refine(source, _checked_shape(source, options.factor))
    sampling = choose_sampling(options)
    device = choose_device(options.device, options.precision)
    device = fit(device, choice.method, sampling)
    setup = Setup(
        modality=taken.seen.modality,
        checkpoint=choice.checkpoint,
        sampling=sampling,
        window=fit_window(taken.seen),
    )
    noise = estimate_series(source)
    return Plan(
        taken,
        options,
        choice,
        device,
        noise,
        noise,
        setup,
        Restoring(grid, source, hole, choice, options, noise),
        (*source.warnings, *taken.warnings, *choice.warnings),
        perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class Restoring:
    """The work of upscaling `source` to `grid`, or of filling in the `hole` [N, Y, X]."""

    grid: Series
    source: Series
    hole: Mask | None
    choice: Choice
    options: Options
    noise: SeriesNoise
    """Of the source: that of the grain."""

    @property
    def done(self) -> dict[str, str | float]:
        """The task with its factor, or with the number of pixels filled in."""
        task = self.options.task
        if self.hole is None:
            return {"task": task, "factor": self.options.factor}
        count = int((self.hole & self.source.valid(0, len(self.source))).sum())
        done: dict[str, str | float] = {"task": task, "pixels": count}
        return done | {"grain": "made up"} if self.options.grain else done

    def feed(self, start: int, stop: int, context: int) -> tuple[Image, Image]:
        """Planes on the grid of the result, bright where it is shown bright; their level says nothing."""
        source = self.source
        valid = source.valid(start, stop)
        filled = shown(source, fill_holes(source.values(start, stop), valid))[:, None]
        if self.hole is not None:
            planes: Image = np.concatenate([filled, self.hole[start:stop, None].astype(np.float32)], axis=1)
        else:
            tensor, size = from_numpy(np.ascontiguousarray(filled)), self.grid.pixels.shape[1:]
            planes = interpolate(tensor, size=size, mode="bicubic", align_corners=False).numpy()
        return planes, np.ones((len(planes), *planes.shape[2:]), np.float32)

    def finish(self, planes: Image, start: int) -> Image:
        """Planes filled by one pass, smoothed, with grain if asked for; those of the sampler as they are."""
        if self.hole is None:
            return planes
        hole = self.hole[start : start + len(planes)]
        if choose_sampling(self.options).mode != "diffusion":
            planes = smooth_filled(planes, hole)
        if not self.options.grain:
            return planes
        valid = self.source.valid(start, start + len(planes))
        return add_grain(planes, hole, valid, self.noise, start, self.options.seed)

    def derive(self, device: Device) -> Derivation:
        """All settings but the device, with a digest of what was to be filled in."""
        options, hole = self.options, self.hole
        settings = asdict(options) | {
            "marked": None if hole is None else hashlib.sha256(np.packbits(hole).tobytes()).hexdigest(),
            "weights": self.choice.checkpoint.sha256 if self.choice.checkpoint else None,
            "precision": device.precision,
            "version": __version__,
        }
        del settings["device"]
        is_finer = options.task == "upscale"
        done = f"Upscaled {options.factor:g} times in plane" if is_finer else "Partly filled in"
        method = self.choice.method.name
        grain = ", with made-up grain" if options.grain else ""
        description = f"{done}{grain} by meddenoise {__version__}, method {method}; {GENERATED}"
        return Derivation(method, description, json.dumps(settings, sort_keys=True), _verb(options))

    def warnings(self, engine: Engine) -> tuple[str, ...]:
        """Those of the engine, what is generated, and marked pixels that are no image and so stay."""
        grain = ", with grain that is made up" if self.options.grain else ""
        warnings = (*engine.warnings, f"{_verb(self.options)}{grain}: {GENERATED}")
        if self.hole is None:
            return warnings
        count = int((self.hole & ~self.source.valid(0, len(self.source))).sum())
        left_out = f"{count} marked pixels are padding or not numbers: they stay as they are."
        return (*warnings, left_out) if count else warnings

    def mode(self, ran: str | None) -> str | None:
        """As it ran."""
        return ran


def choose_restorer(series: Series, options: Options) -> Choice:
    """The method of the task with its checkpoint for the series.

    Raises UsageError and WeightsError as `choice.choose`.
    """
    return choose_weights(Restorer(options), options.weights, series.modality)


def _checked_shape(series: Series, factor: float) -> tuple[int, int]:
    shape = finer_shape(series, factor)
    if max(shape) > MOST:
        raise UnsupportedError(
            f"{series.path} would have {shape[0]} x {shape[1]} pixels, more than {MOST} a side: "
            "give a smaller --factor."
        )
    return shape


def _verb(options: Options) -> str:
    return UPSCALED if options.task == "upscale" else INPAINTED


def finer_shape(series: Series, factor: float) -> tuple[int, int]:
    """Rows and columns of the series `factor` times as fine, rounded."""
    rows, columns = series.pixels.shape[1:]
    return round(rows * factor), round(columns * factor)


def refine(series: Series, shape: tuple[int, int]) -> Series:
    """`series` on a grid of `shape` (rows, columns): each stored pixel the nearest of the source.

    The corners of the field of view stay where they are; spacing and the centre of the first pixel follow.
    Raises InputError where it would not fit into memory.
    """
    count, rows, columns = series.pixels.shape
    pixels = allocate((count, *shape), series.pixels.dtype, series.path)
    for n, plane in enumerate(series.pixels):
        pixels[n] = resample(plane, shape)
    finer = shape[0] / rows, shape[1] / columns
    return replace(series, pixels=pixels, geometry=_refined(series.geometry, finer), finer=finer)


def _refined(geometry: Geometry, finer: tuple[float, float]) -> Geometry:
    step, rows, columns = geometry.spacing_mm
    new = step, rows / finer[0], columns / finer[1]
    origin = np.array(geometry.origin_mm)
    for axis, before, after in zip(geometry.axes[1:], geometry.spacing_mm[1:], new[1:], strict=True):
        origin = origin + np.array(axis) * (after - before) / 2
    x, y, z = map(float, origin)
    return replace(geometry, spacing_mm=new, origin_mm=(x, y, z))
