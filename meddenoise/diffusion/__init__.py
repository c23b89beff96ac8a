"""SHELF of samplers: what a sampler is given, what it gives back, and the table of them.

A state is held in ratio form: x = X / alpha = clean + ratio * noise, an image in its own units with noise of
standard deviation `ratio` = sigma / alpha on it, whatever the schedule the network was trained with.

    schedule = get_schedule("cosine-1000")                  steps, levels and their algebra
    denoise = as_denoiser(network, schedule, "v")           (x, ratio) -> estimate of the clean image
    ratios = schedule.trailing(10)                          strictly falling, the last is 0
    image = get_sampler("ddim")(denoise, x, ratios)         float64 inside, the dtype of x outside
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from meddenoise.errors import unknown_name

if TYPE_CHECKING:
    from torch import Tensor

Denoise: TypeAlias = Callable[["Tensor", float], "Tensor"]
"""The estimate of the clean image from a state [B, C, H, W], float64, and its ratio (> 0)."""

Noise: TypeAlias = Callable[["Tensor"], "Tensor"]
"""A fresh standard normal field with the shape, dtype and device of the tensor it is given."""


class Sampler(Protocol):
    """One way down from noise: linear in the states and the estimates, so that it keeps their symmetry."""

    def __call__(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None
    ) -> Tensor:
        """The clean end of a path from state `x` at ratio `sigmas[0]`, in the shape and dtype of `x`.

        `sigmas` falls strictly to 0. All that is random comes from `noise`; None for samplers that draw none.
        Raises ValueError for a list that does not fall to 0, or no noise where some is drawn.
        """


SAMPLERS: dict[str, str] = {
    "ddim": "meddenoise.diffusion.samplers:ddim",
    "ancestral": "meddenoise.diffusion.samplers:ancestral",
    "dpmpp-2m": "meddenoise.diffusion.samplers:dpmpp_2m",
    "heun": "meddenoise.diffusion.samplers:heun",
}


def get_sampler(name: str) -> Sampler:
    """The sampler `name`.

    Raises UsageError for a name that is not in SAMPLERS.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    module, _, attribute = SAMPLERS[name].partition(":")
    return cast(Sampler, getattr(import_module(module), attribute))
