"""How much wider than its runs spread the errors of a diffusion network are."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods.conditional import STEPS, Diffusion
from meddenoise.networks import build
from meddenoise.training.data.pairs import BEFOI, Case
from meddenoise.weights.checkpoint import Checkpoint, load_state

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
    widening = find_widening(diffusion, cases, matched=metadata.method == BEFOI)
    options = {**metadata.method_options, "widening": round(widening, 3)}
    return replace(checkpoint, metadata=replace(metadata, method_options=options))


def find_widening(diffusion: Diffusion, cases: Sequence[Case], matched: bool = False) -> float:
    """The factor on standard deviations that puts WITHIN of the errors of pixels that count inside two.

    `matched`: runs begin at the noise level that the last channel of the condition says, as BeFOI's do.
    One number for all pixels, images and modalities; 1 without cases.
    Source: Kuleshov, Fenner, Ermon 2018, ICML (arXiv 1807.00263), as one scale.
    """
    chosen = cases[:: max(1, -(-len(cases) // CASES))]
    ratios = [_ratios(diffusion, case, seed, matched) for seed, case in enumerate(chosen)]
    return float(torch.cat(ratios).quantile(WITHIN)) / 2 if ratios else 1.0


@torch.no_grad()
def _ratios(diffusion: Diffusion, case: Case, seed: int, matched: bool) -> torch.Tensor:
    """Errors over stated standard deviations of the pixels of one image that count, each tenth of them."""
    pair = case[1]
    noise = [torch.Generator().manual_seed(seed) for _ in pair.clean]
    level = pair.condition.channels[:, -1].square().mean().sqrt()
    start = diffusion.matched(float(level)) if matched else None
    made = diffusion.pairs(pair.condition, STEPS, PAIRS, noise, start)
    assert made.spread is not None
    error = (made.clean - pair.clean).abs()[pair.counts > 0]
    return (error / made.spread[pair.counts > 0].clamp(min=1e-6))[::10].float()
