"""blindspot: the blind-spot network by itself, with or without the noisy image's own say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from meddenoise.errors import UsageError
from meddenoise.methods import Setup
from meddenoise.methods.fusion import fuse
from meddenoise.methods.stabilised import on_stable
from meddenoise.networks.blind_spot import BlindSpotNet
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import blind_radius, nearest_radius
from meddenoise.weights.checkpoint import Checkpoint, load_network

LARGEST_PLANE = 1024
"""Planes up to this side go through whole."""


@dataclass(frozen=True, slots=True)
class BlindSpotDenoiser:
    """The blind-spot network of a checkpoint, the noise spectrum of a series and the radius it asks for.

    `bands` [K], or [B, K] for a batch of planes.
    """

    network: BlindSpotNet
    bands: Tensor
    rho: int
    fusion: bool = True
    rician: bool = False
    context: int = 0

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Clean [B, 1, H, W] of `noisy` [B, 1, H, W]; `sigma` [B] or [B, 1, H, W] in the same units.

        Equivariant to offset and scale; unchanged where sigma is 0.
        """
        return on_stable(self._run, noisy, sigma, self.rician)

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> "BlindSpotDenoiser":
        """The same for a batch of planes with noise of these spectra."""
        return replace(self, bands=torch.tensor([plane.bands for plane in noise], dtype=torch.float32))

    def blind(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The estimate that has not seen the noise of the pixel it estimates; `sigma` [B, 1, H, W] > 0."""
        mean: Tensor = self.network(noisy, sigma, self.bands_for(noisy), self.rho)
        return mean

    def bands_for(self, noisy: Tensor) -> Tensor:
        """The spectrum [B, 4] on the device of `noisy`."""
        return self.bands.to(noisy.device).expand(len(noisy), -1)

    def _run(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        mean = self.blind(noisy, sigma)
        return fuse(noisy, mean, sigma, self.bands_for(noisy)) if self.fusion else mean


class BlindSpot:
    """Every pixel estimated from its surroundings alone.

    Source: Wu et al. 2020 (DBSN, arXiv 2008.13711); the fusion is that of Laine et al. 2019
    (arXiv 1901.10277).
    """

    name = "blindspot"
    uses_weights = True
    tile: int | None = LARGEST_PLANE

    def load(self, setup: Setup) -> BlindSpotDenoiser:
        """The denoiser for one series.

        Raises UsageError for a checkpoint without a blind-spot network, WeightsError for a wrong one.
        """
        return load_blind(setup)


def load_blind(setup: Setup) -> BlindSpotDenoiser:
    """The blind-spot network of a checkpoint of `blindspot` or `diffdenoise`, as a denoiser.

    Raises as `BlindSpot.load`.
    """
    network = load_part(setup, "blind")
    assert isinstance(network, BlindSpotNet)
    noise = setup.noise if setup.noise is not None else NoiseEstimate(0.0)
    asked = setup.sampling.blind_radius
    rho = nearest_radius(blind_radius(noise) if asked is None else asked, network.radii)
    bands = torch.tensor(noise.bands, dtype=torch.float32)
    return BlindSpotDenoiser(network, bands, rho, setup.sampling.fusion, noise.model == "rician")


def load_part(setup: Setup, part: str) -> Any:
    """One network of a checkpoint, `student`, `blind` or `diffusion`, ready to run.

    A checkpoint of a single network holds its tensors without a prefix. Raises UsageError where the part is
    missing, WeightsError where it does not fit.
    """
    checkpoint: Checkpoint = setup.checkpoint
    metadata = checkpoint.metadata
    if part in metadata.method_options:
        described = metadata.method_options[part]
        name, options, prefix = described["network"], described["network_options"], f"{part}."
    elif part == "student" or (part == "blind" and metadata.network == "blind-spot"):
        prefix = "student." if any(key.startswith("student.") for key in checkpoint.tensors) else ""
        name, options = metadata.network, metadata.network_options
    else:
        raise UsageError(
            f"the checkpoint {checkpoint.path.name} has no {part} network: "
            "use one made by `meddenoise train --method diffdenoise`."
        )
    network: Any = load_network(checkpoint, name, options, prefix).to(setup.device)
    if setup.precision == "bf16":
        network.lower_trunk(torch.bfloat16)
    return network


BLINDSPOT = BlindSpot()
