"""Training task of `direct`: clean patches plus simulated noise, regression towards the clean patch."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.errors import TrainingError
from meddenoise.networks import build
from meddenoise.noise import WHITE
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.spectrum import shaped_noise
from meddenoise.series import Image
from meddenoise.training.begin import begin_as
from meddenoise.training.data import NAMES, Batch, PatchSource, TrainingImage, middle
from meddenoise.training.data.frames import COUNT, TYPICAL, FrameSource, degrade_frames
from meddenoise.training.data.motion import make_sequence
from meddenoise.training.data.slices import SliceSource, made_slices
from meddenoise.training.described import describe_checkpoint
from meddenoise.training.digest import describe, name_images
from meddenoise.training.loop import Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.training.spectra import bands_of, blurring, white_spectrum
from meddenoise.training.table import find_row
from meddenoise.weights.checkpoint import Checkpoint, load_state, save_checkpoint

VALIDATION_SIGMAS = (5.0, 15.0, 25.0, 50.0)
VALIDATION_CROP = 160
VALIDATION_PER_SOURCE = 4
MOST_OWN = 0.02
"""Share of a reference's own noise in the noise power up to which it judges."""
SMOOTH_PX = 0.8
"""Kernel of the correlated noise that is validated on, at a level of SMOOTH_SIGMA."""
SMOOTH_SIGMA = 20.0
LEAST_ERROR = 1e-6
"""Mean square error that counts for none, of which there would be no PSNR: 108 dB."""
FLOOR = 1e-3
"""Added to the squared error in units of sigma, so that patches without error do not dominate."""


@dataclass(frozen=True, slots=True)
class Case:
    """One validation crop [1, 1, H, W] and its noisy version; with the frames around [1, T, H, W]."""

    modality: str
    level: str
    """Its noise as it is called in the scores; "own" for the real noise of a pair, or that of a profile."""
    sigma: float
    noisy: Tensor
    clean: Tensor
    bands: tuple[float, ...] = ()
    """Empty where the spectrum is not known."""
    own_share: Tensor | None = None
    """As of `Batch`, of a reference whose own noise would judge; None where that is next to nothing."""


class SupervisedTask:
    """Regression on simulated noise, as `training.loop.TrainingTask`.

    The loss is the mean over patches of the root mean square error in units of the true sigma: between the
    mean square error, where noisy patches weigh most, and the mean PSNR, where flat ones do.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: list[TrainingImage],
        validation: Iterable[TrainingImage],
        start: Checkpoint | None = None,
    ) -> None:
        """Raises TrainingError where no image held out for validation can judge."""
        self.recipe, self.start = recipe, start
        validation = list(validation)
        weights = {row.source: row.weight for row in recipe.data}
        several = recipe.network_options.get("frames", 1) > 1
        moving = several and find_row(recipe.method).frames
        source = (FrameSource if moving else SliceSource) if several else PatchSource
        self.bands = int(recipe.network_options.get("bands", len(WHITE)))
        mix = replace(recipe.noise, bands=self.bands)
        self.source = source(training, weights, mix, recipe.loop.patch, recipe.loop.seed)
        self.cases = _cases(validation, _SEQUENCES[source], moving)
        if validation and not self.cases:
            raise TrainingError(
                "the images held out for validation have too much noise of their own to judge a network by: "
                "give cleaner ones, or the noise of the device with --noise-profile."
            )
        self.digest = describe(
            network=[recipe.network, recipe.network_options],
            **settings(recipe.loop),
            **recipe.noise.settings(),
            data=[(row.source, row.weight) for row in recipe.data],
            **name_images(training),
            start=start.sha256 if start else None,
            **({"like": str(training[0].like)} if training and training[0].like else {}),
            **({"device": str(training[0].device)} if moving and training and training[0].device else {}),
        )

    def network(self) -> nn.Module:
        """A freshly initialised network of the recipe, or the one to fine-tune."""
        network = build(self.recipe.network, self.recipe.network_options)
        if self.start is not None:
            alike = self.start.metadata.network_options == self.recipe.network_options
            load_state(network, self.start if alike else begin_as(self.start, self.recipe.network_options))
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Root mean square error in units of the true sigma, mean over this share of the step's patches."""
        batch = self.source.batch(step, self.recipe.loop.batch)
        part = slice(share.index, None, share.count)
        mine = Batch(*(getattr(batch, field.name)[part] for field in fields(Batch)))
        return patch_errors(network, mine, share.device).mean()

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean PSNR (range 255) per modality and noise, whose level is given; "score" is their mean.

        Only references whose own noise is next to nothing beside the noise added are looked at: others would
        reward a network for leaving noise. With the noise of a device all are, their own taken into account.
        """
        table: dict[str, list[float]] = defaultdict(list)
        for case in self.cases:
            sigma = torch.full_like(case.clean, max(case.sigma, 1e-3))
            bands = torch.tensor([case.bands or (0.0,) * len(WHITE)], dtype=torch.float32)
            told = (bands.repeat_interleave(self.bands // len(WHITE), dim=1), torch.zeros(1))
            result = network(*(x.to(device) for x in (case.noisy, sigma, *told))).cpu()
            error = max(float(_error(result, case).square().mean()), LEAST_ERROR)
            table[f"{NAMES.get(case.modality, case.modality)}-{case.level}"].append(
                10 * np.log10(255**2 / error)
            )
        scores = {name: float(np.mean(values)) for name, values in sorted(table.items())}
        return scores | {"score": float(np.mean(list(scores.values())))}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint: the averaged weights and all it takes to use them."""
        metadata = describe_checkpoint(self.recipe, step, scores, normalisation={"name": "noise-units"})
        # Half precision halves the file and changes results by less than 0.001 dB (benchmarks/half.py).
        save_checkpoint(path, {name: w.half() for name, w in network.state_dict().items()}, metadata)


def patch_errors(network: nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """Root mean square error [B] of the network on each patch of `batch`, in units of its true sigma.

    Of a reference y with noise of its own, the noisy patch z and the result D, it is that of
    (1 - H) * D + H * z - y, H the reference's own share of the noise power at each frequency: least where D
    is the truth, which no reference shows.
    Source: Moran et al. 2020, CVPR (Noisier2Noise), for noise of any spectrum.
    """
    given = (batch.noisy, batch.sigma, batch.bands, batch.zero)
    clean, scale = batch.clean.to(device), batch.scale.to(device)
    result = network(*(part.to(device) for part in given))
    error = result.float() - clean
    share = batch.own_share.to(device)
    if bool(share.any()):
        error = error + _given_back(result, batch.noisy.to(device), share)
    error = error / scale[:, None, None, None]
    return torch.sqrt(error.square().mean(dim=(1, 2, 3)) + FLOOR)


def _given_back(result: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
    """That `share` of what was removed from the middle one of the planes `noisy` [B, T, H, W]."""
    removed = torch.fft.rfft2(noisy[:, noisy.shape[1] // 2, None] - result.float())
    back: Tensor = torch.fft.irfft2(share * removed, s=result.shape[-2:])
    return back


def _error(result: Tensor, case: Case) -> Tensor:
    error = result.float() - case.clean
    return error if case.own_share is None else error + _given_back(result, case.noisy, case.own_share)


def _device_case(image: TrainingImage, rng: np.random.Generator) -> Case:
    """Moving frames with the noise of their device, whose usual level is given."""
    plane = middle(image.plane if image.run is None else image.run, VALIDATION_CROP)
    frames = plane if plane.ndim == 3 else make_sequence(plane, plane[::-1], COUNT, rng)
    exact = replace(TYPICAL, level_spread=0.0, told_error=0.0, bands_unknown=0.0, clipped=0.0)
    made = degrade_frames(frames, image.own, exact, rng, image.device)
    clean = torch.from_numpy(frames[COUNT // 2].copy())[None, None]
    share = torch.from_numpy(made.own_share)[None, None]
    bands = tuple(made.bands.tolist())
    return Case(image.modality, "own", made.sigma, torch.from_numpy(made.noisy)[None], clean, bands, share)


def _moving(image: TrainingImage, rng: np.random.Generator) -> Image:
    plane = middle(image.plane, VALIDATION_CROP)
    return make_sequence(plane, plane[::-1], COUNT, rng)


def _slices(image: TrainingImage, rng: np.random.Generator) -> Image:
    if image.run is not None:
        return middle(image.run, VALIDATION_CROP).copy()
    plane = middle(image.plane, VALIDATION_CROP)
    return made_slices(plane, plane[::-1], rng)


def _single(image: TrainingImage, rng: np.random.Generator) -> Image:
    return middle(image.plane, VALIDATION_CROP)[None].copy()


def _own_noise(image: TrainingImage, crop: Image, rng: np.random.Generator) -> Image | None:
    """Real noise of the middle `crop` of an image, or some like that of the user's device; None without."""
    if image.noise is not None:
        return middle(image.noise, VALIDATION_CROP).copy()
    return noise_like(image.like, crop, rng) if image.like is not None else None


_SEQUENCES = {FrameSource: _moving, SliceSource: _slices, PatchSource: _single}
"""The planes [T, H, W] that an image is validated with."""


def _cases(
    images: Iterable[TrainingImage],
    sequence_of: Callable[[TrainingImage, np.random.Generator], Image],
    moving: bool,
) -> list[Case]:
    """Middle crops of a few images of each source, with the same noise, and motion, at every validation."""
    rng = np.random.default_rng(0)
    taken: dict[str, int] = defaultdict(int)
    cases = []
    for image in images:
        too_noisy = image.own.sigma**2 > MOST_OWN * (image.own.sigma**2 + max(VALIDATION_SIGMAS) ** 2)
        moving_device = moving and image.device is not None
        exempt = moving_device or image.noise is not None
        if taken[image.source] == VALIDATION_PER_SOURCE or (too_noisy and not exempt):
            continue
        taken[image.source] += 1
        if moving_device:
            cases.append(_device_case(image, rng))
            continue
        frames = sequence_of(image, rng)
        sequence = torch.from_numpy(frames)[None]
        crop = sequence[:, len(frames) // 2, None]
        own = _own_noise(image, crop[0, 0].numpy(), rng)
        if own is not None:
            noise = torch.from_numpy(own)[None, None]
            noisy = (crop + noise).expand(-1, len(frames), -1, -1)  # nothing else is known to share its place
            cases.append(Case(image.modality, "own", float(noise.std()), noisy, crop))
            continue
        for sigma in (*VALIDATION_SIGMAS, SMOOTH_SIGMA):
            name, amplitude = f"{sigma:g}", white_spectrum(frames.shape[1:])
            if sigma == SMOOTH_SIGMA:
                name, amplitude = "smooth", blurring(frames.shape[1:], SMOOTH_PX)
            added = shaped_noise(tuple(sequence.shape[1:]), amplitude, rng) * sigma
            if image.own.sigma**2 > MOST_OWN * (image.own.sigma**2 + sigma**2):
                continue
            noisy = sequence + torch.from_numpy(added)[None]
            cases.append(Case(image.modality, name, sigma, noisy, crop, bands_of(amplitude)))
    return cases
