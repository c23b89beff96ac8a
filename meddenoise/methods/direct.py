"""direct: one pass of a noise-level conditioned regression network, trained on simulated physics noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from meddenoise.methods import Sampling, Setup
from meddenoise.methods.compiled import run_compiled
from meddenoise.methods.recovered import recovered
from meddenoise.methods.stabilised import on_stable
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.weights.checkpoint import load_network

LARGEST_PLANE = 1024
"""Planes up to this side go through whole: tiles of 144 take twice the time on a CPU."""

CONSTANT = 9
"""Side in pixels of a neighbourhood without any difference: a margin, a mask, saturation."""
CLIPPING = 3.0
WIDE = 64
"""Features from which on what a network removed is searched: of narrower ones, taken for their speed, it
would be a third of the time."""

STREAKY = "CT"
"""Modality whose noise has waves of its own, the streaks: a search would put them back."""


@dataclass(frozen=True, slots=True)
class DirectDenoiser:
    """The network of one checkpoint and the noise spectrum of one series."""

    network: NoiseUNet
    bands: Tensor
    """[K], or [B, K] for a batch of planes; all zero where the spectrum is unknown."""
    magnitude: bool
    """True for MR: planes without negative values have a physical floor at 0."""
    rician: bool = False
    """True where the noise is known to be Rician: denoised behind the stabilising transform."""
    context: int = 0
    averaged: bool = False
    """True for the mean over all eight ways to turn and mirror a plane: 0.1 to 0.3 dB for eight passes."""
    searched: bool = True
    """True to look for structure in what was removed, and to put it back."""

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> "DirectDenoiser":
        """The same for a batch of planes with noise of these spectra."""
        return replace(self, bands=torch.stack([direct_bands(plane, self.network.bands) for plane in noise]))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Clean [B, 1, H, W] of `noisy` [B, 2 context + 1, H, W]; `sigma` [B] or [B, 1, H, W] in its units.

        Equivariant to offset and scale, so that any unit will do; unchanged where sigma is 0.
        """
        return on_stable(self._run, noisy, sigma, self.rician)

    def _run(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        # Stabilised magnitudes have no floor: their transform goes on below 0.
        floored = self.magnitude and not self.rician
        zero = (noisy.amin(dim=(1, 2, 3)) >= 0).float() * float(floored)
        bands = self.bands.to(noisy.device).expand(len(noisy), -1)
        if self.averaged:
            clean = torch.stack([self._turned(noisy, sigma, bands, zero, way) for way in WAYS]).mean(dim=0)
        else:
            clean = self._once(noisy, sigma, bands, zero)
        middle = noisy[:, self.context, None]
        result: Tensor = clean + (1 - zero).reshape(-1, 1, 1, 1) * lost_mean(middle, clean, sigma)
        return torch.where(_is_constant(middle), middle, result)

    def _once(self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
        """The network's result, with the structure in what it removed."""
        clean: Tensor = self.network(noisy, sigma, bands, zero)
        if not self.searched:
            return clean
        return clean + recovered(noisy[:, self.context, None] - clean)

    def _turned(
        self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor, way: tuple[int, bool]
    ) -> Tensor:
        """The network's result for planes that are turned and mirrored, turned back after."""
        turns, mirrored = way
        planes, level = (turn(x, turns, mirrored) for x in (noisy, sigma))
        if turns % 2 and bands.shape[1] > len(WHITE):  # along x, along y: they change places
            bands = bands.reshape(len(bands), -1, 2).flip(2).flatten(1)
        clean = self._once(planes.contiguous(), level.contiguous(), bands, zero)
        return torch.rot90(clean.flip(3) if mirrored else clean, -turns, (2, 3))


WAYS = tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True))


def turn(planes: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Planes [B, C, H, W] turned by quarters, then mirrored left to right."""
    turned = torch.rot90(planes, turns, (2, 3))
    return turned.flip(3) if mirrored else turned


def _is_constant(plane: Tensor) -> Tensor:
    """True where CONSTANT x CONSTANT pixels are alike: there is no noise to remove, whatever the level."""
    highest, lowest = (
        torch.nn.functional.max_pool2d(sign * plane, CONSTANT, stride=1, padding=CONSTANT // 2)
        for sign in (1, -1)
    )
    return highest == -lowest


def lost_mean(noisy: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
    """The mean [B, 1, 1, 1] that `clean` [B, 1, H, W] lost against `noisy`: noise has none to take away.

    Counted where the result lies `CLIPPING` sigmas inside the plane's range: noise cut off at the end of the
    stored range does have a mean.
    """
    low, high = (bound(noisy, dim=(1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    inside = (clean > low + CLIPPING * sigma) & (clean < high - CLIPPING * sigma)
    lost = ((noisy - clean) * inside).sum(dim=(1, 2, 3), keepdim=True)
    return lost / inside.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)


class Direct:
    """A U-Net in units of the noise; `networks.noise_unet` tells why.

    Source: the residual learning of DnCNN (Zhang et al. 2017, IEEE TIP 26(7)) with the noise-level input
    of FFDNet (Zhang et al. 2018, IEEE TIP 27(9)).
    """

    name = "direct"
    uses_weights = True
    tile: int | None = LARGEST_PLANE

    def compiles(self, sampling: Sampling) -> bool:
        """True: it is one pass."""
        return True

    def load(self, setup: Setup) -> DirectDenoiser:
        """The denoiser for one series. Raises WeightsError for a checkpoint of another network."""
        metadata = setup.checkpoint.metadata
        network = load_network(setup.checkpoint, metadata.network, metadata.network_options)
        assert isinstance(network, NoiseUNet)
        network.to(setup.device)
        if setup.precision == "bf16":
            network.lower_trunk(torch.bfloat16)
        run_compiled(network, setup)
        return direct_denoiser(network, setup)


def direct_denoiser(network: NoiseUNet, setup: Setup) -> DirectDenoiser:
    """A network that is ready to run, as the denoiser of one series."""
    rician = setup.noise is not None and setup.noise.model == "rician"
    bands = direct_bands(setup.noise, network.bands)
    floored, averaged = setup.modality == "MR", setup.sampling.averaged
    searched = network.head.out_channels >= WIDE and setup.modality != STREAKY
    return DirectDenoiser(network, bands, floored, rician, network.middle, averaged, searched)


def direct_bands(noise: NoiseEstimate | None, count: int) -> Tensor:
    """The spectrum as `count` numbers: that of the estimate where it is as fine, else each radial band again
    for its finer parts and both directions."""
    if noise is None:
        return torch.zeros(count, dtype=torch.float32)
    if noise.spectrum is not None and len(noise.spectrum) == count:
        return torch.tensor(noise.spectrum, dtype=torch.float32)
    return torch.tensor(noise.bands, dtype=torch.float32).repeat_interleave(count // len(noise.bands))


DIRECT = Direct()
