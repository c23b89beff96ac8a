"""The cosine schedule at any time: levels between its 1000 steps, and the time of any noise level.

tau in [0, 1] stands for index 999 tau of the steps 0..999.
"""

import math

import torch
from torch import Tensor

from meddenoise.diffusion.schedules import LEAST_ALPHA

STEPS = 1000
_SHIFT = 0.008
_START = math.cos(_SHIFT / (1 + _SHIFT) * math.pi / 2)


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
