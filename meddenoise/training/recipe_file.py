"""Recipe files: found by name, read, and refused in one sentence that names the file and what is wrong."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch

from meddenoise.errors import TrainingError, UsageError, unknown_name
from meddenoise.io.modality import CODES
from meddenoise.methods import rows
from meddenoise.networks import build
from meddenoise.noise import WHITE
from meddenoise.training.checked import Level, OneOf, Proportion, check, fill
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.row_noise import check_shares
from meddenoise.training.loop import LoopOptions
from meddenoise.training.recipe import (
    Conditional,
    DataRow,
    DiffusionOptions,
    Recipe,
    ScoreOptions,
    Simulated,
    Stages,
    TargetOptions,
)
from meddenoise.training.table import TRAININGS, TrainingRow, find_row
from meddenoise.weights.manifest import OTHER

NEEDED: dict[str, Any] = {
    "method": str,
    "network": dict,
    "modalities": tuple[Annotated[str, OneOf((*CODES, OTHER))], ...],
    "data": tuple[dict, ...],  # type: ignore[type-arg]
}
KEYS = NEEDED | dict.fromkeys(("licence", "start"), str)
KEYS |= dict.fromkeys(("training", "noise", "noise_models", "own_noise", "score"), dict)
STAGES: dict[str, tuple[str, ...]] = {
    "": (),
    "conditional": ("conditional", "diffusion", "diffusion_network"),
    "blind": ("blind", "blind_network", "diffusion", "diffusion_network", "sampler", "targets", "simulated"),
}
"""Tables of the networks before the one pass, by the section that a method needs."""
KEYS |= {key: dict for keys in STAGES.values() for key in keys}


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
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read as a recipe: {error}.") from error
    return parse(path, table)


def parse(path: Path, table: dict[str, Any]) -> Recipe:
    """The recipe in the `table` of the file `path`.

    Raises TrainingError for a table or key that is missing or unknown, a value that is not allowed, and
    values that contradict each other.
    """
    row = _check_tables(path, table)
    options = dict(table["network"])
    name = options.pop("name", row.network)
    check(path, "name in [network]", Annotated[str, OneOf((row.network,))], name)
    _check_network(path, "network", name, options, row.planes)
    limits = tuple(table.get("own_noise", {}).items())
    for pattern, most in limits:
        check(path, f"{pattern!r} in [own_noise]", Level, most)
    try:
        return Recipe(
            name=path.stem,
            method=table["method"],
            network=name,
            network_options=options,
            modalities=tuple(table["modalities"]),
            licence=table.get("licence", "Apache-2.0"),
            loop=_loop(path, "training", table),
            noise=_noise(path, table),
            data=tuple(fill(path, DataRow, "[data]", one, limits=limits) for one in table["data"]),
            stages=_stages(path, table) if row.section == "blind" else None,
            score=fill(path, ScoreOptions, "score", table.get("score", {})),
            conditional=_conditional(path, table) if row.section == "conditional" else None,
            start=table.get("start", ""),
        )
    except ValueError as error:
        raise TrainingError(f"{path} cannot be used: {error}.") from error


def _check_tables(path: Path, table: Mapping[str, Any]) -> TrainingRow:
    """The row of the recipe's method, which has all the tables it needs and no others."""
    for key in NEEDED:
        if key not in table:
            raise TrainingError(f"{path} is not a recipe: it has no {key!r}; see the shipped ones.")
    for key, value in table.items():
        if key not in KEYS:
            raise TrainingError(f"{path}: {unknown_name('table or setting', key, KEYS)}")
        check(path, "[[data]]" if key == "data" else key, KEYS[key], value)
    method = table["method"]
    if method not in (known := {*TRAININGS, *rows()}):
        raise TrainingError(f"{path}: {unknown_name('method', method, known)}")
    row = find_row(method)
    if row.section and row.section not in table:
        raise TrainingError(f"{path} has no table [{row.section}] for {method!r}: add it.")
    for key in (key for keys in STAGES.values() for key in keys if key not in STAGES[row.section]):
        if key in table:
            raise TrainingError(f"{path} has a table [{key}] for {method!r}: leave it out.")
    return row


def _check_network(
    path: Path, table: str, name: str, options: dict[str, Any], planes: tuple[int, ...] = (1,)
) -> None:
    """Raises TrainingError for options of which no network, or none that can be trained here, is made."""
    allowed = {
        "bands": (len(WHITE), 4 * len(WHITE)) if name == "noise-unet" else (len(WHITE),),
        "frames": planes,
    }
    if "condition" in options:
        raise TrainingError(f"{path}: condition in [{table}] is what the method gives: leave it out.")
    try:
        with torch.device("meta"):  # shapes without values: quick, however large
            build(name, options)
    except (UsageError, ValueError) as error:
        raise TrainingError(f"{path}: [{table}] cannot be used: {error}") from error
    for key, values in allowed.items():
        if options.get(key, values[0]) not in values:
            raise TrainingError(f"{path}: {key} in [{table}] is {options[key]}, it must be one of {values}.")


def _loop(path: Path, name: str, table: Mapping[str, Any]) -> LoopOptions:
    """The table `name` of a network's loop, whose patches suit the method."""
    row = find_row(table["method"])
    options = fill(path, LoopOptions, name, table.get(name, {}))
    if options.patch < row.least_patch or options.patch % row.patch_step:
        of = f", a multiple of {row.patch_step}" if row.patch_step > 1 else ""
        raise TrainingError(
            f"{path}: patch in [{name}] is {options.patch}, it must be at least {row.least_patch}{of}."
        )
    return options


def _noise(path: Path, table: Mapping[str, Any]) -> NoiseMix:
    """The tables [noise] and [noise_models]."""
    shares = tuple(table.get("noise_models", {}).items())
    for text, share in shares:
        check(path, f"{text!r} in [noise_models]", Proportion, share)
    try:
        check_shares(shares)
    except (ValueError, UsageError) as error:
        raise TrainingError(f"{path}: [noise_models] cannot be used: {error}") from error
    # how many numbers describe the spectrum is up to the network
    return fill(path, NoiseMix, "noise", table.get("noise", {}), models=shares, bands=len(WHITE))


def _conditional(path: Path, table: Mapping[str, Any]) -> Conditional:
    network = dict(table.get("diffusion_network", {}))
    _check_network(path, "diffusion_network", "cond-unet", network)
    loop = _loop(path, "diffusion", table)
    return fill(path, Conditional, "conditional", table["conditional"], network=network, loop=loop)


def _stages(path: Path, table: Mapping[str, Any]) -> Stages:
    networks = {name: dict(table.get(name, {})) for name in ("blind_network", "diffusion_network")}
    _check_network(path, "blind_network", "blind-spot", networks["blind_network"])
    _check_network(path, "diffusion_network", "cond-unet", networks["diffusion_network"])
    simulated = table.get("simulated")
    return Stages(
        **networks,
        blind=_loop(path, "blind", table),
        diffusion=_loop(path, "diffusion", table),
        sampler=fill(path, DiffusionOptions, "sampler", table.get("sampler", {})),
        targets=fill(path, TargetOptions, "targets", table.get("targets", {})),
        simulated=None if simulated is None else fill(path, Simulated, "simulated", simulated),
    )
