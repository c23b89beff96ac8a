"""pix2pix: a U-Net generator against a patch discriminator, told the degraded image; small, but faithful.

Source: Isola, Zhu, Zhou, Efros 2017 (arXiv 1611.07004): 4 x 4 convolutions of stride 2 down to one pixel,
dropout in the three deepest layers of the way up, at test time too; 70 x 70 patches; cross entropy plus 100
times L1; Adam of rate 2e-4 and beta1 0.5, falling to 0 over the second half. Batches of one image there are
instance norms here.
"""

import sys
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from time import perf_counter

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.training.data.pairs import PairSource, TrainingPair
from meddenoise.training.loop import Share
from papers.medcdiff.restoration_cases import RestorationCase

SIDE, BATCH = 128, 4
LEVELS = 7
"""Halvings: SIDE becomes one pixel."""
WIDTH = 32
"""Channels of the first layer, half of the paper's; the deepest have 8 times as many."""
RATE, BETAS = 2e-4, (0.5, 0.999)
L1 = 100.0
DROPPED = 3
TELL_SECONDS = 30.0


class Pix2PixGenerator(nn.Module):
    """U-Net from the condition [B, C, H, W] to an image [B, 1, H, W] in [-1, 1]; sides are padded."""

    def __init__(self, channels: int = 2, width: int = WIDTH) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(LEVELS)]
        self.down = nn.ModuleList([_down(channels, widths[0], norm=False, bent=False)])
        for level, (thin, wide) in enumerate(pairwise(widths), start=1):
            self.down.append(_down(thin, wide, norm=level < LEVELS - 1))
        self.up, into = nn.ModuleList(), widths[-1]
        for level in reversed(range(1, LEVELS)):
            self.up.append(_up(into, widths[level - 1], dropped=level >= LEVELS - DROPPED))
            into = 2 * widths[level - 1]
        self.tail = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(into, 1, 4, 2, 1), nn.Tanh())

    def forward(self, condition: Tensor) -> Tensor:
        """The image; random, by the dropout."""
        height, width = condition.shape[-2:]
        grown = (0, -width % 2**LEVELS, 0, -height % 2**LEVELS)
        features = functional.pad(condition, grown, mode="replicate")
        skips = []
        for layer in self.down:
            features = layer(features)
            skips.append(features)
        features = skips.pop()
        for layer in self.up:
            features = torch.cat([layer(features), skips.pop()], dim=1)
        image: Tensor = self.tail(features)
        return image[..., :height, :width]


def discriminator(channels: int = 3, width: int = WIDTH) -> nn.Sequential:
    """Logits of whether each 70 x 70 patch of [condition, image] is real."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        *_layer(width, 2 * width, 2),
        *_layer(2 * width, 4 * width, 2),
        *_layer(4 * width, 8 * width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8 * width, 1, 4, 1, 1),
    )


def train_pix2pix(source: PairSource, minutes: float, path: Path) -> Path:
    """The weights of a generator trained for `minutes`, or those that are there already."""
    if path.exists():
        return path
    torch.manual_seed(0)
    generator, judge = Pix2PixGenerator(source.row.channels), discriminator(1 + source.row.channels)
    for network in (generator, judge):
        network.apply(_initialise)
    makers = [torch.optim.Adam(network.parameters(), RATE, BETAS) for network in (generator, judge)]
    started = told = perf_counter()
    for step in count():
        passed = (perf_counter() - started) / (60 * minutes)
        if passed >= 1 and step:
            break
        for maker in makers:
            maker.param_groups[0]["lr"] = RATE * min(1.0, max(2 - 2 * passed, 0.0))
        losses = _step(generator, judge, makers, source.batch(step, BATCH, Share(torch.device("cpu"))))
        if perf_counter() - told > TELL_SECONDS:
            told = perf_counter()
            print(f"pix2pix: {step} steps, {losses}", file=sys.stderr, flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(generator.state_dict(), path, {"steps": str(step)})
    return path


def load_pix2pix(path: Path) -> Callable[[RestorationCase], Tensor]:
    """The trained generator on test cases; known pixels are pasted in."""
    state = load_file(path)
    generator = Pix2PixGenerator(state["down.0.0.weight"].shape[1])
    generator.load_state_dict(state)
    generator.train().requires_grad_(False)

    def run(case: RestorationCase) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return case.condition.paste(generator(case.condition.channels))

    return run


def _step(
    generator: nn.Module, judge: nn.Module, makers: list[torch.optim.Adam], pair: TrainingPair
) -> dict[str, float]:
    """One step of the discriminator, then one of the generator; their losses."""
    told = pair.condition.channels
    image = pair.condition.paste(generator(told))
    real, fake = (judge(torch.cat([told, x], dim=1)) for x in (pair.clean, image.detach()))
    doubt = (_entropy(real, True) + _entropy(fake, False)) / 2
    makers[1].zero_grad()
    doubt.backward()  # type: ignore[no-untyped-call]
    makers[1].step()
    fooled = _entropy(judge(torch.cat([told, image], dim=1)), True)
    error = ((image - pair.clean).abs() * pair.counts).sum() / pair.counts.sum().clamp(min=1)
    makers[0].zero_grad()
    (fooled + L1 * error).backward()  # type: ignore[no-untyped-call]
    makers[0].step()
    return {"L1": round(error.item(), 4), "judge": round(doubt.item(), 3), "fooled": round(fooled.item(), 3)}


def _entropy(logits: Tensor, real: bool) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def _down(into: int, out: int, norm: bool = True, bent: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if bent else []
    layers.append(nn.Conv2d(into, out, 4, 2, 1))
    return nn.Sequential(*layers, *([nn.InstanceNorm2d(out, affine=True)] if norm else []))


def _up(into: int, out: int, dropped: bool) -> nn.Sequential:
    layers = [nn.ReLU(), nn.ConvTranspose2d(into, out, 4, 2, 1), nn.InstanceNorm2d(out, affine=True)]
    return nn.Sequential(*layers, *([nn.Dropout(0.5)] if dropped else []))


def _layer(into: int, out: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.LeakyReLU(0.2), nn.Conv2d(into, out, 4, stride, 1), nn.InstanceNorm2d(out, affine=True)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
