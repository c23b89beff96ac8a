"""Diffusion of clean images conditioned on a degraded one: one evaluation or a sampler.

Everything here is in network units, [-1, 1] for the window of a series (`normalize`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.diffusion import Denoise
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import dpmpp_2m, draw_from
from meddenoise.diffusion.schedules import Prediction, Schedule, as_denoiser, get_schedule, log_spaced
from meddenoise.errors import UsageError
from meddenoise.methods import Sampled, Setup
from meddenoise.methods.blindspot import load_part
from meddenoise.methods.srds import EPS_START, mean_filter

STEPS, EPS_STEPS = 15, 5
FIRST, LAST = 80.0, 0.01
"""Ratios of noise to signal between which a run is sampled: nothing but noise, and next to none."""
POOL, POOLED = 5, 170
"""Least side in pixels of the window over which the spread of few runs is pooled; and values that the spread
of a pixel is taken from, pairs times pixels. Of fewer it is so uncertain itself that it covers too little."""
SPREADS = 64
"""Points of the table that undoes the contraction."""
LEAST_STEPS = 4
"""Runs of fewer steps give back less than half of any spread."""

MARGIN = 16
"""Pixels that planes are mirrored by on every side."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition on a clean image: `channels` [B, C, H, W] for the network, the first one an image of it.

    `known` [B, 1, H, W] is 1 where the image is exact, 0 where it is to be made; None where nothing is exact.
    """

    channels: Tensor
    known: Tensor | None = None

    @property
    def image(self) -> Tensor:
        """The degraded image [B, 1, H, W]."""
        return self.channels[:, :1]

    def paste(self, clean: Tensor) -> Tensor:
        """`clean` [n B, 1, H, W] with the pixels that are known."""
        if self.known is None:
            return clean
        times = len(clean) // len(self.known)
        known = self.known.repeat(times, 1, 1, 1) > 0
        return torch.where(known, self.image.repeat(times, 1, 1, 1).to(clean.dtype), clean)


@dataclass(frozen=True, slots=True)
class Diffusion:
    """The diffusion network of one checkpoint."""

    network: nn.Module
    schedule: Schedule
    prediction: Prediction
    widening: float = 1.0
    """Errors relative to the spread of the runs: a network is surer than it is right."""

    @classmethod
    def load(cls, setup: Setup) -> "Diffusion":
        """That of `setup.checkpoint`. Raises UsageError where it has none, WeightsError for damage."""
        network, metadata = load_part(setup, "diffusion"), setup.checkpoint.metadata
        if metadata.schedule is None:
            raise UsageError(f"the checkpoint {setup.checkpoint.path.name} states no diffusion schedule.")
        widening = float(metadata.method_options.get("diffusion", {}).get("widening", 1.0))
        return cls(
            network, get_schedule(metadata.schedule["name"]), metadata.schedule["prediction"], widening
        )

    def predict(self, state: Tensor, channels: Tensor, index: Tensor) -> Tensor:
        """The prediction [B, 1, H, W] for states [B, 1, H, W] at steps `index` [B].

        A network that predicts v says what is to be taken off the first channel, as if that were the clean
        image: v = out - sigma image. From a state without signal the estimate is image - out, `OnePass`.
        """
        time = (index + 1).float() / len(self.schedule)
        out: Tensor = self.network(state, channels, time)
        if self.prediction == "v":
            out = out - self.schedule.levels(index)[1] * channels[:, :1]
        return out

    def over(self, condition: Condition) -> Denoise:
        """The estimate of the clean image in states [n B, 1, H, W] in ratio form.

        At known pixels it is the image itself: a state that starts there as the image plus noise then stays
        that, as where they are pasted in at every step.
        """

        def network(state: Tensor, index: int) -> Tensor:
            channels = condition.channels.repeat(len(state) // len(condition.channels), 1, 1, 1)
            return self.predict(
                state, channels.float(), torch.full((len(state),), index, device=state.device)
            )

        denoise = as_denoiser(network, self.schedule, self.prediction)
        return lambda x, ratio: condition.paste(denoise(x, ratio))

    def mean(self, condition: Condition) -> Tensor:
        """The mean in one evaluation [B, 1, H, W], from a state without any signal.

        Networks that predict eps cannot say it there: of them it is the mean of a pair of EPS_STEPS steps.
        """
        if self.prediction == "eps":
            noise = [torch.Generator().manual_seed(0) for _ in condition.image]
            return self.pairs(condition, EPS_STEPS, 1, noise).clean
        return self.over(condition)(torch.zeros_like(condition.image), float(self.schedule.ratio[-1]))

    def matched(self, level: float) -> float:
        """The ratio t* of the schedule that has as much noise as an image of that level, in network units.

        At least twice LAST, so that there is a way down. Source: Hu, Huang 2024 (BeFOI), equation 7.
        """
        index = self.schedule.index_of(max(level, LAST))
        return max(float(self.schedule.ratio[index]), 2 * LAST)

    def pairs(
        self,
        condition: Condition,
        steps: int,
        pairs: int,
        noise: Sequence[torch.Generator],
        start: float | None = None,
    ) -> Sampled:
        """Mean of symmetric pairs of runs of DPM-Solver++(2M), and the standard deviation of its error.

        Runs begin at nothing but noise; given a ratio `start`, at the mean with that much noise on it, one
        evaluation more.
        One CPU generator a plane; NFE = 2 steps a pair. Half the difference of a pair is a draw of the
        spread; it is pooled over the pairs and over pixels around that are not known, the more of them the
        fewer pairs, what few steps take off it is put back (`whole_spread`), and it is widened. None of
        fewer than LEAST_STEPS steps, which keep too little to tell.
        """
        draw, denoise = draw_from(noise), self.over(condition)
        centre = condition.image if start is None else self.mean(condition)
        first = EPS_START if self.prediction == "eps" else FIRST
        ratios = log_spaced(first if start is None else start, LAST, steps)
        total, squares = torch.zeros_like(condition.image), torch.zeros_like(condition.image)
        for _ in range(pairs):
            drawn = ratios[0] * draw(condition.image)
            mean, half = antithetic(dpmpp_2m, denoise, drawn, ratios, centre=centre)
            total += mean
            squares += half.square()
        clean = condition.paste(total / pairs)
        if steps < LEAST_STEPS:
            return Sampled(clean)
        made = torch.ones_like(clean) if condition.known is None else 1 - condition.known
        side = max(POOL, 2 * (math.isqrt(POOLED // pairs) // 2) + 1)
        around = mean_filter(made, side).clamp(min=1 / side**2)
        pooled = mean_filter(made * squares / pairs, side) / around
        return Sampled(clean, self.widening * made * whole_spread(pooled.sqrt(), ratios))


@dataclass(frozen=True, slots=True)
class OnePass:
    """The distilled network of one checkpoint: what to take off the image, without state and time."""

    network: nn.Module

    def __call__(self, condition: Condition) -> Tensor:
        """The estimate of the clean image [B, 1, H, W]."""
        image = condition.image
        time = image.new_ones(len(image))
        error = self.network(torch.zeros_like(image), condition.channels.float(), time.float())
        return condition.paste(image - error.to(image.dtype))


def whole_spread(kept: Tensor, ratios: Sequence[float]) -> Tensor:
    """The standard deviation of a distribution whose runs of DPM-Solver++(2M) at `ratios` keep `kept`.

    By the exact runs from Gaussian distributions: few steps contract, and what is finer than the last ratio
    is lost. Source: the contraction of `diffusion.antithetic.contraction`, for this solver.
    """
    whole = torch.logspace(math.log10(LAST / 10), math.log10(FIRST / 10), SPREADS, dtype=torch.float64)

    def exact(x: Tensor, ratio: float) -> Tensor:
        return whole.square() / (whole.square() + ratio**2) * x

    ends = dpmpp_2m(exact, torch.full_like(whole, ratios[0]), ratios).cummax(dim=0).values
    whole, ends = (torch.cat([values.new_zeros(1), values]).to(kept) for values in (whole, ends))
    above = torch.searchsorted(ends, kept.contiguous()).clamp(1, SPREADS)
    low, high = ends[above - 1], ends[above]
    share = ((kept - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return whole[above - 1] + share * (whole[above] - whole[above - 1])


def widen(planes: Tensor) -> Tensor:
    """`planes` [B, C, H, W] with MARGIN more pixels on every side."""
    mode = "reflect" if min(planes.shape[-2:]) > MARGIN else "replicate"
    return functional.pad(planes, (MARGIN,) * 4, mode=mode)


def narrow(planes: Tensor) -> Tensor:
    """`planes` without what `widen` added."""
    return planes[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
