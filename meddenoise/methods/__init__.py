"""SHELF of methods: what a method is given, what it gives back, and the table of them.

    method = get("nlm")                                     name -> Method, its module imported now
    denoise = method.load(Setup(noise, "CT", "cpu", "fp32")) -> Denoiser, weights and options inside
    clean = denoise(noisy, sigma)                           [B, C, H, W], [B] -> [B, 1, H, W]

A method that draws noise gives a SamplingDenoiser, which is run by `sample` instead of by a call.
Rows are strings: listing methods imports none. A package adds one by an entry point of the group
`meddenoise.methods` whose name is the method's and whose object is a Method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, runtime_checkable

from meddenoise.errors import UsageError, unknown_name
from meddenoise.methods.table import METHODS as METHODS
from meddenoise.methods.table import MethodRow as MethodRow

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from meddenoise.noise import Noise, NoiseEstimate

ENTRY_POINT_GROUP = "meddenoise.methods"


class Denoiser(Protocol):
    """Noisy planes in, clean planes out, in the same units; pure: no files, no choice of device."""

    @property
    def context(self) -> int:
        """Frames wanted on either side: C = 2 context + 1, the middle one is denoised."""

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Clean [B, 1, H, W] of `noisy` [B, C, H, W]; `sigma` [B], or a map [B, 1, H, W], in its units.

        Plane b depends on plane b alone; where sigma is 0 it is the input, unchanged.
        """


@dataclass(frozen=True, slots=True)
class Sampled:
    """Result of a sampler: clean [B, 1, H, W], and its standard deviation, if it has one.

    `spread` [B, 1, H, W] is 0 or more, in the unit of `clean`.
    """

    clean: Tensor
    spread: Tensor | None = None


@runtime_checkable
class SamplingDenoiser(Denoiser, Protocol):
    """A denoiser that draws noise: one generator a plane, so that batches change nothing."""

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[Generator]) -> Sampled:
        """As `__call__`; plane b draws from `noise[b]` (a CPU generator) alone."""


@runtime_checkable
class WindowDenoiser(Denoiser, Protocol):
    """A denoiser that is to be given planes of the size its checkpoint was trained on."""

    @property
    def tile(self) -> int:
        """Side of that plane; it stands in for the method's."""


@runtime_checkable
class SpectralDenoiser(Denoiser, Protocol):
    """A denoiser with a use for the noise spectrum, which changes from plane to plane of a series."""

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> Denoiser:
        """The same, sharing its weights, for a batch whose plane b has the spectrum of `noise[b]`.

        The noise model ("rician") is that of the whole series, from `Setup.noise`.
        """


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of a method with a sampler; the others use only `fusion`.

    `mode` None is one pass where the checkpoint has a network for it, else the sampler; `steps` None the
    method's own number; `samples` draws are averaged. `fusion` False leaves out the last step that weighs
    the result against the noisy image. `blind_radius` (pixels) replaces what the noise's correlation asks.
    `averaged` is True for the mean of one pass over each of the eight planes that turning and mirroring make.
    """

    mode: Literal["distilled", "diffusion"] | None = None
    steps: int | None = None
    samples: int = 1
    fusion: bool = True
    blind_radius: int | None = None
    averaged: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """Facts a method may use before the first plane: the noise, the modality, where and how it runs.

    `noise` is that of the whole series, or of the plane of middle level where `planes` has one for each.
    `modality` is a DICOM code or empty. `checkpoint` is what `meddenoise.weights` opened.
    """

    noise: NoiseEstimate | None = None
    modality: str = ""
    device: str = "cpu"
    precision: str = "fp32"
    checkpoint: Any = None
    sampling: Sampling = Sampling()
    backend: Literal["torch", "openvino"] = "torch"
    """Runtime of the network of a `CompilingMethod`."""
    window: tuple[float, float] | None = None
    """Values (low, high) that are -1 and 1 (`normalize.fit_window`); None gives every plane its own."""
    planes: Noise | None = None
    """The noise of every plane: the engine gives a `SpectralDenoiser` that of the planes of each batch."""


class Method(Protocol):
    """One way to denoise."""

    @property
    def name(self) -> str: ...
    @property
    def uses_weights(self) -> bool: ...
    @property
    def tile(self) -> int | None:
        """Largest plane side it takes at once; None for the whole plane, whatever its size."""

    def load(self, setup: Setup) -> Denoiser:
        """The denoiser for one series.

        Raises UsageError where an optional package is not installed, or where the checkpoint lacks a network
        that `setup.sampling` asks for.
        """


@runtime_checkable
class CompilingMethod(Method, Protocol):
    """A method whose network OpenVINO can run."""

    def compiles(self, sampling: Sampling) -> bool:
        """True where OpenVINO can run what `load` gives for it; `load` then raises CompilationError if it
        cannot after all."""


def rows() -> dict[str, MethodRow]:
    """METHODS and the methods other packages add by entry points; a built-in name cannot be replaced."""
    return {name: _added_row(point) for name, point in _entry_points().items()} | METHODS


def get(name: str) -> Method:
    """The method of that name, imported now.

    Raises UsageError where there is none, or where another package's method cannot be imported.

    >>> get("nlm").uses_weights
    False
    """
    if name in METHODS:
        module, attribute = METHODS[name].where.split(":")
        return cast(Method, getattr(import_module(module), attribute))
    added = _entry_points()
    if name not in added:
        raise unknown_name("method", name, [*METHODS, *added])
    try:
        return cast(Method, added[name].load())
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the method {name!r} cannot be loaded from {added[name].value!r} ({error}): "
            "repair or remove the package that adds it."
        ) from error


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _added_row(point: EntryPoint) -> MethodRow:
    package = point.dist.name if point.dist else point.module
    return MethodRow(point.value, f"added by {package}", f"see {package}", "added", f"see {package}")
