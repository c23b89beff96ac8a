"""TABLE of the methods: where each is, and what a user reads before choosing it. Rows import nothing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One row: where the method is ("module:name") and what a user reads before choosing it."""

    where: str
    purpose: str
    citation: str
    family: Literal["classical", "supervised", "self-supervised", "diffusion", "added"]
    licence: str
    learned: bool = False
    shares: tuple[str, ...] = ()
    """Other methods whose checkpoints hold what it needs."""
    extra: str = ""
    """The optional dependency group it needs, empty where it needs none."""
    sampler: bool = False
    """True where it has a sampler, beside one pass or alone: it gives a SamplingDenoiser for it."""
    one_pass: str = "distilled"
    """Name of its one pass in a report, if it has a sampler too."""
    fusion: bool = False
    """True where its last step weighs the result against the noisy image, and can be left out."""
    white_only: bool = False
    """True where it knows white noise alone, which scanners seldom make: `auto` leaves it out."""
    averages: bool = False
    """True where its one pass can be the mean over turned and mirrored planes."""
    temporal: bool = False
    """True where it lives by the frames before and after: `auto` takes it for a cine alone."""
    cost: float | None = None
    """Processor time for a plane, 1 for `direct`, by `benchmarks/method_costs.py`; None if unknown."""


_OWN = "Apache-2.0"
_CLASSICAL = "meddenoise.methods.classical"

METHODS: dict[str, MethodRow] = {
    "direct": MethodRow(
        "meddenoise.methods.direct:DIRECT",
        "one pass of a trained network given the noise level and spectrum: quick, all modalities",
        "Zhang et al. 2017, IEEE TIP 26(7); Zhang, Zuo, Zhang 2018, IEEE TIP 27(9)",
        "supervised",
        _OWN,
        learned=True,
        averages=True,
        cost=1,
    ),
    "diffdenoise": MethodRow(
        "meddenoise.methods.diffdenoise:DIFFDENOISE",
        "self-supervised diffusion, of medical images from noisy ones only: one pass, or its sampler",
        "Demir et al. 2025, arXiv 2504.00264",
        "self-supervised",
        _OWN,
        learned=True,
        averages=True,
        sampler=True,
        fusion=True,
        cost=1,
    ),
    "blindspot": MethodRow(
        "meddenoise.methods.blindspot:BLINDSPOT",
        "blind-spot network, trained on noisy images only, fused with the noisy image",
        "Wu et al. 2020, ECCV; Laine et al. 2019, NeurIPS",
        "self-supervised",
        _OWN,
        learned=True,
        fusion=True,
        shares=("diffdenoise",),
        cost=1.1,
    ),
    "vpsde": MethodRow(
        "meddenoise.methods.vpsde:VPSDE",
        "one evaluation of a score network at the level of the noise, or draws from the posterior",
        "Chaurasia, Generative Denoising for Medical Image Reconstruction (slides); Song et al. 2021, ICLR",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        white_only=True,
        one_pass="mmse",
        cost=6,
    ),
    "vpsde-slides": MethodRow(
        "meddenoise.methods.vpsde:VPSDE_SLIDES",
        "the 1000-step sampler of the VP-SDE slides, to compare with: slower and worse than vpsde",
        "Chaurasia, Generative Denoising for Medical Image Reconstruction (slides)",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        white_only=True,
        shares=("vpsde",),
    ),
    "medcdiff": MethodRow(
        "meddenoise.methods.medcdiff:MEDCDIFF",
        "conditional diffusion given the spectrum of the noise, also for impulses: one pass, or the sampler",
        "Hung et al. 2023, Bioengineering 10(11):1258",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        cost=0.9,
    ),
    "medcdiff-ddpm": MethodRow(
        "meddenoise.methods.medcdiff:MEDCDIFF_DDPM",
        "the 2000-step sampler of the Med-cDiff paper, to compare with: slower than medcdiff",
        "Hung et al. 2023, Bioengineering 10(11):1258",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        shares=("medcdiff",),
    ),
    "befoi": MethodRow(
        "meddenoise.methods.befoi:BEFOI",
        "fluoroscopy: every frame from itself and its neighbours; one pass of a student, or the sampler",
        "Hu, Huang 2024, BeFOI",
        "diffusion",
        _OWN,
        learned=True,
        averages=True,
        sampler=True,
        temporal=True,
        cost=1.1,
    ),
    "befoi-mixing": MethodRow(
        "meddenoise.methods.befoi:BEFOI_MIXING",
        "the sampler of befoi, begun with a share of the measured frame at the level of its noise",
        "Hu, Huang 2024, BeFOI; Choi et al. 2021, ICCV",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        temporal=True,
        shares=("befoi",),
        cost=5,
    ),
    "befoi-faithful": MethodRow(
        "meddenoise.methods.befoi:BEFOI_FAITHFUL",
        "the mixing of the BeFOI paper to the end, to compare with: it returns the noise",
        "Hu, Huang 2024, BeFOI",
        "diffusion",
        _OWN,
        learned=True,
        sampler=True,
        temporal=True,
        shares=("befoi",),
        cost=4.4,
    ),
    "gaussian": MethodRow(
        f"{_CLASSICAL}:GAUSSIAN",
        "Gaussian smoothing, its width chosen by the estimated risk: the floor every method must beat",
        "Stein 1981, Annals of Statistics 9(6); Ramani, Blu, Unser 2008, IEEE TIP 17(9)",
        "classical",
        _OWN,
        cost=0.6,
    ),
    "median": MethodRow(
        f"{_CLASSICAL}:MEDIAN",
        "median filter, its size chosen by the estimated risk: for impulse noise",
        "Tukey 1977, Exploratory Data Analysis; Ramani, Blu, Unser 2008, IEEE TIP 17(9)",
        "classical",
        _OWN,
        cost=2.5,
    ),
    "nlm": MethodRow(
        f"{_CLASSICAL}:NLM",
        "non-local means: averages similar patches; robust, no training",
        "Buades, Coll, Morel 2005, CVPR",
        "classical",
        _OWN,
        cost=3.6,
    ),
    "tv": MethodRow(
        f"{_CLASSICAL}:TV",
        "total variation: flat regions and sharp edges",
        "Rudin, Osher, Fatemi 1992, Physica D 60; Chambolle 2004, J. Math. Imaging Vision 20",
        "classical",
        _OWN,
        cost=0.5,
    ),
    "wavelet": MethodRow(
        f"{_CLASSICAL}:WAVELET",
        "translation-invariant wavelet shrinkage: quick, keeps texture",
        "Chang, Yu, Vetterli 2000, IEEE TIP 9(9); Coifman, Donoho 1995",
        "classical",
        _OWN,
        cost=0.9,
    ),
    "bm3d": MethodRow(
        f"{_CLASSICAL}:BM3D",
        "block matching and collaborative filtering, given the noise spectrum: the strongest classical one",
        "Dabov et al. 2007, IEEE TIP 16(8); Makinen, Azzari, Foi 2020, IEEE TIP 29",
        "classical",
        "non-commercial use only (licence of the package bm3d)",
        extra="bm3d",
        cost=60,
    ),
}


@dataclass(frozen=True, slots=True)
class CheckpointUse:
    """Purpose and `cost` of a checkpoint, where these are not those of its method."""

    purpose: str
    cost: float | None = None
    """As of `MethodRow`."""


USES: dict[str, CheckpointUse] = {
    "direct-fast": CheckpointUse("as direct, a smaller network: --quality fast", 0.3),
    "vpsde-abdomen": CheckpointUse(
        "as vpsde, on the abdominal window of CT only: to compare with the slides", 6
    ),
    "medcdiff-upscale": CheckpointUse("`meddenoise upscale`: a finer grid"),
    "medcdiff-inpaint": CheckpointUse("`meddenoise inpaint`: marked parts filled in"),
    "noise-estimator": CheckpointUse("level and spectrum of the noise, for all methods"),
}
"""By name of the checkpoint."""
