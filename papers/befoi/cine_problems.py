"""The problems of the fluoroscopy benchmark: families of noisy sequences whose middle frame is scored."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cases import ELECTRONIC, GAINS, MTF_NYQUIST, NoisyCase, radial_power
from benchmarks.noise_profile import RUNS
from benchmarks.peers import as_series
from benchmarks.pictures import Picture, central_crop, load_pictures, split_files
from benchmarks.stabilise import Anscombe, SigmaMap
from meddenoise.io import read
from meddenoise.noise.models import XrayNoise
from meddenoise.noise.profile import Counts, NoiseProfile
from meddenoise.noise.profile.radial import correlation_length
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.noise.spectrum import detector_mtf, mean_power, radial_frequency
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise
from meddenoise.pipeline.profile import measure_profile
from meddenoise.series import Image, Series
from meddenoise.training.data.motion import make_sequence

FRAMES = 5
LAG = 0.6
"""Weight of the new frame in the recursive filter of a machine."""
SETTLED = 2
"""Frames of a real run before its noise is the usual one."""
A_RUN = 3
"""Frames scored of a real run."""
LAGGED = 0.1
"""Share of its noise that a frame passes on, above which its second neighbours count as related too."""
PHANTOM_FRAMES, PHANTOM_SCORED = 12, (3, 4, 9)
FRAME_MS = 1000 / 15
EVERY = 10_000


@dataclass(frozen=True)
class CineScene:
    """Noisy frames [T, Y, X] that follow each other, and the case of the one at `middle`.

    `truth` [T, Y, X] is known where the noise is simulated. `source` is the image or run it was made of;
    scenes of one source are alike. `reference_variance` is that of the noise left in the clean frame of the
    case, `profile` what is true of the noise.
    """

    case: NoisyCase
    frames: Image
    middle: int
    source: str
    profile: NoiseProfile
    truth: Image | None = None
    reference_variance: float = 0.0


@dataclass(frozen=True)
class Family:
    """Scenes of one kind of noise, noisy frames with such noise that are not scored, and clean frames."""

    name: str
    scenes: list[CineScene]
    noisy: list[Image]
    clean: list[Image]


@dataclass(frozen=True)
class WantedScenes:
    """Sources of scenes: up to `images` images or phantoms, central crops of `size` (0: whole)."""

    folder: Path
    images: int
    size: int
    seed: int


def simulated(name: str, noise: XrayNoise, wanted: WantedScenes) -> Family:
    """Short moving sequences made of still validation frames, with the noise of a detector."""
    pictures = load_pictures(wanted.folder, wanted.images, "val", ["XA"])
    scenes = []
    for index, picture in enumerate(pictures):
        rng = np.random.default_rng([wanted.seed, index])
        other = pictures[(index + 1) % len(pictures)]
        truth = make_sequence(picture.plane, _fit(other.plane, picture.plane), FRAMES, rng)
        scenes.append(_noisy_scene(name, picture, truth, noise, (rng, wanted.size)))
    clean = _training_frames(wanted.folder)
    rng = np.random.default_rng([wanted.seed, len(pictures)])
    return Family(name, scenes, [_one_frame(plane, noise, rng) for plane in clean], clean)


def phantoms(name: str, wanted: WantedScenes) -> Family:
    """Beating coronaries and a catheter, exact in every frame; nothing to train on."""
    scenes = []
    for seed in range(wanted.seed, wanted.seed + wanted.images):
        side = wanted.size or 512
        phantom = make_phantom("fluoro", size=side, planes=PHANTOM_FRAMES, seed=seed)
        (noise,) = dose_noise(phantom)
        assert isinstance(noise, XrayNoise)
        noisy, info = simulate(phantom.truth, noise, np.random.default_rng([seed, 1]))
        peak = float(np.percentile(phantom.truth, 99.9))
        picture = Picture(f"phantom {seed}", "XA", phantom.truth[0], peak, phantom.geometry.spacing_mm[2])
        for middle in PHANTOM_SCORED:
            part = slice(middle - FRAMES // 2, middle + FRAMES // 2 + 1)
            scene = _scene(name, picture, (phantom.truth[part], noisy[part]), noise, info)
            scenes.append(replace(scene, case=replace(scene.case, picture=f"{picture.name}, frame {middle}")))
    return Family(name, scenes, [], [])


def repeats(name: str, wanted: WantedScenes) -> Family:
    """Frames of real runs in which nothing moves, against the mean of the others.

    Left out of the mean are the frames beside the scored one, which multi-frame methods see; where the
    machine's filter ties frames together also the next ones.
    """
    scenes, others = [], []
    for path in sorted((wanted.folder / RUNS).glob("*.dcm"))[: wanted.images]:
        series = read(path)[0]
        frames = series.values(0, len(series))
        profile = measure_profile([series]).profile
        scored = _scored(len(series))
        scenes += [_real_scene(name, path.stem, frames, index, (profile, wanted.size)) for index in scored]
        others += [frames[n] for n in range(SETTLED, len(frames)) if n not in scored]
    return Family(name, scenes, others, _training_frames(wanted.folder))


def _noise(gain: float, recursion: float) -> XrayNoise:
    return XrayNoise(gain, ELECTRONIC, MTF_NYQUIST, recursion)


FAMILIES: Mapping[str, Callable[[WantedScenes], Family]] = {
    **{
        name: partial(simulated, name, _noise(gain, recursion))
        for gain in GAINS
        for name, recursion in ((f"gain-{gain:g}", 1.0), (f"gain-{gain:g}-lag", LAG))
    },
    "real": partial(repeats, "real"),
    "phantom": partial(phantoms, "phantom"),
}


def as_cine(frames: Image) -> Series:
    """A cine of float frames."""
    return replace(
        as_series(frames[0], "XA"),
        pixels=frames,
        slope=np.ones(len(frames)),
        intercept=np.zeros(len(frames)),
        frame_time_ms=FRAME_MS if len(frames) > 1 else None,
    )


def _noisy_scene(
    name: str, picture: Picture, truth: Image, noise: XrayNoise, chance: tuple[np.random.Generator, int]
) -> CineScene:
    rng, size = chance
    noisy, info = simulate(truth, noise, rng)
    cropped = replace(info, sigma=_crop(info.sigma, size))
    return _scene(name, picture, (_crop(truth, size), _crop(noisy, size)), noise, cropped)


def _scene(
    name: str, picture: Picture, frames: tuple[Image, Image], noise: XrayNoise, info: NoiseInfo
) -> CineScene:
    """The scene of clean and noisy frames with a noise that is known."""
    truth, noisy = frames
    middle = len(truth) // 2
    sigma = float(np.sqrt(np.mean(np.square(info.sigma, dtype=np.float64))))
    # What blur and filter leave of the variance of the quanta
    transfer = detector_mtf(noise.mtf_nyquist)(radial_frequency(*truth.shape[1:]))
    left = noise.recursion / (2 - noise.recursion)
    gain, offset = noise.gain * mean_power(transfer, truth.shape[2]) * left, noise.electronic**2 * left
    case = NoisyCase(
        name, name, picture.name, picture.modality, truth[middle], noisy[middle], picture.peak, sigma, sigma,
        info.nps, Anscombe(gain, offset),
    )  # fmt: skip
    frequency, power = tuple(info.frequency.tolist()), tuple((info.nps / sigma**2).tolist())
    profile = NoiseProfile(
        unit="",
        modality="XA",
        source="frames",
        gain=gain,
        offset=offset,
        sigma=sigma,
        frequency=frequency,
        power=power,
        correlation_px=correlation_length(lambda f: np.sqrt(np.interp(f, frequency, power))),
        rho=1 - noise.recursion,
        window=(0.0, picture.peak),
        sigmas=(sigma,) * len(truth),
        steps=(),
        counts=Counts(series=1, planes=len(truth), settled=len(truth)),
    )
    return CineScene(case, noisy, middle, picture.name, profile, truth)


def _real_scene(name: str, run: str, frames: Image, index: int, known: tuple[NoiseProfile, int]) -> CineScene:
    profile, size = known
    apart = 2 if profile.rho > LAGGED else 1
    others = [n for n in range(SETTLED, len(frames)) if abs(n - index) > apart]
    lags = np.abs(np.subtract.outer(others, others))
    shared = float((profile.rho**lags).mean())
    cropped = _crop(frames, size)
    clean = cropped[others].mean(axis=0, dtype=np.float64)
    own = float(cropped[others].var(axis=0, dtype=np.float64).mean()) / (1 - shared)
    residual = cropped[index] - clean
    residual -= residual.mean()
    sigma = float(np.sqrt(own))
    power = radial_power(residual)
    case = NoisyCase(
        name, name, f"{run}, frame {index}", "XA", clean.astype(np.float32), cropped[index], 255.0, sigma,
        sigma, power, SigmaMap(profile.sigma_at(cropped[index]).astype(np.float64)),
    )  # fmt: skip
    part = cropped[index - 1 : index + 2]
    return CineScene(case, part, 1, run, profile, reference_variance=own * shared)


def _scored(count: int) -> list[int]:
    """Frames with a settled one on either side, evenly spread."""
    able = range(SETTLED + 1, count - 1)
    places = np.linspace(0, len(able) - 1, min(A_RUN, len(able)))
    return [able[round(place)] for place in places]


def _training_frames(folder: Path) -> list[Image]:
    return [picture.plane for picture in load_pictures(folder, EVERY, "train", ["XA"])]


def _one_frame(plane: Image, noise: XrayNoise, rng: np.random.Generator) -> Image:
    """A single frame with the noise that a frame of such a sequence has."""
    noisy: Image = simulate(plane[None], noise, rng)[0][0]
    return noisy


def _fit(plane: Image, like: Image) -> Image:
    """`plane` cut, or repeated, to the shape of another."""
    rows, columns = (np.arange(size) for size in like.shape)
    return plane[np.ix_(rows % plane.shape[0], columns % plane.shape[1])]


def _crop(frames: Image, size: int) -> Image:
    return np.stack([central_crop(frame, size) for frame in frames])


def splits_of(folder: Path) -> Iterator[tuple[str, str]]:
    """The real runs and the split that each belongs to."""
    for split in ("train", "val"):
        for path in split_files(folder, split):
            if str(path.parent).endswith(RUNS):
                yield path.stem, split
