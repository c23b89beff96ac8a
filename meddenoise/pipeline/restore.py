"""One series on a finer grid, or with a part filled in, by a conditional diffusion network."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from torch import from_numpy
from torch.nn.functional import interpolate

from meddenoise.engine import Engine, Planes
from meddenoise.engine.device import choose_device
from meddenoise.engine.level import estimate_series
from meddenoise.engine.planes import as_map, chunks, shown, store_planes
from meddenoise.errors import UnsupportedError
from meddenoise.io.limits import allocate
from meddenoise.io.masks import Mask
from meddenoise.io.modality import take
from meddenoise.io.raster import resample
from meddenoise.io.scratch import copy_planes, release
from meddenoise.methods import Denoiser, Setup
from meddenoise.methods.choice import Choice, choose_weights
from meddenoise.methods.medcdiff import TILE, load_restorer
from meddenoise.normalize import fit_window
from meddenoise.pipeline.options import Options, choose_sampling
from meddenoise.pipeline.result import Result, engine_options
from meddenoise.series import INPAINTED, UPSCALED, Derivation, Geometry, Series, fill_holes
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


def restore_series(
    series: Series,
    options: Options,
    hole: Mask | None,
    tick: Callable[[int], None] = lambda planes: None,
) -> Result:
    """`series` on a grid `options.factor` times as fine, or with `hole` [N, Y, X] filled in.

    By `options.task`, "upscale" or "inpaint". Known pixels of an inpainted series keep every bit. `tick` as
    of `denoise_series`.

    Raises UnsupportedError for colour and for a grid too large, the rest as `denoise_series`.
    """
    started = perf_counter()
    if series.channels != 1:
        raise UnsupportedError(f"{series.path} is in colour: convert it to grey levels first.")
    taken = take(series, options.modality)
    series = taken.series
    choice = choose_restorer(taken.seen, options)
    grid = series if hole is not None else refine(series, _checked_shape(series, options.factor))
    device = choose_device(options.device, options.precision)
    setup = Setup(
        modality=taken.seen.modality,
        checkpoint=choice.checkpoint,
        sampling=choose_sampling(options),
        window=fit_window(taken.seen),
    )
    engine = Engine(choice.method, setup, engine_options(options, device), lambda: tick(0))
    pixels, spread = _run(engine, series, grid, hole, options, tick)
    marked = None if hole is None else hashlib.sha256(np.packbits(hole).tobytes()).hexdigest()
    result = grid.with_pixels(pixels, _describe(choice, options, engine.device.precision, marked))
    return Result(
        series=result,
        choice=choice,
        device=engine.device,
        noise=estimate_series(series),
        seconds=perf_counter() - started,
        warnings=(
            *(*series.warnings, *taken.warnings, *choice.warnings, *engine.warnings),
            f"{_verb(options)}: {GENERATED}",
            *_left_out(series, hole),
        ),
        modality=taken.seen.modality,
        modality_from=taken.why,
        mode="diffusion" if engine.samples else "distilled",
        uncertainty=None if spread is None else as_map(result, spread),
        done=_done(options, hole, series),
    )


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


def _run(
    engine: Engine,
    series: Series,
    grid: Series,
    hole: Mask | None,
    options: Options,
    tick: Callable[[int], None],
) -> tuple[NDArray[np.generic], Planes | None]:
    """Stored pixels of the result, and how uncertain they are where that was asked for."""
    pixels = copy_planes(grid.pixels, series.path)
    spread = np.zeros(pixels.shape, np.float32) if options.uncertainty else None
    for start, stop in chunks(grid, engine):
        planes = _planes(series, grid, hole, start, stop)
        made = engine.run(planes, np.ones((len(planes), *planes.shape[2:]), np.float32), start)
        pixels[start:stop] = store_planes(grid, start, stop, shown(series, made.clean), options.strength)
        if spread is not None and made.spread is not None:
            spread[start:stop] = np.where(grid.valid(start, stop), options.strength * made.spread, 0)
        release(series.pixels, grid.pixels, pixels)
        tick(stop - start)
    return pixels, spread


def _planes(series: Series, grid: Series, hole: Mask | None, start: int, stop: int) -> Planes:
    """What the network is given, [N, C, Y, X] on the grid of the result, bright where it is shown bright."""
    filled = shown(series, fill_holes(series.values(start, stop), series.valid(start, stop)))[:, None]
    if hole is not None:
        return np.concatenate([filled, hole[start:stop, None].astype(np.float32)], axis=1)
    size = grid.pixels.shape[1:]
    finer: Planes = interpolate(
        from_numpy(np.ascontiguousarray(filled)), size=size, mode="bicubic", align_corners=False
    ).numpy()
    return finer


def _left_out(series: Series, hole: Mask | None) -> tuple[str, ...]:
    """A warning where pixels are marked that hold no image, and so are not filled in."""
    count = 0 if hole is None else int((hole & ~series.valid(0, len(series))).sum())
    if not count:
        return ()
    return (f"{count} marked pixels are padding or no numbers, no image: they stay as they are.",)


def _done(options: Options, hole: Mask | None, series: Series) -> dict[str, str | float]:
    """What was done, in numbers."""
    if hole is None:
        return {"task": options.task, "factor": options.factor}
    return {"task": options.task, "pixels": int((hole & series.valid(0, len(series))).sum())}


def _verb(options: Options) -> str:
    return UPSCALED if options.task == "upscale" else INPAINTED


def _describe(choice: Choice, options: Options, precision: str, marked: str | None) -> Derivation:
    """What was done; `marked` is a digest of what was to be filled in."""
    settings = asdict(options) | {
        "marked": marked,
        "weights": choice.checkpoint.sha256 if choice.checkpoint else None,
        "precision": precision,
        "version": __version__,
    }
    del settings["device"]
    done = f"Upscaled {options.factor:g} times in plane" if options.task == "upscale" else "Partly filled in"
    method = choice.method.name
    description = f"{done} by meddenoise {__version__}, method {method}; {GENERATED}"
    return Derivation(method, description, json.dumps(settings, sort_keys=True), _verb(options))


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
