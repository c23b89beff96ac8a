"""The noise of a plane by the learned estimator, held against the classical one."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from meddenoise.engine.device import choose_device
from meddenoise.engine.threads import one_thread
from meddenoise.errors import WeightsError
from meddenoise.networks.noise_level import CELL, NoiseLevelNet
from meddenoise.noise import BAND_EDGES, NoiseEstimate
from meddenoise.noise.blocks import usable_pixels
from meddenoise.noise.cells import bands_of_cells, cell_shares
from meddenoise.noise.estimate import estimate_plane
from meddenoise.noise.quiet import most_noise
from meddenoise.series import Image, Mask
from meddenoise.weights import load
from meddenoise.weights.checkpoint import load_network

NAME = "noise-estimator"
"""The bundled checkpoint."""
NEARLY_WHITE = 0.1
"""Root mean square, over all frequencies, of the log of the amplitude relative to white noise up to which a
spectrum counts as white. The network reads most white noise that near, most often a little too strong where
anatomy is: in the lowest band, where that would take faint contrast away."""
SMALLEST = 2 * CELL
"""Planes with a shorter side have too few cells to tell noise from anatomy."""
NONE = 1.5
"""Levels up to this many times the least that can be distinguished from none count as none."""
DISAGREE = 1.5
"""Factor between the two levels from which a user is warned."""
DOUBT = 0.15
"""Relative error that the network expects of its level, from which the quietest squares are asked."""
MOST_BRIGHT = 6.0
"""Times the network's level up to which noise that follows the brightness is believed."""
MOST_ANATOMY = 1.05
"""Times the classical level up to which the network's is believed in radiographs, and of fine noise in images
of no known modality: it takes ribs and dense texture for noise, and the flattest places, which have some too,
know better."""
MOST_LOWERED = 1.4
"""By what factor they may lower it where the network is in no DOUBT: noise may be weak in places."""
MOST_RICIAN = 2.5
"""Times the network's level up to which Rician noise that the classical estimate recognises is believed."""
MOST_COILS = 1.43
"""The same of several coils: their noise has 0.7 of the level where no signal is, and a network that averages
over both can lose no more."""
RADIOGRAPHS = "DX", "CR", "XA", "RF"
UNEVEN = "CT", "MR"
"""Modalities whose levels came out worse when held against the quietest squares: CT of iterative
reconstruction and MR repeats of `benchmarks/noise_estimate.py`. Their noise differs from place to place."""
COARSE = 0.65
"""Amplitude of the highest band, relative to white, below which noise is coarse for the pixels."""
COARSEST, CAUTION = 3.7, 0.83
"""Amplitude of the lowest band, relative to white, from which noise is as coarse as anatomy, and the share of
its level that counts: anatomy is in what was read, and to take that out costs more than some noise left."""
BLIND = 0.5
"""Share of the network's level of coarse noise below which the classical estimate is blind to it."""
MAGNITUDES = "MR", ""
"""Modalities whose images may be magnitudes, with Rician noise; not known is one of them."""


class NoiseEstimator:
    """A network that reads the noise of one plane at a time."""

    def __init__(self, network: NoiseLevelNet) -> None:
        self.network = network

    @torch.inference_mode()
    def estimate(self, plane: Image, valid: Mask, modality: str = "") -> NoiseEstimate:
        """The noise of a plane [Y, X] in its own unit; sigma 0 where none can be seen.

        `valid` [Y, X] is False where pixels are no image; `modality` is a DICOM code. Planes need SMALLEST
        pixels a side.
        """
        usable = usable_pixels(plane, valid)
        if not usable.any():
            return NoiseEstimate(0.0)
        magnitude = modality in MAGNITUDES and bool(plane[usable].min() >= 0)
        # Steps to the values of a margin would look like edges of any height.
        filled = np.where(usable, plane, plane[usable].min()).astype(np.float32)
        if not magnitude:  # values far from 0 would cost digits
            filled -= filled.mean(dtype=np.float64).astype(np.float32)
        # Radiographs come in both photometric interpretations, and neither is the right one.
        signs = (1, -1) if modality in RADIOGRAPHS else (1,)
        with one_thread():
            reading = self.network(
                torch.stack([torch.from_numpy(filled)[None] * sign for sign in signs]),
                torch.from_numpy(usable.astype(np.float32))[None, None].expand(len(signs), -1, -1, -1),
                torch.full((len(signs),), float(magnitude), dtype=torch.float32),
            )
        level, floor = float(reading.level.mean()), float(reading.floor.mean())
        if level < floor + np.log(NONE):
            return NoiseEstimate(0.0)
        spectrum = _white_if_near(tuple(reading.spectrum.mean(dim=0).exp().tolist()))
        return NoiseEstimate(
            float(np.exp(level)),
            bands_of_cells(spectrum),
            model="rician" if magnitude and float(reading.rician.mean()) > 0 else "gaussian",
            spectrum=spectrum,
            uncertainty=float(np.expm1(np.exp(np.clip(float(reading.error.mean()), -6, 2)))),
        )


@lru_cache(maxsize=2)
def load_estimator(spec: str = NAME) -> NoiseEstimator:
    """The estimator of a checkpoint: a name of `meddenoise weights`, a path or an address.

    Raises WeightsError for a checkpoint that is damaged or of something else.
    """
    checkpoint = load(spec)
    metadata = checkpoint.metadata
    if metadata.method != NAME:
        raise WeightsError(f"{checkpoint.path} is for {metadata.method!r}, not an estimator of noise.")
    network = load_network(checkpoint, metadata.network, metadata.network_options)
    assert isinstance(network, NoiseLevelNet)
    if choose_device("cpu").precision == "bf16":
        network.lower_trunk(torch.bfloat16)
    return NoiseEstimator(network)


def estimate(plane: Image, valid: Mask, modality: str = "") -> NoiseEstimate:
    """The noise of a plane [Y, X] in its own unit by both estimators; sigma 0 where none can be seen.

    Arguments as of `noise.estimate.estimate_plane`.
    """
    classical = estimate_plane(plane, valid, modality)
    if min(plane.shape, default=0) < SMALLEST:
        return classical
    learned = load_estimator().estimate(plane, valid, modality)
    return settle(classical, learned, plane, valid, modality)


def settle(
    classical: NoiseEstimate, learned: NoiseEstimate, plane: Image, valid: Mask, modality: str
) -> NoiseEstimate:
    """Of both estimates of a plane the one to go by, held against the plane where the network is in doubt."""
    ruled = rule(classical, learned, modality)
    return ruled if modality in UNEVEN else _held_down(ruled, learned.uncertainty or 0.0, plane, valid)


def _white_if_near(spectrum: tuple[float, ...]) -> tuple[float, ...]:
    away = np.sqrt(np.dot(cell_shares(), np.log(np.maximum(spectrum, 1e-6)) ** 2))
    return (1.0,) * len(spectrum) if away < NEARLY_WHITE else spectrum


def rule(classical: NoiseEstimate, learned: NoiseEstimate, modality: str) -> NoiseEstimate:
    """The estimate to go by: the learned level and spectrum, the classical dependence on signal and place.

    The classical one rules where `benchmarks/noise_estimate.py` and `benchmarks/truth.py` show it to be the
    better one: on Rician noise that it recognises, on magnitudes of several coils, on the level of
    radiographs whose noise follows the brightness and whose bright parts the network reads too low (anatomy
    is in its spectrum, though), and on CT of soft kernels, where it is the higher one, as far as the network
    doubts its own: of streaks that sees too little. On texture, and on small matrices with anatomy
    everywhere, the classical one can be many times too high: there it counts as no higher than a few times
    the network's level. To noise without a fine part, of soft kernels and interpolation, it is blind, and has
    no second opinion.
    """
    if learned.sigma == 0 and modality not in MAGNITUDES:
        return replace(learned, second=classical.sigma)
    if classical.coils and learned.model == "rician":  # which its background says it is not
        level = min(max(classical.coils, learned.sigma), MOST_COILS * learned.sigma)
        return replace(learned, sigma=level, model="gaussian", second=learned.sigma)
    if classical.model == "rician" and classical.sigma <= MOST_RICIAN * learned.sigma:
        return replace(classical, second=learned.sigma)
    level = _without_anatomy(classical, learned)
    if modality in RADIOGRAPHS and classical.variance is not None and level > DISAGREE * learned.sigma:
        ruled = _scaled(classical, min(level, MOST_BRIGHT * learned.sigma))
        # Of noise that changes by decades over the range the network reads the least: no second opinion.
        second = None if classical.variance.exponential else learned.sigma
        return replace(ruled, bands=learned.bands, spectrum=learned.spectrum, second=second)
    if learned.sigma == 0:
        return replace(learned, second=classical.sigma)
    coarse = learned.bands[-1] < COARSE
    blind = coarse and classical.sigma < BLIND * learned.sigma
    textured = classical.sigma > DISAGREE * learned.sigma
    if learned.bands[0] > COARSEST:
        learned = replace(learned, sigma=CAUTION * learned.sigma)
    flatter = (modality in RADIOGRAPHS and not blind) or (modality == "" and not coarse)
    if flatter and 0 < MOST_ANATOMY * classical.sigma < learned.sigma:
        sure = learned.uncertainty is not None and learned.uncertainty <= DOUBT
        least = learned.sigma / MOST_LOWERED if sure else 0.0
        learned = replace(learned, sigma=max(MOST_ANATOMY * classical.sigma, least))
    if modality == "CT" and coarse:
        most = learned.sigma * (1 + (learned.uncertainty or 0.0))
        learned = replace(learned, sigma=min(max(classical.sigma, learned.sigma), most))
    # Thermal noise of MR is the same everywhere: what grows with the signal there is texture. And what was
    # measured in texture does not follow the brightness as the noise does.
    even = learned.model == "rician" or modality == "MR"
    return replace(
        learned,
        variance=None if even or textured else _scaled(classical, learned.sigma).variance,
        field=None if even else classical.field,
        second=None if blind else classical.sigma,
    )


def _held_down(ruled: NoiseEstimate, doubt: float, plane: Image, valid: Mask) -> NoiseEstimate:
    """The estimate of a plane [Y, X], no higher than its quietest squares allow, if its error may be `doubt`.

    They may be quieter than the rest for reasons of their own: it falls by no more than it may be too high,
    and not at all where noise changes by decades over the range.
    """
    steep = ruled.variance is not None and ruled.variance.exponential
    if doubt <= DOUBT or ruled.sigma <= 0 or ruled.model == "rician" or steep:
        return ruled
    most = most_noise(ruled, plane, usable_pixels(plane, valid))
    return _scaled(ruled, max(most, ruled.sigma / (1 + doubt))) if most < ruled.sigma else ruled


def _scaled(estimate: NoiseEstimate, sigma: float) -> NoiseEstimate:
    """The estimate at another level, its dependence on the signal with it."""
    if estimate.variance is None or not estimate.sigma > 0:
        return replace(estimate, sigma=sigma)
    return replace(estimate, sigma=sigma, variance=estimate.variance.times((sigma / estimate.sigma) ** 2))


def _without_anatomy(classical: NoiseEstimate, learned: NoiseEstimate) -> float:
    """The classical level by the bands above the lowest, which has most of the anatomy, and the learned
    spectrum."""
    lowest = np.pi * BAND_EDGES[1] ** 2  # area of the lowest band in the plane of frequencies
    measured, wanted = (1 - lowest * one.bands[0] ** 2 for one in (classical, learned))
    return float(classical.sigma * np.sqrt(max(measured, 0.0) / wanted)) if wanted > 0 else classical.sigma


def doubts(planes: Iterable[NoiseEstimate]) -> list[str]:
    """One sentence where the estimators differ by more than DISAGREE on a plane; none where they agree."""
    levels = [(plane.sigma, plane.second) for plane in planes if plane.second is not None]
    apart = [(a, b) for a, b in levels if max(a, b) > DISAGREE * min(a, b)]
    if not apart:
        return []
    first, second = max(apart, key=lambda pair: max(pair) / max(min(pair), 1e-30))
    used, other = (f"{float(f'{level:.3g}'):.10g}" for level in (first, second))
    where, most = "", ""
    if len(levels) > 1:
        where, most = f" on {len(apart)} of {len(levels)} planes", "farthest apart: "
    return [
        f"two estimates of the noise differ{where} ({most}{used} was used, {other} is the other): "
        "give --sigma if you know the level."
    ]
