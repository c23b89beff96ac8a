"""The methods of a benchmark, each a callable (case) -> clean plane."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cases import Case
from meddenoise.errors import MeddenoiseError
from meddenoise.methods import METHODS, Setup, get
from meddenoise.methods.classical import bm3d_coloured, require_bm3d
from meddenoise.noise.physics import NPS_FREQUENCIES
from meddenoise.noise.spectrum import radial_frequency
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Geometry, Plane, Series

Peer = Callable[[Case], Plane]

GIVEN_MODEL = "bm3d+model"
"""Column of BM3D with the whole noise model."""
GIVEN_PEERS = ("nlm", "bm3d", GIVEN_MODEL)
"""Peers of documents and model cards, each given what is true of the noise."""


class PeerError(Exception):
    """A method that cannot run here, and why."""


def choose_peers(names: Sequence[str], weights: str | None, options: Options) -> dict[str, Peer]:
    """The callables of the methods named, by column name.

    A learned method has two columns: given the noise level, and estimating it (`NAME auto`). BM3D has a
    second that is given the whole noise model. Raises UsageError for an unknown name, or a missing package.
    """
    peers: dict[str, Peer] = {}
    for name in names:
        method = get(name)
        if method.uses_weights:
            settings = replace(options, method=name, weights=weights)
            peers[name] = _ours(settings, told=True)
            peers[f"{name} auto"] = _ours(settings, told=False)
        else:
            columns = (name, GIVEN_MODEL) if name == "bm3d" else (name,)
            peers |= {column: given_peer(column) for column in columns}
    return peers


def given_peer(name: str) -> Peer:
    """A peer that is given what is true of the noise. Raises UsageError if its package is missing."""
    if name == GIVEN_MODEL:
        require_bm3d()
        return bm3d_given_model
    return classical(name)


def unusable(peer: Peer, case: Case) -> str | None:
    """The reason why a peer cannot run here, None if it can."""
    try:
        peer(case)
    except MeddenoiseError as error:
        return str(error)
    return None


def is_learned(name: str) -> bool:
    """True for the columns of methods with weights."""
    row = METHODS.get(name.split()[0])
    return row is not None and row.learned


def bm3d_given_model(case: Case) -> Plane:
    """BM3D given the true spectrum, behind the true variance stabilisation."""
    noisy = case.noisy.astype(np.float64)
    if case.told == 0:
        return case.noisy
    power = _power(case)
    if case.stabiliser is None:
        return (bm3d_coloured(noisy / case.told, power) * case.told).astype(np.float32)
    stable = case.stabiliser.forward(noisy).astype(np.float64)
    return case.stabiliser.inverse(bm3d_coloured(stable, power)).astype(np.float32)


def as_series(plane: Plane, modality: str) -> Series:
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
    def denoise(case: Case) -> Plane:
        if told and case.told == 0:
            return case.noisy
        settings = replace(options, sigma=case.told if told else None)
        result = denoise_series(as_series(case.noisy, case.modality), settings)
        plane: Plane = result.series.values(0, 1)[0]
        return plane

    return denoise


def classical(name: str) -> Peer:
    """A filter without weights, given the level of the case alone."""
    denoiser = get(name).load(Setup())

    def denoise(case: Case) -> Plane:
        noisy = torch.from_numpy(case.noisy)[None, None]
        plane: Plane = denoiser(noisy, torch.tensor([case.told]))[0, 0].numpy()
        return plane

    return denoise


def _power(case: Case) -> NDArray[np.float64] | None:
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
