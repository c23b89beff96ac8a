"""Faint spots laid into clean patches before the noise: the low contrast that a denoiser must not take away.

Photographs and most planes of anatomy have few structures as weak as the noise, so that a network that only
saw these learns to flatten them. Spots are as strong as the noise around them, which a reader still finds.
"""

import numpy as np

from meddenoise.series import Image

CNR = 0.4, 4.0
"""Least and most contrast of a spot, in units of the noise level; drawn evenly on a logarithmic scale."""
RADIUS_PX, SOFT_PX = (1.5, 12.0), (0.3, 2.0)
"""Radii and widths of the edge of the spots."""
MOST = 6
GOES_ON = 0.6
"""Share of spots that a neighbouring slice shows as strongly as the middle one; others it shows less."""


def add_spots(clean: Image, sigma: float, rng: np.random.Generator) -> Image:
    """`clean`, [H, W] or slices [T, H, W], with faint elliptic spots for noise of level `sigma`.

    The middle slice shows each spot at its contrast, the others as much or less. What is nowhere below 0,
    as magnitudes are, stays so.
    """
    spotted = clean.copy()
    slices = spotted if spotted.ndim == 3 else spotted[None]
    for _ in range(int(rng.integers(1, MOST + 1))):
        contrast = rng.choice((-1, 1)) * sigma * np.exp(rng.uniform(*np.log(CNR)))
        spot = np.float32(contrast) * _ellipse((clean.shape[-2], clean.shape[-1]), rng)
        for n, plane in enumerate(slices):
            shown = n == len(slices) // 2 or rng.random() < GOES_ON
            plane += spot if shown else np.float32(rng.uniform(0, 1)) * spot
    return np.maximum(spotted, 0) if clean.min() >= 0 else spotted


def _ellipse(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """An ellipse of any place and direction with a soft edge: 1 inside, 0 outside."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(rng.uniform(0, shape[0]))
    x = np.arange(shape[1], dtype=np.float32)[None] - np.float32(rng.uniform(0, shape[1]))
    angle, flat = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance = np.hypot(c * x + s * y, (c * y - s * x) / np.float32(flat))
    radius, soft = np.exp(rng.uniform(*np.log(RADIUS_PX))), rng.uniform(*SOFT_PX)
    ellipse: Image = 1 / (1 + np.exp(np.clip((distance - np.float32(radius)) / np.float32(soft), -30, 30)))
    return ellipse
