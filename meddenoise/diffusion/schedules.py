"""Levels of signal and noise at every step, the steps a sampler takes, and what a network's output means.

A state is X = alpha x0 + sigma eps with alpha^2 + sigma^2 = 1; ratio = sigma / alpha. Step t = 1..T stands at
index t - 1. What a network predicts is x0, eps, or v = alpha eps - sigma x0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from meddenoise.diffusion import Denoise
from meddenoise.errors import UsageError, unknown_name

Prediction = Literal["eps", "v", "x0"]
Level = Tensor | float
"""Alpha or sigma: one number, or a tensor that broadcasts against the states."""

LEAST_ALPHA = 1e-3
"""Estimates are divided by alpha: below this, float32 rounding of a state shows in them."""

STEPS = 1000
_SHIFT = 0.008
_START = math.cos(_SHIFT / (1 + _SHIFT) * math.pi / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Levels by step index: `alpha`, `sigma`, `ratio` [T], float64; alpha never rises, ratio never falls."""

    name: str
    alpha: Tensor
    sigma: Tensor
    ratio: Tensor

    def __len__(self) -> int:
        return len(self.ratio)

    def index_of(self, ratio: float) -> int:
        """The index whose ratio is nearest to `ratio` (> 0) in its logarithm."""
        return int((self.ratio.log() - math.log(ratio)).abs().argmin())

    def levels(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma [B, 1, 1, 1] at `index` [B], float32 and on its device."""
        at = index.cpu()
        alpha, sigma = (level[at].float()[:, None, None, None] for level in (self.alpha, self.sigma))
        return alpha.to(index.device), sigma.to(index.device)

    def trailing(self, steps: int) -> tuple[float, ...]:
        """Falling ratios of `steps` evaluations, the first at pure noise, then 0; the last at T / steps - 1.

        Smooth results, high PSNR. Steps between equal ratios (alpha at its floor) are left out.
        Raises UsageError where `steps` is not within 1..T.
        """
        self._check(steps)
        length = len(self)
        return self._falling([round(length * (1 - k / steps)) - 1 for k in range(steps)])

    def even(self, steps: int) -> tuple[float, ...]:
        """As `trailing`, at equally spaced indices from T - 1 down to 0: where fine detail matters."""
        self._check(steps)
        last = len(self) - 1
        return self._falling([round(last * (1 - k / max(steps - 1, 1))) for k in range(steps)])

    def _check(self, steps: int) -> None:
        if not 1 <= steps <= len(self):
            raise UsageError(
                f"a sampler cannot take {steps} steps: give 1 to {len(self)}, the length of {self.name}."
            )

    def _falling(self, indices: list[int]) -> tuple[float, ...]:
        ratios = self.ratio[indices].tolist()
        return (*dict.fromkeys(ratios), 0.0)


def log_spaced(high: float, low: float, steps: int) -> tuple[float, ...]:
    """`steps` ratios from `high` to `low` (> 0), uniform in log-SNR, then 0: for `dpmpp_2m`.

    Source: DPM-Solver (arXiv 2206.00927), uniform lambda.
    """
    fall = math.log(low / high) / max(steps - 1, 1)
    return (*(high * math.exp(k * fall) for k in range(steps)), 0.0)


def karras(high: float, low: float, steps: int) -> tuple[float, ...]:
    """`steps` ratios from `high` to `low` (> 0), denser below, then 0: for `heun`.

    Source: Karras et al. 2022 (EDM, arXiv 2206.00364), equation 5 with rho = 7.

    >>> [round(sigma, 2) for sigma in karras(10.0, 0.1, 4)]
    [10.0, 2.93, 0.66, 0.1, 0.0]
    """
    rho = 7.0
    top, bottom = high ** (1 / rho), low ** (1 / rho)
    return (*((top + k / max(steps - 1, 1) * (bottom - top)) ** rho for k in range(steps)), 0.0)


def clean_from(prediction: Prediction, output: Tensor, state: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """The estimate of x0 in a network's `output` for `state`.

    Source: Salimans, Ho 2022 (arXiv 2202.00512), appendix D.
    """
    if prediction == "eps":
        return (state - sigma * output) / alpha
    return alpha * state - sigma * output if prediction == "v" else output


def target(prediction: Prediction, clean: Tensor, noise: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """Target of a network for the state alpha `clean` + sigma `noise`."""
    if prediction == "v":
        return alpha * noise - sigma * clean
    return noise if prediction == "eps" else clean


def as_denoiser(
    network: Callable[[Tensor, int], Tensor], schedule: Schedule, prediction: Prediction
) -> Denoise:
    """`network` as an estimate of the clean image from states in ratio form.

    network: (X [B, C, H, W] float32, unit variance at pure noise; index 0..T - 1) -> `prediction`. It is
    called at the index nearest to the ratio.
    """

    def denoise(x: Tensor, ratio: float) -> Tensor:
        alpha = 1 / math.hypot(1.0, ratio)
        state = x * alpha
        output = network(state.float(), schedule.index_of(ratio))
        return clean_from(prediction, output.to(x.dtype), state, alpha, ratio * alpha)

    return denoise


def get_schedule(name: str) -> Schedule:
    """The schedule `name`.

    Raises UsageError for a name that is not in SCHEDULES.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def _schedule(name: str, beta: Tensor) -> Schedule:
    alpha = (1 - beta).cumprod(0).sqrt().clamp(min=LEAST_ALPHA)
    sigma = (1 - alpha.square()).sqrt()
    return Schedule(name, alpha, sigma, sigma / alpha)


def _linear(first: float, last: float, length: int) -> Tensor:
    return torch.linspace(first, last, length, dtype=torch.float64)


def _cosine(length: int) -> Tensor:
    """Source: Nichol, Dhariwal 2021 (arXiv 2102.09672), equation 17."""
    shift = 0.008
    u = torch.linspace(0, 1, length + 1, dtype=torch.float64)
    alpha_bar = ((u + shift) / (1 + shift) * math.pi / 2).cos().square()
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


def _reversed_warmup(first: float, last: float, length: int) -> Tensor:
    """Little noise for the first 30 % of the steps. Source: Xiang et al. 2023 (DDM2, arXiv 2302.03018)."""
    flat = length * 3 // 10
    still = torch.full((flat,), first, dtype=torch.float64)
    return torch.cat([still, _linear(first, last, length - flat)])


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        _schedule("linear-1000", _linear(1e-4, 0.02, 1000)),
        _schedule("linear-2000", _linear(1e-4, 0.02, 2000)),
        _schedule("cosine-1000", _cosine(1000)),
        _schedule("rev_warmup70", _reversed_warmup(5e-5, 1e-2, 1000)),
    )
}


def cosine_levels(time: Tensor) -> tuple[Tensor, Tensor]:
    """Alpha and sigma at `time` (tau), in its shape; alpha is at least 0.001.

    Source: Nichol, Dhariwal 2021 (arXiv 2102.09672), equation 17, without the limit on beta.
    """
    step = (time * (STEPS - 1) + 1) / STEPS
    angle = (step + _SHIFT) / (1 + _SHIFT) * (math.pi / 2)
    alpha = (angle.cos() / _START).clamp(min=LEAST_ALPHA, max=1.0)
    return alpha, (1 - alpha.square()).sqrt()


def cosine_time(ratio: Tensor) -> Tensor:
    """The time (tau) at which a state has `ratio` = sigma / alpha, in its shape; within [0, 1].

    An image with white noise of standard deviation `ratio` is a state of that time, divided by alpha.
    """
    alpha = (1 + ratio.double().square()).rsqrt()
    angle = torch.arccos(alpha * _START)
    step = angle * (2 / math.pi) * (1 + _SHIFT) - _SHIFT
    return ((step * STEPS - 1) / (STEPS - 1)).clamp(0, 1).to(ratio.dtype)
