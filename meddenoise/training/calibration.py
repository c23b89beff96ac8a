"""How much wider than its runs spread the errors of a diffusion network are."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from meddenoise.checkpoint import Checkpoint, load_state
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods.conditional import STEPS, Diffusion
from meddenoise.networks import build
from meddenoise.training.pairs import Case

PAIRS = 2
CASES = 12
"""Images it is measured on, spread evenly over those for validation."""
WITHIN = 0.9545
"""Share of normal errors within two standard deviations."""


def calibrated(checkpoint: Checkpoint, cases: Sequence[Case]) -> Checkpoint:
    """The checkpoint of a diffusion network, with the "widening" of its uncertainty."""
    metadata = checkpoint.metadata
    assert metadata.schedule is not None
    network = build(metadata.network, dict(metadata.network_options))
    load_state(network, checkpoint)
    network.eval().requires_grad_(False)
    diffusion = Diffusion(network, get_schedule(metadata.schedule["name"]), metadata.schedule["prediction"])
    options = {**metadata.method_options, "widening": round(find_widening(diffusion, cases), 3)}
    return replace(checkpoint, metadata=replace(metadata, method_options=options))


def find_widening(diffusion: Diffusion, cases: Sequence[Case]) -> float:
    """The factor on standard deviations that puts WITHIN of the errors of pixels that count inside two.

    One number for all pixels, images and modalities; 1 without cases.
    Source: Kuleshov, Fenner, Ermon 2018, ICML (arXiv 1807.00263), as one scale.
    """
    chosen = cases[:: max(1, -(-len(cases) // CASES))]
    ratios = [_ratios(diffusion, case, seed) for seed, case in enumerate(chosen)]
    return float(torch.cat(ratios).quantile(WITHIN)) / 2 if ratios else 1.0


@torch.no_grad()
def _ratios(diffusion: Diffusion, case: Case, seed: int) -> torch.Tensor:
    """Errors over stated standard deviations of the pixels of one image that count, each tenth of them."""
    pair = case[1]
    noise = [torch.Generator().manual_seed(seed) for _ in pair.clean]
    made = diffusion.pairs(pair.condition, STEPS, PAIRS, noise)
    assert made.spread is not None
    error = (made.clean - pair.clean).abs()[pair.counts > 0]
    return (error / made.spread[pair.counts > 0].clamp(min=1e-6))[::10].float()
