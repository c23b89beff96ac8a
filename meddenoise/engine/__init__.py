"""Run a method over planes: batches of tiles, workers, repeatable noise, and retreat when memory runs out."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

import numpy as np
import torch

from meddenoise.engine.device import Device, fit, is_out_of_memory, keep_freed_memory
from meddenoise.engine.tiling import TilePlan, cut, plan_tiles, stitch
from meddenoise.errors import MeddenoiseError, UsageError
from meddenoise.methods import (
    Denoiser,
    Method,
    Sampled,
    SamplingDenoiser,
    Setup,
    SpectralDenoiser,
    WindowDenoiser,
)
from meddenoise.networks.compiled import CompilationError
from meddenoise.series import Image

_Batch = Sequence[tuple[int, int]]
"""Planes of a chunk and tiles of theirs."""

SMALLEST_TILE = 128
"""Below this a network sees too little around a pixel to know structure from noise."""
LEAST_OVERLAP = 32
"""Pixels that tiles share at least, to blend what they make of their borders."""
GPU_BATCH_PIXELS = 16 * 512 * 512
"""Enough to fill a GPU, some hundred MiB of activations."""
CPU_BATCH_PIXELS = 112 * 112
"""On a CPU batching gains nothing but for the smallest tiles, whose time goes into starting the layers."""


@dataclass(frozen=True, slots=True)
class Denoised:
    """Clean planes [N, Y, X] and the standard deviation they are uncertain by, None where nobody knows it."""

    clean: Image
    spread: Image | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of a run. None leaves the choice to the method; `seed` feeds the generators of samplers.

    Methods are given `assumed` times the noise that `Engine.run` is given.
    """

    device: Device
    tile: int | None = None
    overlap: int | None = None
    batch_size: int | None = None
    seed: int = 0
    assumed: float = 1.0


class Engine:
    """One method on one device for one series; what memory allowed is remembered from plane to plane.

    `warnings` tells every retreat: half the batch, then half the tile, at last the CPU.
    """

    def __init__(
        self, method: Method, setup: Setup, options: EngineOptions, check: Callable[[], None] | None = None
    ) -> None:
        """`check` is called before every batch, from any worker; it may raise to stop the run."""
        self._method = method
        self._setup = setup
        self._options = options
        self._check = check
        self.warnings: list[str] = []
        self._load(options.device)

    @property
    def name(self) -> str:
        """That of its method."""
        return self._method.name

    @property
    def device(self) -> Device:
        """The device in use; another than the chosen one after memory ran out there."""
        return self._device

    @property
    def context(self) -> int:
        """Neighbouring planes the method wants on either side."""
        return self._denoiser.context

    @property
    def samples(self) -> bool:
        """True where the method draws noise, False where it works in one pass."""
        return isinstance(self._denoiser, SamplingDenoiser)

    def run(self, noisy: Image, sigma: Image, first: int = 0) -> Denoised:
        """Clean planes [N, Y, X] of `noisy` [N, C, Y, X] with noise maps `sigma` [N, Y, X], all float32.

        `first` is the index of the first plane in its series: it tells whose spectrum counts, and with the
        seed and the tile what a sampler draws, so that neither batches nor the order of tiles change the
        result.

        Raises MeddenoiseError where even the smallest tile on the CPU does not fit into memory.
        """
        if self._options.assumed != 1:
            sigma = sigma * np.float32(self._options.assumed)
        while True:
            try:
                return self._attempt(noisy, sigma, first)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the error's traceback held the tensors that did not fit.
            self._retreat((noisy.shape[2], noisy.shape[3]))

    def planes_at_once(self, shape: tuple[int, int]) -> int:
        """Number of planes [Y, X] of `shape` to give `run` together: two rounds for every worker."""
        plan = self._plan(shape)
        tiles = torch.get_num_threads() if self._on_cpu else 1
        return max(1, 2 * tiles * self._size_batch(plan) // len(plan))

    @property
    def _on_cpu(self) -> bool:
        return self._device.device.type == "cpu"

    def _load(self, device: Device) -> None:
        self._device = fit(device, self._method, self._setup.sampling)
        self._batch_size = self._options.batch_size
        if self._on_cpu:
            keep_freed_memory()
        try:
            self._denoiser = self._load_on(self._device)
        except CompilationError as error:
            self.warnings.append(f"{error} It runs with torch.")
            self._device = replace(device, backend="torch")
            self._denoiser = self._load_on(self._device)
        chooser = self._denoiser if isinstance(self._denoiser, WindowDenoiser) else self._method
        _check_tiles(self._method, chooser.tile, self._options)
        self._tile = self._options.tile or chooser.tile

    def _load_on(self, device: Device) -> Denoiser:
        setup = replace(self._setup, device=str(device), precision=device.precision, backend=device.backend)
        return self._method.load(setup)

    def _attempt(self, noisy: Image, sigma: Image, first: int) -> Denoised:
        plan = self._plan((noisy.shape[2], noisy.shape[3]))
        jobs = [(n, tile) for n in range(len(noisy)) for tile in range(len(plan))]
        denoise = partial(self._denoise_batch, _Chunk(noisy, sigma, first, plan))
        size = self._size_batch(plan)
        batches = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        threads = torch.get_num_threads() if self._on_cpu else 1
        done = _map_in_threads(denoise, batches, threads) if threads > 1 else list(map(denoise, batches))
        tiles = [tile for batch in done for tile in batch]
        # one or two images a tile: what is clean, and how uncertain it is
        groups = (tiles[start : start + len(plan)] for start in range(0, len(tiles), len(plan)))
        images = [[stitch(image, plan) for image in zip(*group, strict=True)] for group in groups]
        clean, *spread = (np.stack(planes) for planes in zip(*images, strict=True))
        return Denoised(clean, *spread)

    def _denoise_batch(self, chunk: "_Chunk", batch: _Batch) -> Image:
        """Clean tiles [B, 1, Y, X] of (plane, tile) in `batch`, or with their spread [B, 2, Y, X]."""
        if self._check is not None:
            self._check()
        x = np.stack([cut(chunk.noisy[n], chunk.plan, tile) for n, tile in batch])
        level = np.stack([cut(chunk.sigma[n, None], chunk.plan, tile) for n, tile in batch])
        device, denoiser = self._device.device, self._denoiser_for([chunk.first + n for n, _ in batch])
        with torch.inference_mode():
            noisy, sigma = torch.from_numpy(x).to(device), torch.from_numpy(level).to(device)
            if isinstance(denoiser, SamplingDenoiser):
                seeds = [(self._options.seed, chunk.first + n, tile) for n, tile in batch]
                drawn = denoiser.sample(noisy, sigma, [_generator(seed) for seed in seeds])
            else:
                drawn = Sampled(denoiser(noisy, sigma))
            images = [drawn.clean] if drawn.spread is None else [drawn.clean, drawn.spread]
            result: Image = torch.cat([image[:, :1] for image in images], 1).float().cpu().numpy()
        return result

    def _denoiser_for(self, planes: Sequence[int]) -> Denoiser:
        """The denoiser for a batch with these planes of the series."""
        noise = self._setup.planes
        if noise is None or not isinstance(self._denoiser, SpectralDenoiser):
            return self._denoiser
        return self._denoiser.for_planes([noise.plane(plane) for plane in planes])

    def _plan(self, shape: tuple[int, int]) -> TilePlan:
        tile = self._tile or max(shape)
        overlap = self._options.overlap
        if overlap is None or (overlap >= tile and tile != self._options.tile):
            overlap = min(max(LEAST_OVERLAP, tile // 16), tile // 2)
        return plan_tiles(shape, tile, overlap)

    def _size_batch(self, plan: TilePlan) -> int:
        if self._batch_size is not None:
            return self._batch_size
        pixels = CPU_BATCH_PIXELS if self._on_cpu else GPU_BATCH_PIXELS
        return max(1, pixels // (plan.size[0] * plan.size[1]))

    def _retreat(self, shape: tuple[int, int]) -> None:
        """Ask for less memory next time: half the batch, else half the tile, else the CPU."""
        plan = self._plan(shape)
        batch, tile = self._size_batch(plan), max(plan.size)
        on = f"memory ran out on {self._device}"
        if self._device.device.type == "cuda":
            torch.cuda.empty_cache()
        if batch > 1:
            self._batch_size = batch // 2
            self.warnings.append(f"{on}: going on with batches of {batch // 2} instead of {batch}.")
        elif tile // 2 >= SMALLEST_TILE:
            self._tile = tile // 2
            self.warnings.append(f"{on}: going on with tiles of {tile // 2} pixels instead of {tile}.")
        elif not self._on_cpu:
            self.warnings.append(f"{on} even for one tile of {tile} pixels: going on with the CPU.")
            self._load(Device(torch.device("cpu"), "fp32", on))
        else:
            raise MeddenoiseError(
                f"{on} even for one tile of {tile} pixels at a time: close other programs or use a machine "
                "with more memory."
            )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Planes [N, C, Y, X] that are denoised together, their noise [N, Y, X], and how they are cut.

    `first` is the index of the first of them in its series.
    """

    noisy: Image
    sigma: Image
    first: int
    plan: TilePlan


def _map_in_threads(
    denoise: Callable[[_Batch], Image], batches: Sequence[_Batch], threads: int
) -> list[Image]:
    """`denoise` of all batches, in as many workers as torch has `threads`, one thread each.

    Workers with a tile each have no barriers inside a convolution: beside another busy process torch's
    own threads wait for each other and slow down more than tenfold.
    """
    workers = min(threads, len(batches))
    if workers < 2:
        return list(map(denoise, batches))
    failed = Event()

    def unless_failed(batch: _Batch) -> Image:
        try:
            return np.empty((0, 1), np.float32) if failed.is_set() else denoise(batch)
        except BaseException:
            failed.set()  # results are awaited in order: the others must not wait for their turn to stop
            raise

    pool = ThreadPoolExecutor(workers, "tile", initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(unless_failed, batches))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _check_tiles(method: Method, own: int | None, options: EngineOptions) -> None:
    """Raises UsageError for tiles in which a network that sees whole planes sees too little.

    On a CT phantom of 256 x 256 pixels `direct` changed by 10 to 12 HU (root mean square) in tiles of 64,
    however much they shared, by 1 HU in tiles of 128. Networks that work in windows of their own know better.
    """
    if not method.uses_weights or (own is not None and own < SMALLEST_TILE):
        return
    if options.tile is not None and options.tile < SMALLEST_TILE:
        raise UsageError(
            f"--tile is {options.tile}: {method.name!r} sees too little around a pixel in less than "
            f"{SMALLEST_TILE}, and leaves squares; give {SMALLEST_TILE} or more."
        )
    if options.overlap is not None and options.overlap < LEAST_OVERLAP:
        raise UsageError(
            f"--overlap is {options.overlap}: {method.name!r} leaves squares if tiles share less than "
            f"{LEAST_OVERLAP} pixels; give {LEAST_OVERLAP} or more."
        )


def _generator(seed: tuple[int, int, int]) -> torch.Generator:
    """The noise of one tile, from (seed, plane, tile)."""
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
