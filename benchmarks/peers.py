"""The table of methods that every benchmark and paper fills with rows, and those that clean single planes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cases import NoisyCase
from benchmarks.script import tell
from meddenoise.errors import MeddenoiseError
from meddenoise.methods import METHODS, Setup, get
from meddenoise.methods.classical import bm3d_coloured, require_bm3d
from meddenoise.noise.physics import NPS_FREQUENCIES
from meddenoise.noise.spectrum import radial_frequency
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Geometry, Image, Series

Column = TypeVar("Column")
Peer = Callable[[NoisyCase], Image]

GIVEN_MODEL = "bm3d+model"
"""Column of BM3D with the whole noise model."""
GIVEN_PEERS = ("nlm", "bm3d", GIVEN_MODEL)
"""Peers of documents and model cards, each given what is true of the noise."""


class PeerError(MeddenoiseError):
    """A method that cannot run here, and why."""


def make_columns(
    rows: Mapping[str, Callable[[], Mapping[str, Column]]], check: Callable[[Column], object] | None = None
) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns of every row that can run here, and of each that cannot the reason.

    A row makes its columns, training what it needs. `check`, if given, sees each of them and refuses by an
    error, as a row does: any MeddenoiseError.
    """
    columns: dict[str, Column] = {}
    left_out: dict[str, str] = {}
    for name, make in rows.items():
        try:
            made = make()
            if check is not None:
                for column in made.values():
                    check(column)
            columns |= made
        except MeddenoiseError as error:
            left_out[name] = str(error)
            tell(f"{name} left out: {error}")
    return columns, left_out


def peers_of(name: str, weights: str | None, options: Options) -> dict[str, Peer]:
    """The columns of the method of that name.

    A learned method has two: given the noise level, and estimating it (`NAME auto`). BM3D has a second that
    is given the whole noise model. Raises UsageError for an unknown name, or a missing package.
    """
    if get(name).uses_weights:
        settings = replace(options, method=name, weights=weights)
        return {name: _ours(settings, told=True), f"{name} auto": _ours(settings, told=False)}
    columns = (name, GIVEN_MODEL) if name == "bm3d" else (name,)
    return {column: given_peer(column) for column in columns}


def given_peer(name: str) -> Peer:
    """A peer that is given what is true of the noise. Raises UsageError if its package is missing."""
    if name == GIVEN_MODEL:
        require_bm3d()
        return bm3d_given_model
    return classical(name)


def is_learned(name: str) -> bool:
    """True for the columns of methods with weights."""
    row = METHODS.get(name.split()[0])
    return row is not None and row.learned


def bm3d_given_model(case: NoisyCase) -> Image:
    """BM3D given the true spectrum, behind the true variance stabilisation."""
    noisy = case.noisy.astype(np.float64)
    if case.told == 0:
        return case.noisy
    power = _power(case)
    if case.stabiliser is None:
        return (bm3d_coloured(noisy / case.told, power) * case.told).astype(np.float32)
    stable = case.stabiliser.forward(noisy).astype(np.float64)
    return case.stabiliser.inverse(bm3d_coloured(stable, power)).astype(np.float32)


def as_series(plane: Image, modality: str) -> Series:
    """A series of one float plane."""
    limit = float(np.finfo(np.float32).max)
    return Series(
        pixels=plane[None],
        slope=np.ones(1),
        intercept=np.zeros(1),
        stored_range=(-limit, limit),
        geometry=Geometry(known=False),
        format="nifti",
        path=Path("benchmark"),
        files=(),
        modality=modality,
        unit="HU" if modality == "CT" else "",
    )


def _ours(options: Options, told: bool) -> Peer:
    def denoise(case: NoisyCase) -> Image:
        if told and case.told == 0:
            return case.noisy
        settings = replace(options, sigma=case.told if told else None)
        result = denoise_series(as_series(case.noisy, case.modality), settings)
        plane: Image = result.series.values(0, 1)[0]
        return plane

    return denoise


def classical(name: str) -> Peer:
    """A filter without weights, given the level of the case alone."""
    denoiser = get(name).load(Setup())

    def denoise(case: NoisyCase) -> Image:
        noisy = torch.from_numpy(case.noisy)[None, None]
        plane: Image = denoiser(noisy, torch.tensor([case.told]))[0, 0].numpy()
        return plane

    return denoise


def _power(case: NoisyCase) -> NDArray[np.float64] | None:
    """The true noise power at every frequency of a full FFT of the plane, mean 1."""
    if case.nps is None:
        return None
    rows, columns = case.noisy.shape
    half = np.interp(radial_frequency(rows, columns), NPS_FREQUENCIES, case.nps)
    power = np.empty((rows, columns))
    power[:, : half.shape[1]] = half
    # The other half of a real signal's spectrum is the first one, turned about the origin.
    mirrored = half[(-np.arange(rows)) % rows][:, 1 : columns - half.shape[1] + 1]
    power[:, half.shape[1] :] = mirrored[:, ::-1]
    floor = 1e-3 * power.mean()
    power = np.maximum(power, floor)
    normal: NDArray[np.float64] = power / power.mean()
    return normal
