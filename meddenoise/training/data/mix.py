"""The mix of noise in training patches: a recipe's table [noise]."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from meddenoise.training.checked import Proportion, Within
from meddenoise.training.data.row_noise import Shares

Sigma = Annotated[float, Within(0, 255, above=True)]
Spread = Annotated[float, Within(0, 2)]
KINDS = ("none", "white", "coloured", "signal_dependent")
"""Shares of the kinds of noise, relative to their sum."""


@dataclass(frozen=True, slots=True)
class NoiseMix:
    """Distribution of training noise; levels are in 255ths of the image's range."""

    sigma_min: Sigma = 0.5
    sigma_max: Sigma = 64.0
    uniform_share: Proportion = 0.45
    """Share of levels drawn uniformly (where scores are taken); the rest is log-uniform (low dose)."""
    none: Proportion = 0.05
    white: Proportion = 0.3
    coloured: Proportion = 0.42
    signal_dependent: Proportion = 0.23
    """CT has coloured noise instead: its noise follows the place, not the value."""
    lagged: Proportion = 0.0
    """Share of sequences of frames whose noise is correlated from frame to frame."""
    rician: Proportion = 0.5
    """Share of Rician noise among magnitude (MR) patches, whatever the shares above."""
    told_error: Spread = 0.2
    """Standard deviation of log(given sigma / true sigma)."""
    bands_unknown: Proportion = 0.15
    map_unknown: Proportion = 0.3
    own_limit: Annotated[float, Within(0.01, 1)] = 0.25
    """Largest share of the noise power that may be the reference's own: beyond it nothing is learned."""
    heavy: Proportion = 0.0
    """Share of noise with heavy tails (kurtosis up to 8), as iterative and learned reconstructions leave."""
    bands: int = 4
    """Numbers that describe the spectrum, as the network takes them: 4 radial bands, or 16 (8 radial bands in
    two directions)."""
    radial: Proportion = 0.3
    """Share of spectra of 16 numbers that are given as four radial bands, all an estimator may know."""
    level_spread: Spread = 0.3
    """Standard deviation of log(level / estimated level) of noise that is drawn like a user's own."""
    clipped: Proportion = 0.15
    """Share of patches rounded and clipped to 0..255 like an 8-bit file."""
    windowed: Proportion = 0.0
    """Share of exact references made MR scans whose signal and noise end at one window in k-space."""
    blanked: Proportion = 0.0
    """Share of patches of exact references with a part that is one value without noise: masked, padded."""
    spotted: Proportion = 0.0
    """Share of patches with simulated noise that get faint spots, as strong as it, before it."""
    models: Shares = ()
    """Kinds of noise of `meddenoise simulate`, in its words, and the share of patches that get each: the
    recipe's table [noise_models]. The shares above are of the other patches."""

    def __post_init__(self) -> None:
        """Raises ValueError for levels in the wrong order and shares that are all nothing."""
        check_order(self.sigma_min, self.sigma_max)
        if not sum(self.kind_shares):
            raise ValueError(f"{', '.join(KINDS)} are all 0: at least one must be more")

    @property
    def kind_shares(self) -> tuple[float, ...]:
        """Of the KINDS of noise, in their order."""
        return tuple(getattr(self, kind) for kind in KINDS)

    def settings(self) -> dict[str, Any]:
        """All of it by name, for the digest of a run; without `models` and `spotted` if there are none, as
        runs from before them can go on."""
        return {k: value for k, value in asdict(self).items() if k not in ("models", "spotted") or value}


def check_order(sigma_min: float, sigma_max: float) -> None:
    """Raises ValueError for a least level above the most."""
    if sigma_min > sigma_max:
        raise ValueError(f"sigma_min is {sigma_min:g}, above sigma_max, {sigma_max:g}")
