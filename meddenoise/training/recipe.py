"""Recipes: one TOML file that says everything about a training run."""

import tomllib
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from meddenoise.diffusion.schedules import Prediction
from meddenoise.errors import TrainingError, UsageError, unknown_name
from meddenoise.training.checked import check_kinds, is_number
from meddenoise.training.data.degradation import EXACT
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.row_noise import check_shares
from meddenoise.training.loop import LoopOptions
from meddenoise.training.table import find_row

T = TypeVar("T")
CONDITIONAL = ("prediction", "loss", "schedule")
"""Settings of the table [conditional]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRow:
    """A folder of clean images, how its values map to 0..255, and how often it is drawn.

    Instead of a folder, `phantom` names what is drawn: a kind of `meddenoise phantom`, or "scenes", random
    shapes and textures, others for every patch.
    """

    folder: str = "."
    phantom: str = ""
    seeds: int = 8
    """Phantoms that are made, of the seeds from FIRST_SEED on."""
    modality: str = ""
    """DICOM code; empty takes what the files say."""
    low: float = 0.0
    """Value that becomes 0."""
    range: float = 0.0
    """Width that becomes 255; 0 takes 2000 HU for CT, else what reaches to the 99.9th percentile."""
    weight: float = 1.0
    own: float = -1.0
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

    sigma_min: float = 6.0
    sigma_max: float = 50.0
    kernels: tuple[float, ...] = (0.0, 0.5, 1.2)
    shares: tuple[float, ...] = (0.6, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class DiffusionOptions:
    """Options of the diffusion stage of DiffDenoise.

    `conditioning`: "masked" (loss where the condition has not seen the noise), "plain" (as published), or
    "noise" (condition plus fresh noise of `condition_noise` times sigma).
    """

    conditioning: str = "masked"
    condition_noise: float = 0.5
    prediction: Prediction = "v"
    schedule: str = "cosine-1000"
    loss: str = "l1"
    share: float = 0.2
    """Share of pixels that are masked."""


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """Options of the targets that the student learns from."""

    steps: int = 2
    pairs: int = 1
    crop: int = 0
    """Middle of the plane that is used; 0 for all of it."""
    keep: float = 1.0
    """Share of the images of each source, those with the least noise, whose targets are the best."""
    pair_share: float = 0.25
    """Share of patches with their own noise; the others get fresh noise on the target."""
    recorrupted: bool = False
    """Patches with their own noise are learnt from by two noisier versions, without the target."""
    fusion: bool = True
    iterations: int = 1
    """Rounds of training sampler and student; 0: two if the noise of most images is correlated."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """Options of an unconditional score network (VP-SDE)."""

    window: tuple[float, float] = (-160.0, 240.0)
    """Values in the images' unit that become -1 and 1; what lies beyond is cut off for training."""
    dataset: str = ""
    """"organamnist": --data is the folder of the package medmnist; empty for folders of images."""
    frequency_weight: float = 0.1
    frequency: str = "bounded"
    """The frequency term: "bounded", or "slides", where few samples of almost pure noise rule it."""
    weak: float = 0.0
    """Share of patches with noise under half the window, its logarithm spread evenly; of the others, the time
    is. A wide window needs them: what is strong noise in HU is weak noise there."""
    plain: float = 0.0
    """Share of even patches in place of anatomy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """The diffusion network of Med-cDiff, from which the one-pass network is distilled."""

    network: dict[str, Any]
    loop: LoopOptions
    prediction: Prediction = "v"
    loss: str = "rms"
    """Mean over patches of the "rms" error, or "l2" as published."""
    schedule: str = "linear-2000"


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


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every recipe inside the package."""
    folder = Path(str(resources.files("meddenoise") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_recipe(name: str) -> Recipe:
    """The shipped recipe `name`, or the one in the TOML file `name`.

    Raises UsageError for an unknown name, TrainingError for a file that is no recipe.
    """
    path = Path(name)
    if path.suffix != ".toml":
        shipped = shipped_recipes()
        if name not in shipped:
            raise unknown_name("recipe", name, shipped)
        path = shipped[name]
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path} cannot be read as a recipe: {error}.") from error
    return _parse(path, table)


def _parse(path: Path, table: dict[str, Any]) -> Recipe:
    missing = [key for key in ("method", "network", "modalities", "data") if key not in table]
    if missing:
        raise TrainingError(f"{path} is not a recipe: it has no {missing[0]!r}; see the shipped ones.")
    check_kinds(path, table)
    section = find_row(str(table["method"])).section
    for name in ("blind", "conditional"):
        if (name in table) != (name == section):
            fault, remedy = ("has no", "add it") if name == section else ("has a", "leave it out")
            raise TrainingError(f"{path} {fault} table [{name}] for {table['method']!r}: {remedy}.")
    options = dict(table["network"])
    limits = [(pattern, float(most)) for pattern, most in table.get("own_noise", {}).items()]
    return Recipe(
        name=path.stem,
        method=str(table["method"]),
        network=str(options.pop("name", "")),
        network_options=options,
        modalities=tuple(table["modalities"]),
        licence=str(table.get("licence", "Apache-2.0")),
        loop=_fill(path, LoopOptions, table.get("training", {})),
        noise=_noise(path, table),
        data=tuple(_fill(path, DataRow, {**row, "limits": limits}) for row in table["data"]),
        stages=_stages(path, table) if section == "blind" else None,
        score=_fill(path, ScoreOptions, table.get("score", {})),
        conditional=_conditional(path, table) if section == "conditional" else None,
        start=str(table.get("start", "")),
    )


def _noise(path: Path, table: dict[str, Any]) -> NoiseMix:
    """The tables [noise] and [noise_models]."""
    models = table.get("noise_models", {})
    try:
        shares = tuple((str(text), float(share)) for text, share in models.items())
        check_shares(shares)
    except (AttributeError, TypeError, ValueError, UsageError) as error:
        raise TrainingError(f"{path}: [noise_models] cannot be used: {error}") from error
    return _fill(path, NoiseMix, {**table.get("noise", {}), "models": shares})


def _conditional(path: Path, table: dict[str, Any]) -> Conditional:
    options = table["conditional"]
    for key in options:
        if key not in CONDITIONAL:
            raise TrainingError(f"{path}: {unknown_name('setting', key, CONDITIONAL)}")
    network = dict(table.get("diffusion_network", {}))
    return Conditional(network=network, loop=_fill(path, LoopOptions, table.get("diffusion", {})), **options)


def _stages(path: Path, table: dict[str, Any]) -> Stages:
    simulated = table.get("simulated")
    return Stages(
        blind_network=dict(table.get("blind_network", {})),
        blind=_fill(path, LoopOptions, table["blind"]),
        diffusion_network=dict(table.get("diffusion_network", {})),
        diffusion=_fill(path, LoopOptions, table.get("diffusion", {})),
        sampler=_fill(path, DiffusionOptions, table.get("sampler", {})),
        targets=_fill(path, TargetOptions, table.get("targets", {})),
        simulated=None if simulated is None else _fill(path, Simulated, simulated),
    )


def _fill(path: Path, kind: type[T], table: dict[str, Any]) -> T:
    """A dataclass from a table; every key must be one of its fields, with a value of its default's type."""
    known = {item.name: item.default for item in fields(kind)}  # type: ignore[arg-type]
    table = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for key, value in table.items():
        if key not in known:
            raise TrainingError(f"{path}: {unknown_name('setting', key, known)}")
        wanted = type(known[key])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or (wanted in (int, float) and not is_number(value)):
            raise TrainingError(f"{path}: {key} is {value!r}, it must be of type {wanted.__name__}.")
        if key == "precision" and value not in ("auto", "fp32", "bf16"):
            raise TrainingError(f"{path}: precision is {value!r}: give auto, fp32 or bf16.")
    return kind(**table)
