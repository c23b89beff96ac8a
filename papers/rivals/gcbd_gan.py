"""The noise maker of GCBD: a Wasserstein GAN with gradient penalty, on blocks of noise."""

import sys
from time import process_time

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.series import Image

BATCH = 16
MADE = 1024
"""Blocks that the network makes in the end."""
RATE, BETAS = 1e-3, (0.0, 0.9)
CRITIC_STEPS = 3
PENALTY = 10.0
EDGE = 5
"""Pixels at the border that the padding of the convolutions reaches."""
SEEDS = 4
"""Channels of white noise that a block is made of."""
MAKER, WIDTH = 16, 32
"""Channels of the generator, and of the first layer of the critic: as much as one core can train."""


class NoiseGenerator(nn.Module):
    """Convolutions of white noise: what comes out has the same statistics everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(SEEDS, MAKER, 5, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(MAKER, MAKER, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(MAKER, MAKER, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(MAKER, 1, 3, padding=1),
        )

    def forward(self, count: int, side: int) -> Tensor:
        """`count` blocks [count, 1, side, side], the borders of the convolutions cut off."""
        white = torch.randn(count, SEEDS, side + 2 * EDGE, side + 2 * EDGE)
        # One number a block and channel: blocks differ in level.
        white[:, -1:] = torch.randn(count, 1, 1, 1)
        made: Tensor = self.layers(white)
        return made[..., EDGE:-EDGE, EDGE:-EDGE]


def make_critic() -> nn.Module:
    """From blocks [B, 1, 64, 64] to scores [B, 1]; no norms, as the penalty wants it."""
    layers: list[nn.Module] = []
    before = 1
    for width in (WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH):
        layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1))


def train_generator(blocks: Image, minutes: float, seed: int) -> tuple[Image, float]:
    """MADE blocks like `blocks` [N, Y, X] from a network trained for `minutes`, and the minutes it took.

    Their means are set to 0 and their root mean square to that of the given ones, which early in training
    are far off.
    Source: Gulrajani et al. 2017, NeurIPS (arXiv 1704.00028).
    """
    rng = np.random.default_rng(seed)
    level = float(np.sqrt(np.mean(np.square(blocks))))
    stock = torch.from_numpy(blocks / np.float32(level))[:, None]
    generator, critic = NoiseGenerator(), make_critic()
    critic(stock[:1])
    learn_generator, learn_critic = (
        torch.optim.Adam(network.parameters(), RATE, betas=BETAS) for network in (generator, critic)
    )
    started, steps = process_time(), 0
    while process_time() - started < 60 * minutes:
        for _ in range(CRITIC_STEPS):
            real = stock[torch.from_numpy(rng.integers(len(stock), size=BATCH))]
            with torch.no_grad():
                made = generator(BATCH, stock.shape[-1])
            _step(learn_critic, critic(made).mean() - critic(real).mean() + _penalty(critic, real, made))
        _step(learn_generator, -critic(generator(BATCH, stock.shape[-1])).mean())
        steps += 1
    with torch.inference_mode():
        parts = [generator(BATCH, stock.shape[-1]) for _ in range(MADE // BATCH)]
    found: Image = torch.cat(parts)[:, 0].numpy()
    found -= found.mean(axis=(1, 2), keepdims=True)
    reached = float(np.sqrt(np.mean(np.square(found))))
    print(f"gcbd wgan: {steps} steps, level {reached:.2f} of 1", file=sys.stderr, flush=True)
    scaled: Image = (found * (level / reached)).astype(np.float32)
    return scaled, (process_time() - started) / 60


def _penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1)
    mixed = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    penalty: Tensor = PENALTY * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
