"""A small self-supervised method with a sampler: the mean of the neighbours, and draws around it."""

from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d

from meddenoise.methods import MethodRow, Sampled

RING = torch.ones(1, 1, 3, 3)
RING[..., 1, 1] = 0
ROW = MethodRow(
    "tests.drawing:DRAWING", "tests", "none", "self-supervised", "Apache-2.0", learned=False, sampler=True
)


def neighbours(noisy, sigma=None):
    """The mean of the eight pixels around each, of those that exist at the border: a blind spot, leak 0."""
    ring = RING.to(noisy)
    return conv2d(noisy, ring, padding=1) / conv2d(torch.ones_like(noisy), ring, padding=1)


@dataclass(frozen=True)
class OnePass:
    context: int = 0

    def __call__(self, noisy, sigma):
        return neighbours(noisy)


@dataclass(frozen=True)
class Draws(OnePass):
    samples: int = 1

    def sample(self, noisy, sigma, noise):
        """Draws of standard deviation sigma / 4 around the mean of the neighbours, averaged."""
        shape = (2 * self.samples, 1, *noisy.shape[-2:])
        draws = torch.stack([torch.randn(shape, generator=generator) for generator in noise], dim=1)
        runs = neighbours(noisy) + draws * sigma / 4
        return Sampled(runs.mean(dim=0), runs.std(dim=0))


@dataclass(frozen=True)
class Drawing:
    name: str = "drawing"
    uses_weights: bool = False
    tile: int | None = None

    def load(self, setup):
        if setup.sampling.mode == "diffusion":
            return Draws(samples=setup.sampling.samples)
        return OnePass()


DRAWING = Drawing()
