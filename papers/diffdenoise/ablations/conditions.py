"""A5, A6 and A9: what the diffusion network is told and asked for."""

import math
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from meddenoise.training.data.noisy import NoisyBatch
from meddenoise.training.diffusion import Condition
from meddenoise.training.recipe import Conditioning, Loss, Predicted
from papers.diffdenoise.ablations import Finding, judge
from papers.diffdenoise.ablations.lab import MAIN, Lab
from papers.diffdenoise.ablations.measure import SCORES, AblationScores, score
from papers.diffdenoise.ablations.runs import Test
from papers.diffdenoise.ablations.sampling import CLEARLY, PLAIN, SAME

BLUR = 1.5
"""Standard deviation in pixels of the Gaussian that makes a condition of the noisy image."""
MIDDLE = 127.5
LARGE = 0.5
"""A leak above this is the noise itself coming through."""


def strength(lab: Lab) -> Finding:
    """A5: conditions from nothing to the noisy image itself, as published, without masks."""
    test = lab.test
    conditions: dict[str, tuple[str, Condition | None]] = {
        "none (middle grey)": ("none", _nothing),
        "blurred y": ("blurred", _blurred),
        "B(y), published": ("plain", None),
        "y itself": ("noisy", _itself),
    }
    found: dict[str, AblationScores] = {}
    own: dict[str, AblationScores] = {}
    for name, (folder, condition) in conditions.items():
        used = condition or lab.blind_condition()
        told = (condition, folder) if condition else None
        mean = lab.diffusion(folder, PLAIN, told).mean(test, used(test.batch()), pairs=4)
        found[name] = score(mean, test.clean, test.source.noisy)
        own[name] = score(used(test.batch()), test.clean, test.source.noisy)
    leaks = [value.leak for value in found.values()]
    returns = found["y itself"].leak
    growing = all(a <= b for a, b in pairwise(leaks))
    none, blurred, blind, _ = (value.psnr for value in found.values())
    return Finding(
        title="How strong the condition is (plain conditioning, 4 pairs)",
        claim="The stronger the condition, the closer the result to the truth; y itself gives y back.",
        columns=["condition", "its PSNR dB", *[f"SRDS, {name}" for name in SCORES]],
        rows=[[name, f"{own[name].psnr:.2f}", *value.cells()] for name, value in found.items()],
        numbers={f"{name}, {k}": v for name, s in found.items() for k, v in vars(s).items()},
        verdict=judge(returns > 0.95, none < blurred < blind),
        seen=(
            f"B(y) gives {blind - none:+.2f} dB over no condition and {blind - blurred:+.2f} dB over the "
            "weaker blurred y; the leak "
            f"{'grows with' if growing else 'does not always grow with'} the strength of the condition "
            f"({', '.join(f'{leak:.2f}' for leak in leaks)}), and y as condition returns y with a leak of "
            f"{returns:.2f}."
        ),
        done="the condition is the blind estimate, hidden from the noise it is to explain (A6).",
    )


def leak_control(lab: Lab) -> Finding:
    """A6: plain and masked conditioning and condition noise, against the length of training."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    spread = _error_of_condition(blind, test)
    kinds: dict[str, tuple[str, Conditioning, float]] = {
        "plain (published)": ("plain", "plain", 0.0),
        "masked": ("masked", "masked", 0.0),
        **{
            f"noise {part:g} x error of c": (f"noise-{part:g}", "noise", part * spread) for part in (0.5, 1.0)
        },
    }
    rows, found = [], {}
    for name, (folder, kind, amount) in kinds.items():
        sampler = replace(MAIN, conditioning=kind, condition_noise=amount or MAIN.condition_noise)
        cells = []
        for step in lab.scale.lengths:
            diffusion = lab.diffusion(folder, sampler, step=step)
            means = [diffusion.mean(test, _told(blind, test, amount, seed)) for seed in range(4)]
            result = score(torch.stack(means).mean(dim=0), test.clean, test.source.noisy)
            found[f"{name} {step}, PSNR"], found[f"{name} {step}, leak"] = result.psnr, result.leak
            cells += [f"{result.psnr:.2f}", f"{result.leak:+.3f}"]
        rows.append([name, *cells])
    first, *_, last = lab.scale.lengths
    leak = {name: found[f"{name} {last}, leak"] for name in kinds}
    final = {name: found[f"{name} {last}, PSNR"] for name in kinds}
    plain, masked = "plain (published)", "masked"
    grows = leak[plain] - found[f"{plain} {first}, leak"]
    best = max(final, key=lambda name: final[name])
    return Finding(
        title="Leak control against training length (SRDS, K = 10, 4 pairs)",
        claim="Plain conditioning leaks more the longer it trains; masked conditioning does not leak.",
        columns=[
            "conditioning",
            *[f"{what}, {step} steps" for step in lab.scale.lengths for what in ("dB", "leak")],
        ],
        rows=rows,
        numbers=found | {"error of c": spread},
        verdict=judge(grows > 0.02, leak[masked] < 0.05, final[masked] >= final[plain] - SAME),
        seen=(
            f"the leak of plain conditioning goes from {found[f'{plain} {first}, leak']:+.2f} to "
            f"{leak[plain]:+.2f} between {first} and {last} steps, that of masked ends at "
            f"{leak[masked]:+.2f}; in the end masked is {final[masked] - final[plain]:+.2f} dB "
            f"against plain, and {best} is best."
        ),
        done=(
            "masked conditioning is the default; the others stay as options of the recipe, for comparison."
            if final[masked] >= final[plain] - SAME
            else "masked conditioning stays the default, for it cannot leak however long it trains; plain "
            "is an option of the recipe."
        ),
    )


def targets_and_losses(lab: Lab) -> Finding:
    """A9: eps or v, L1 or L2."""
    test = lab.test
    blind = lab.blind_condition()(test.batch())
    kinds: list[tuple[Predicted, Loss]] = [("eps", "l1"), ("eps", "l2"), ("v", "l1"), ("v", "l2")]
    rows, found = [], {}
    for prediction, loss in kinds:
        folder = "masked" if (prediction, loss) == (MAIN.prediction, MAIN.loss) else f"{prediction}-{loss}"
        diffusion = lab.diffusion(folder, replace(MAIN, prediction=prediction, loss=loss))
        cells = []
        for steps in (1, 2, 10):
            result = score(diffusion.mean(test, blind, steps, 4), test.clean, test.source.noisy)
            found[f"{prediction}-{loss} {steps}"] = result.psnr
            cells.append(f"{result.psnr:.2f}")
        rows.append([f"{prediction}, {loss.upper()}", *cells, f"{result.ssim:.3f}", f"{result.leak:+.3f}"])
    ten = {name.split()[0]: value for name, value in found.items() if name.endswith(" 10")}
    one = min(found["v-l1 1"], found["v-l2 1"]) - max(found["eps-l1 1"], found["eps-l2 1"])
    behind = max(ten.values()) - ten["v-l1"]
    best = max(ten, key=lambda name: ten[name])
    return Finding(
        title="What is predicted, and the loss (masked conditioning, 4 pairs)",
        claim="v is as good as eps at 10 steps, and the only one that works at one.",
        columns=["target, loss", "K = 1, dB", "K = 2, dB", "K = 10, dB", "SSIM, K = 10", "leak, K = 10"],
        rows=rows,
        numbers=found,
        verdict=judge(one > 1, max(ten["v-l1"], ten["v-l2"]) > max(ten["eps-l1"], ten["eps-l2"]) - SAME),
        seen=(
            f"at 10 steps {best} is best and v-l1 is {behind:.2f} dB behind it; from a single evaluation v "
            f"is {one:+.2f} dB against eps, whose error is divided by alpha there."
        ),
        done=(
            "v with L1 is the default, eps an option."
            if behind <= CLEARLY
            else f"v with L1 is the default for what it does at few steps; {best} is an option of the recipe."
        ),
    )


def _nothing(batch: NoisyBatch) -> Tensor:
    return torch.full_like(batch.noisy, MIDDLE)


def _itself(batch: NoisyBatch) -> Tensor:
    return batch.noisy


def _blurred(batch: NoisyBatch) -> Tensor:
    reach = int(3 * BLUR)
    t = torch.arange(-reach, reach + 1, dtype=torch.float32, device=batch.noisy.device)
    kernel = torch.exp(-0.5 * (t / BLUR) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1, 1)
    padded = functional.pad(batch.noisy, (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, kernel), kernel.transpose(2, 3))


def _error_of_condition(blind: Tensor, test: Test) -> float:
    """Standard deviation in sigmas of c against the truth, as noisy images tell it: without looking there."""
    power = float(((test.noisy - blind) / test.sigma).square().mean())
    return math.sqrt(max(power - 1, 0.01))


def _told(blind: Tensor, test: Test, amount: float, seed: int) -> Tensor:
    """The condition, with noise of `amount` sigmas as it was trained with."""
    if not amount:
        return blind
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(blind.shape, generator=generator).to(blind)
    return blind + amount * test.sigma * noise
