"""Recipes: everything about a training run, each field with the values it allows."""

from dataclasses import dataclass
from fnmatch import fnmatch
from math import inf, isclose
from typing import Annotated, Any, Literal

from meddenoise.diffusion.schedules import SCHEDULES
from meddenoise.io.modality import CODES
from meddenoise.phantom import PHANTOMS
from meddenoise.training.checked import OneOf, Positive, Proportion, Size, Within
from meddenoise.training.data.degradation import EXACT
from meddenoise.training.data.mix import NoiseMix, Sigma, check_order
from meddenoise.training.loop import LoopOptions

Predicted = Literal["v", "eps"]
Conditioning = Literal["masked", "plain", "noise"]
Loss = Literal["l1", "l2"]
ScheduleName = Annotated[str, OneOf(tuple(SCHEDULES))]
WindowEnd = Annotated[float, Within(-1e9, 1e9)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRow:
    """A folder of clean images, how its values map to 0..255, and how often it is drawn.

    Instead of a folder, `phantom` names what is drawn: a kind of `meddenoise phantom`, or "scenes", random
    shapes and textures, others for every patch.
    """

    folder: str = "."
    phantom: Annotated[str, OneOf(("", "scenes", *PHANTOMS))] = ""
    seeds: Size = 8
    """Phantoms that are made, of the seeds from FIRST_SEED on."""
    modality: Annotated[str, OneOf(("", "*", *CODES))] = ""
    """DICOM code, or "*" for any; empty takes what the files say."""
    low: Annotated[float, Within(-1e9, 1e9)] = 0.0
    """Value that becomes 0."""
    range: Annotated[float, Within(0, 1e9)] = 0.0
    """Width that becomes 255; 0 takes 2000 HU for CT, else what reaches to the 99.9th percentile."""
    weight: Annotated[float, Within(0, 1e6)] = 1.0
    own: Annotated[float, Within(-1, 255)] = -1.0
    """Noise the images have themselves, in 255ths of the range, white; below 0 it is estimated."""
    repeats: bool = False
    """True for runs of a scene in which nothing moves: only the noise of their frames is used."""
    attribution: str = ""
    """Origin and licence of the images, for the checkpoint and its card."""
    limits: tuple[tuple[str, float], ...] = ()
    """Pattern of file names, and the most own noise those files have: the recipe's table [own_noise]."""

    def most_own(self, name: str) -> float:
        """The most own noise, in 255ths, of the file `name`: that of the first pattern that fits."""
        return next((most for pattern, most in self.limits if fnmatch(name, pattern)), inf)

    @property
    def exact(self) -> bool:
        """True of references without noise of their own."""
        return bool(self.phantom) or 0 <= self.own < EXACT

    @property
    def source(self) -> str:
        """The name its images share."""
        return f"phantom:{self.phantom}" if self.phantom else self.folder


@dataclass(frozen=True, slots=True)
class Simulated:
    """One fixed noise realisation for every image, where the images are not noisy themselves.

    The level is drawn log-uniformly, in 255ths; a Gaussian kernel of `kernels` pixels is drawn by `shares`.
    """

    sigma_min: Sigma = 6.0
    sigma_max: Sigma = 50.0
    kernels: tuple[Annotated[float, Within(0, 10)], ...] = (0.0, 0.5, 1.2)
    shares: tuple[Proportion, ...] = (0.6, 0.2, 0.2)

    def __post_init__(self) -> None:
        """Raises ValueError for levels in the wrong order and shares that do not fit the kernels."""
        check_order(self.sigma_min, self.sigma_max)
        if len(self.shares) != len(self.kernels) or not isclose(sum(self.shares), 1):
            raise ValueError(f"its {len(self.kernels)} kernels need as many shares, whose sum is 1")


@dataclass(frozen=True, slots=True)
class DiffusionOptions:
    """Options of the diffusion stage of DiffDenoise.

    `conditioning`: "masked" (loss where the condition has not seen the noise), "plain" (as published), or
    "noise" (condition plus fresh noise of `condition_noise` times sigma).
    """

    conditioning: Conditioning = "masked"
    condition_noise: Annotated[float, Within(0, 10)] = 0.5
    prediction: Predicted = "v"
    schedule: ScheduleName = "cosine-1000"
    loss: Loss = "l1"
    share: Positive = 0.2
    """Share of pixels that are masked."""


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """Options of the targets that the student learns from."""

    steps: Size = 2
    pairs: Size = 1
    crop: Annotated[int, Within(0, 4096)] = 0
    """Middle of the plane that is used; 0 for all of it."""
    keep: Proportion = 1.0
    """Share of the images of each source, those with the least noise, whose targets are the best."""
    pair_share: Proportion = 0.25
    """Share of patches with their own noise; the others get fresh noise on the target."""
    recorrupted: bool = False
    """Patches with their own noise are learnt from by two noisier versions, without the target."""
    fusion: bool = True
    iterations: Annotated[int, Within(0, 8)] = 1
    """Rounds of training sampler and student; 0: two if the noise of most images is correlated."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """Options of an unconditional score network (VP-SDE)."""

    window: tuple[WindowEnd, WindowEnd] = (-160.0, 240.0)
    """Values in the images' unit that become -1 and 1; what lies beyond is cut off for training."""
    dataset: Literal["", "organamnist"] = ""
    """"organamnist": --data is the folder of the package medmnist; empty for folders of images."""
    frequency_weight: Annotated[float, Within(0, 1e6)] = 0.1
    frequency: Literal["bounded", "slides"] = "bounded"
    """The frequency term: "bounded", or "slides", where few samples of almost pure noise rule it."""
    weak: Proportion = 0.0
    """Share of patches with noise under half the window, its logarithm spread evenly; of the others, the time
    is. A wide window needs them: what is strong noise in HU is weak noise there."""
    plain: Proportion = 0.0
    """Share of even patches in place of anatomy."""

    def __post_init__(self) -> None:
        """Raises ValueError for a window whose ends are in the wrong order."""
        low, high = self.window
        if low >= high:
            raise ValueError(f"the window begins at {low:g} and ends at {high:g}: its end must be above")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """The diffusion network of Med-cDiff, from which the one-pass network is distilled."""

    network: dict[str, Any]
    loop: LoopOptions
    prediction: Predicted = "v"
    loss: Literal["rms", "l2"] = "rms"
    """Mean over patches of the "rms" error, or "l2" as published."""
    schedule: ScheduleName = "linear-2000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The stages of DiffDenoise before its student."""

    blind_network: dict[str, Any]
    blind: LoopOptions
    diffusion_network: dict[str, Any]
    diffusion: LoopOptions
    sampler: DiffusionOptions
    targets: TargetOptions
    simulated: Simulated | None
    """None where the images are noisy themselves."""

    def __post_init__(self) -> None:
        """Raises ValueError for more steps than the schedule has."""
        most = len(SCHEDULES[self.sampler.schedule])
        if self.targets.steps > most:
            raise ValueError(f"[targets] has {self.targets.steps} steps, {self.sampler.schedule} only {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run: `meddenoise train --recipe NAME --data DIR` needs nothing else.

    `network`, `loop` and `noise` are those of the one-pass network; of the student where there are `stages`,
    or a `conditional` diffusion network before it.
    """

    name: str
    method: str
    network: str
    network_options: dict[str, Any]
    modalities: tuple[str, ...]
    licence: str
    loop: LoopOptions
    noise: NoiseMix
    data: tuple[DataRow, ...]
    stages: Stages | None = None
    score: ScoreOptions = ScoreOptions()
    conditional: Conditional | None = None
    start: str = ""
    """Checkpoint the one-pass network begins as, of fewer frames or channels; empty for random weights."""

    def __post_init__(self) -> None:
        """Raises ValueError for data of which nothing is drawn, and targets smaller than patches of them."""
        drawn = [row for row in self.data if not (self.stages and row.exact)]
        if not any(row.weight for row in drawn):
            noisy = " with images that are not exact" if self.stages else ""
            raise ValueError(f"no table [[data]]{noisy} has a weight above 0")
        crop = self.stages.targets.crop if self.stages else 0
        if 0 < crop < self.loop.patch:
            raise ValueError(
                f"crop in [targets] is {crop}, less than the patch of {self.loop.patch} in [training]"
            )
