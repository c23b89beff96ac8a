"""befoi: fluoroscopy frames from themselves and the frames before and after; a student, or its teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meddenoise.diffusion.samplers import MeasuredFrame, draw_from, mixing
from meddenoise.diffusion.schedules import log_spaced
from meddenoise.errors import UsageError
from meddenoise.methods import Denoiser, Sampled, Sampling, Setup
from meddenoise.methods.blindspot import load_part
from meddenoise.methods.compiled import run_compiled
from meddenoise.methods.conditional import LAST, Condition, Diffusion, narrow, widen
from meddenoise.methods.direct import direct_denoiser
from meddenoise.methods.medcdiff import TILE
from meddenoise.methods.stabilised import as_map
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.normalize import window_of

DELTA = 0.5
"""Share of the measured frame that is mixed in."""
STEPS = 5
"""From the matched time on; as dense in log SNR as 15 from nothing but noise."""


@dataclass(frozen=True, slots=True)
class CineSampler:
    """Mean of `samples` symmetric pairs of runs, or of runs that mix the frame in where `rule` says how.

    Every frame's runs begin at its matched time t*, where the state has as much noise as the frame: what can
    be known above it is in the network's mean already.
    """

    diffusion: Diffusion
    window: tuple[float, float] | None
    steps: int = STEPS
    samples: int = 1
    rule: str = ""
    context: int = 1

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """Clean [B, 1, H, W] of frames with their neighbours [B, 3, H, W], and its uncertainty.

        NFE = 1 + 2 steps a pair, or at most 1 + steps a run.
        """
        middle = noisy[:, 1:2]
        windows = [self.window or window_of(plane.cpu().numpy()) for plane in middle]
        low, high = noisy.new_tensor(windows).T.reshape(2, -1, 1, 1, 1)
        scale, level = 2 / (high - low), as_map(sigma, middle)
        told = torch.cat([(noisy[:, [1, 0, 2]] - low) * scale - 1, level * scale], dim=1)
        condition = Condition(widen(told))
        starts = [self.diffusion.matched(float(plane.square().mean().sqrt())) for plane in told[:, 3]]
        made = self._from(condition, starts, noise)
        change = narrow(made.clean) - told[:, :1]
        clean = torch.where(level == 0, middle, middle + change / scale)
        if made.spread is None:
            return Sampled(clean)
        return Sampled(clean, torch.where(level > 0, narrow(made.spread) / scale, 0.0))

    def _from(
        self, condition: Condition, starts: Sequence[float], noise: Sequence[torch.Generator]
    ) -> Sampled:
        """All frames, those with one matched time together."""
        clean, spread = torch.empty_like(condition.image), torch.empty_like(condition.image)
        knows = False
        for start in dict.fromkeys(starts):
            mine = [index for index, own in enumerate(starts) if own == start]
            part, drawn = Condition(condition.channels[mine]), [noise[index] for index in mine]
            made = (
                self._mixed(part, start, drawn)
                if self.rule
                else self.diffusion.pairs(part, self.steps, self.samples, drawn, start)
            )
            clean[mine] = made.clean
            if made.spread is not None:
                spread[mine], knows = made.spread, True
        return Sampled(clean, spread if knows else None)

    def _mixed(self, condition: Condition, first: float, noise: Sequence[torch.Generator]) -> Sampled:
        """Runs that begin as the frame itself by the published rule, which takes it for the state at t*; by
        the budgeted rule as a state at t* with its share of the frame."""
        draw, denoise = draw_from(noise), self.diffusion.over(condition)
        ratios, frame = log_spaced(first, LAST, self.steps), condition.image
        budgeted = self.rule == "budgeted"
        measured = MeasuredFrame(frame, condition.channels[:, 3:], DELTA, budgeted)
        mean = self.diffusion.mean(condition) if budgeted else frame
        total = torch.zeros_like(frame)
        for _ in range(self.samples):
            state = frame
            if budgeted:
                state = DELTA * frame + (1 - DELTA) * (mean + first * draw(frame))
            total += mixing(denoise, state, ratios, noise=draw, measured=measured)
        return Sampled(total / self.samples)


@dataclass(frozen=True, slots=True)
class Befoi:
    """One pass of the student, pairs of runs of its teacher, or runs that mix the measured frame in.

    Source: Hu, Huang 2024 (BeFOI), equations 6 to 9; the frames before and after as further conditions.
    """

    name: str
    rule: str = ""
    uses_weights: bool = True
    tile: int | None = TILE

    def compiles(self, sampling: Sampling) -> bool:
        """True for one pass."""
        return sampling.mode != "diffusion" and not self.rule

    def load(self, setup: Setup) -> Denoiser:
        """The denoiser of one series.

        Raises UsageError for the mode "distilled" where frames are mixed in, and a checkpoint without the
        network, WeightsError for one that does not fit.
        """
        sampling = setup.sampling
        if sampling.mode == "distilled" and self.rule:
            raise UsageError(f"--mode distilled is not for {self.name!r}, a sampler: give --method befoi.")
        if sampling.mode != "diffusion" and not self.rule:
            network = load_part(setup, "student")
            assert isinstance(network, NoiseUNet)
            run_compiled(network, setup)
            return direct_denoiser(network, setup)
        steps = sampling.steps or STEPS
        return CineSampler(Diffusion.load(setup), setup.window, steps, sampling.samples, self.rule)


BEFOI = Befoi("befoi")
BEFOI_MIXING = Befoi("befoi-mixing", "budgeted")
BEFOI_FAITHFUL = Befoi("befoi-faithful", "faithful")
