"""Physics-based noise for clean images, of any kind in `table`.

    noisy, info = simulate(image, [XrayNoise(gain=4.0, electronic=3.0), ImpulseNoise(1e-4)], rng)

Images are float32, [Y, X] or [N, Y, X], in physical units (HU, exposure, signal); so are all levels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.models import NoiseOptions
from meddenoise.noise.physics import NPS_FREQUENCIES
from meddenoise.noise.table import NOISES
from meddenoise.series import Image


@dataclass(frozen=True, slots=True)
class NoiseInfo:
    """Record of the noise added to an image.

    `sigma` is the noise standard deviation at each pixel, in the image's units and shape (Rician: that of
    each complex channel). `nps` is the noise power over the plane, mean over the image, at the radial
    `frequency`: in units² for pixels of size 1, so white noise has nps = sigma² everywhere.
    `applied` holds the name and options of each noise in order; `seed` is the entropy of the generator,
    None where it was not seeded with a number.
    """

    sigma: Image
    frequency: NDArray[np.float64]
    nps: NDArray[np.float64]
    applied: tuple[dict[str, Any], ...]
    seed: int | None

    def summary(self) -> dict[str, Any]:
        """The same for JSON: sigma as its root mean square, least and largest value."""
        return {
            "applied": list(self.applied),
            "seed": self.seed,
            "sigma": float(np.sqrt(np.mean(np.square(self.sigma, dtype=np.float64)))),
            "sigma_range": [float(self.sigma.min()), float(self.sigma.max())],
            "frequency_cycles_per_pixel": self.frequency.round(4).tolist(),
            "nps": self.nps.tolist(),
        }


def simulate(
    image: Image, options: NoiseOptions | Sequence[NoiseOptions], rng: np.random.Generator
) -> tuple[Image, NoiseInfo]:
    """`image` with one or several noises added in order, and what they are; float32, same shape.

    Independent noises add their variances and spectra. Raises ValueError where an image is not [Y, X] or
    [N, Y, X].

    >>> import numpy as np
    >>> from meddenoise.noise.models import GaussianNoise
    >>> clean = np.zeros((64, 64), np.float32)
    >>> noisy, info = simulate(clean, GaussianNoise(5.0), np.random.default_rng(0))
    >>> round(float(noisy.std())), info.applied
    (5, ({'noise': 'gaussian', 'sigma': 5.0},))
    """
    if image.ndim not in (2, 3):
        raise ValueError(f"an image is [Y, X] or [N, Y, X], not {list(image.shape)}")
    steps = options if isinstance(options, Sequence) else (options,)
    noisy = image.astype(np.float32)
    variance = np.zeros(image.shape, np.float32)
    nps = np.zeros(len(NPS_FREQUENCIES))
    for step in steps:
        noisy, sigma, power = NOISES[step.name].add(noisy, step, rng)
        variance += np.square(sigma)
        nps += power
    applied = tuple({"noise": step.name, **asdict(step)} for step in steps)
    return noisy, NoiseInfo(np.sqrt(variance), NPS_FREQUENCIES, nps, applied, _seed_of(rng))


def _seed_of(rng: np.random.Generator) -> int | None:
    sequence = rng.bit_generator.seed_seq
    entropy = getattr(sequence, "entropy", None)
    return entropy if isinstance(entropy, int) else None
