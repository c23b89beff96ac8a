"""TABLE of the methods that can be trained, and what the training of each needs. Rows import nothing."""

from dataclasses import dataclass, replace
from typing import Literal

_NO_USE = "{method!r} has no use for {option}: leave it out."
_CLEAN = "{method!r} learns from clean images only: leave out {option}."
_NOISY = "{method!r} learns from noisy images only: leave out {option}."
_NOT_BLIND = "{option} is for self-supervised methods, and {method!r} is not one."
_TRAINERS = "meddenoise.training.trainers"
_DRAWS = "meddenoise.training.data.corrupt"


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One row: the `training.Trainer` ("module:name"), and what sets the method apart."""

    trainer: str
    refused: dict[str, str]
    """Options it has no use for, and the sentence that says so."""
    network: str = "noise-unet"
    """The name in NETWORKS of the one that gives the result in one pass, or that is the only one."""
    planes: tuple[int, ...] = (1,)
    """Numbers of planes that a "noise-unet" of it may be given."""
    least_patch: int = 16
    """Side of its smallest patches in pixels; they are multiples of `patch_step`."""
    patch_step: int = 1
    section: Literal["", "blind", "conditional"] = ""
    """The table of a recipe that describes the networks before the one pass; empty where there are none."""
    frames: bool = False
    """True where neighbouring planes are frames in which things move: those of others are slices."""
    channels: int = 0
    """Of the condition of a diffusion network: an image and all that is given of it."""
    degrade: str = ""
    """The `training.data.pairs.Degrade` that draws this condition, of methods without `frames`."""
    holes: bool = False
    """True where the last channel marks the pixels to fill in: only they count."""


_DIFFUSION = TrainingRow(
    f"{_TRAINERS}:train_diffusion",
    section="conditional",
    network="cond-unet",
    refused=dict.fromkeys(("--noise-profile", "--ref", "--blind-radius"), _NO_USE),
)

TRAININGS: dict[str, TrainingRow] = {
    "direct": TrainingRow(f"{_TRAINERS}:train_direct", planes=(1, 3), refused={"--blind-radius": _NOT_BLIND}),
    "vpsde": TrainingRow(
        f"{_TRAINERS}:train_score",
        network="vpsde-unet",
        patch_step=4,
        refused={"--noise-profile": _NO_USE, "--blind-radius": _NOT_BLIND, "--ref": _CLEAN},
    ),
    "noise-estimator": TrainingRow(
        f"{_TRAINERS}:train_estimator",
        network="noise-level",
        least_patch=64,
        refused={"--noise-profile": _NO_USE, "--blind-radius": _NOT_BLIND, "--ref": _NO_USE},
    ),
    "diffdenoise": TrainingRow(
        f"{_TRAINERS}:train_noisy",
        section="blind",
        refused={"--noise-profile": _NO_USE, "--ref": _NOISY},
    ),
    "medcdiff": replace(_DIFFUSION, channels=6, degrade=f"{_DRAWS}:degrade_noisy"),
    "medcdiff-upscale": replace(_DIFFUSION, channels=2, degrade=f"{_DRAWS}:degrade_coarse"),
    "medcdiff-inpaint": replace(_DIFFUSION, channels=2, degrade=f"{_DRAWS}:degrade_holed", holes=True),
    "befoi": replace(
        _DIFFUSION,
        network="noise-unet",
        planes=(3,),
        channels=4,
        frames=True,
        refused=dict.fromkeys(("--ref", "--blind-radius"), _NO_USE),
    ),
}


def find_row(method: str) -> TrainingRow:
    """The row of a method; that of `direct` for one that another package adds."""
    return TRAININGS.get(method, TRAININGS["direct"])
