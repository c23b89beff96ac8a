"""One series with all that is chosen and estimated for it, and the run over its planes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine import Denoised, Engine, EngineOptions
from meddenoise.engine.device import Device
from meddenoise.engine.planes import as_map, chunks, shown, store_planes
from meddenoise.errors import UsageError
from meddenoise.io.modality import Taken
from meddenoise.io.scratch import copy_planes, make_planes, release
from meddenoise.methods import Sampling, Setup
from meddenoise.methods.choice import Choice
from meddenoise.noise import SeriesNoise
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.result import Result
from meddenoise.series import Derivation, Image, Series
from meddenoise.trust.series import Change, Run

Tick = Callable[[int], None]
"""Called with the planes finished since its last call, before every batch with 0; it may raise to stop."""


def ignore(planes: int) -> None:
    """The tick of callers that follow no progress."""


class Work(Protocol):
    """The parts of a task that differ from other tasks."""

    @property
    def grid(self) -> Series:
        """The series that results, before its pixels are computed."""

    @property
    def done(self) -> dict[str, str | float] | None:
        """Numbers of the work done; None for denoising."""

    def feed(self, start: int, stop: int, context: int) -> tuple[Image, Image]:
        """Input of the engine for some planes: [N, C, Y, X], and noise maps [N, Y, X]."""

    def finish(self, planes: Image, start: int) -> Image:
        """Planes [N, Y, X] that the method gave, the first the plane `start`, as they are stored."""

    def derive(self, device: Device) -> Derivation:
        """The line of history of the result."""

    def warnings(self, engine: Engine) -> tuple[str, ...]:
        """Warnings of a run, those of the engine included."""

    def mode(self, ran: str | None) -> str | None:
        """The name that a report gives to the mode it ran in."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Chosen once, estimated once: what `run` needs, and what a caller may announce before it."""

    taken: Taken
    options: Options
    choice: Choice
    device: Device
    noise: SeriesNoise
    """That which the method is given."""
    seen_noise: SeriesNoise
    """That which the pixels show."""
    setup: Setup
    work: Work
    warnings: tuple[str, ...]
    seconds: float
    """Time that preparing took."""
    idle: bool = False
    """True where there is nothing to do: the pixels stay as they are."""
    self_checked: bool = False
    """True for methods that learn from noisy images, whose result is checked without a reference."""

    def run(self, tick: Tick = ignore) -> Result:
        """The result, not yet judged. Only some planes at a time are converted from the stored type.

        Raises WeightsError for a checkpoint that does not fit and MeddenoiseError where memory does not
        suffice for a single tile.
        """
        started, grid = perf_counter(), self.work.grid
        if self.idle:
            made = _leave(grid, self.options.uncertainty)
            tick(len(grid))
            return self._report(made, None, self.seconds + perf_counter() - started)
        engine = self._engine(self.setup.sampling, tick)
        made = _make_room(grid, self.options.uncertainty)
        sampler = engine
        if self.options.uncertainty and not engine.samples:
            sampler = self._engine(replace(self.setup.sampling, mode="diffusion", averaged=False), tick)
        for start, stop in chunks(grid, engine):
            planes, sigma = self.work.feed(start, stop, engine.context)
            denoised = engine.run(planes, sigma, start)
            # where a map says that there is no noise, no method has a say
            clean = np.where(sigma > 0, denoised.clean, planes[:, engine.context])
            clean = self.work.finish(shown(grid, clean), start)
            made.pixels[start:stop] = store_planes(grid, start, stop, clean, self.options.share)
            if made.spread is not None:
                if sampler is not engine:
                    fed = self.work.feed(start, stop, sampler.context)
                    denoised = _about(denoised, sampler.run(*fed, start))
                made.spread[start:stop] = _spread(
                    denoised, grid.valid(start, stop) & (sigma > 0), self.options
                )
                release(made.spread)
            release(self.taken.series.pixels, grid.pixels, made.pixels)
            tick(stop - start)
        if sampler is not engine:
            engine.warnings += sampler.warnings
        return self._report(made, engine, self.seconds + perf_counter() - started)

    def _engine(self, sampling: Sampling, tick: Tick) -> Engine:
        setup, options = replace(self.setup, sampling=sampling), engine_options(self.options, self.device)
        return Engine(self.choice.method, setup, options, lambda: tick(0))

    def _report(self, made: "_Made", engine: Engine | None, seconds: float) -> Result:
        device = self.device if engine is None else engine.device
        result = self.work.grid.with_pixels(made.pixels, self.work.derive(device))
        ran = self.setup.sampling.mode if engine is None else _MODES[engine.samples]
        return Result(
            series=result,
            choice=self.choice,
            device=device,
            noise=self.noise,
            seen_noise=self.seen_noise,
            seconds=seconds,
            warnings=(*self.warnings, *(() if engine is None else self.work.warnings(engine))),
            mode=self.work.mode(ran),
            uncertainty=None if made.spread is None else as_map(result, made.spread),
            done=self.work.done,
            modality=self.taken.seen.modality,
            modality_from=self.taken.why,
            change=None if self.work.done is not None else self._change(result, engine),
        )

    def _change(self, result: Series, engine: Engine | None) -> Change:
        return Change(
            self.taken.seen,
            result,
            self.seen_noise,
            None if engine is None else Run(engine, self.noise, self.options.tried(engine.name)),
            self_checked=self.self_checked,
        )


_MODES = ("distilled", "diffusion")


@dataclass(frozen=True, slots=True)
class _Made:
    """New stored pixels, and how uncertain they are where that was asked for."""

    pixels: NDArray[np.generic]
    spread: Image | None


def engine_options(options: Options, device: Device) -> EngineOptions:
    """Options of the engine."""
    return EngineOptions(
        device, options.tile, options.overlap, options.batch_size, options.seed, max(options.strength, 1.0)
    )


def _make_room(grid: Series, uncertainty: bool) -> _Made:
    shape, path = grid.pixels.shape, grid.path
    return _Made(
        make_planes(shape, grid.pixels.dtype, path),
        make_planes(shape, np.float32, path) if uncertainty else None,
    )


def _leave(grid: Series, uncertainty: bool) -> _Made:
    """The series as it is: nothing changed, so nothing uncertain."""
    spread = np.broadcast_to(np.float32(0), grid.pixels.shape) if uncertainty else None
    return _Made(copy_planes(grid.pixels, grid.path), spread)


def _about(image: Denoised, drawn: Denoised) -> Denoised:
    """The image, with the root mean square distance of the draws to it."""
    if drawn.spread is None:
        return drawn
    return replace(image, spread=np.hypot(drawn.spread, drawn.clean - image.clean))


def _spread(denoised: Denoised, counts: NDArray[np.bool_], options: Options) -> Image:
    """The uncertainty of some planes where it counts, in the unit of the image; elsewhere 0."""
    if denoised.spread is None:
        raise UsageError(
            "--uncertainty needs a sampler with enough steps, and this run has none: leave it out, "
            "or give more --steps."
        )
    spread: Image = np.where(counts, options.share * denoised.spread, 0)
    return spread
