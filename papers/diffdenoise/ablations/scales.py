"""Sizes of the ablations: images, networks, lengths of training."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AblationScale:
    """One size of everything; `side` and `patch` in pixels, `sigma` in 255ths."""

    name: str
    about: str
    images: int
    tests: int
    side: int
    patch: int
    sigma: float
    correlated_side: int
    correlated_images: int
    correlated_patch: int
    correlated_batch: int
    blind_network: dict[str, Any]
    diffusion_network: dict[str, Any]
    student_network: dict[str, Any]
    blind_steps: int
    diffusion_steps: int
    student_steps: int
    radius_steps: int
    lengths: tuple[int, int, int]
    """Steps at which A6 looks at the diffusion networks; the last is `diffusion_steps`."""
    seeds: int = 50
    draws: int = 20
    drawn: int = 12
    """Test images for the measurements that take many steps."""
    batch: int = 16
    learning_rate: dict[str, float] = field(
        default_factory=lambda: {"blind": 2e-3, "diffusion": 1e-3, "student": 2e-3}
    )


TRIAL = AblationScale(
    name="trial",
    about="a few steps of tiny networks: shows that every path runs, its numbers mean nothing",
    images=24, tests=4, side=32, patch=32, sigma=31.875,
    correlated_side=48, correlated_images=12, correlated_patch=32, correlated_batch=2,
    blind_network={"channels": [8], "blocks": [1], "entry": 4},
    diffusion_network={"profile": "tiny", "unshuffle": 2},
    student_network={"channels": [8, 8], "blocks": [1, 1], "unshuffle": 2},
    blind_steps=2, diffusion_steps=4, student_steps=2, radius_steps=2, lengths=(1, 2, 4),
    seeds=3, draws=2, drawn=2, batch=4,
)  # fmt: skip

TOY = AblationScale(
    name="toy",
    about="synthetic images of ellipses, thin lines and gradients, white noise of 0.25 in images of -1..1",
    images=2000, tests=48, side=32, patch=32, sigma=31.875,
    correlated_side=64, correlated_images=400, correlated_patch=64, correlated_batch=4,
    blind_network={"channels": [32], "blocks": [2], "entry": 12},
    diffusion_network={"profile": "tiny", "unshuffle": 2},
    student_network={"channels": [32, 48], "blocks": [1, 1], "unshuffle": 2},
    blind_steps=1200, diffusion_steps=1000, student_steps=1600, radius_steps=400, lengths=(250, 500, 1000),
)  # fmt: skip

FULL = AblationScale(
    name="full",
    about="central crops of real images, white noise of 25 of 255 grey levels, the recipe's networks",
    images=400, tests=24, side=256, patch=96, sigma=25.0,
    correlated_side=256, correlated_images=400, correlated_patch=96, correlated_batch=16,
    blind_network={"channels": [32, 64, 96], "blocks": [1, 1, 1], "entry": 16},
    diffusion_network={"profile": "fast"},
    student_network={"channels": [32, 64, 96], "blocks": [2, 2, 2], "unshuffle": 2},
    blind_steps=20_000, diffusion_steps=40_000, student_steps=40_000, radius_steps=6000,
    lengths=(4000, 12_000, 40_000),
)  # fmt: skip

SCALES = {scale.name: scale for scale in (TRIAL, TOY, FULL)}
