"""The methods of the fluoroscopy benchmark: each makes columns, callables (scene) -> clean middle frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks.peers import Peer, PeerError, peers_of
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Image
from papers.befoi.cine_problems import CineScene, Family, as_cine
from papers.rivals.gcbd import train_gcbd
from papers.rivals.neighbor2neighbor import TrainedRival
from papers.rivals.noise2self import filter_calibrated, train_noise2self

WEIGHT = 0.5
"""Of the new frame in the recursive filter of the benchmark."""


@dataclass(frozen=True)
class Column:
    """One row of the table; `all_frames` where one call denoises the whole sequence.

    `training` holds minutes and steps of what was trained for it.
    """

    run: Callable[[CineScene], Image]
    all_frames: bool = False
    training: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Setting:
    """The family to train on, for how long, and the weights of our method."""

    family: Family
    minutes: float
    seed: int
    weights: str


Maker = Callable[[Setting], dict[str, Column]]


def _on_the_middle(peer: Peer) -> Callable[[CineScene], Image]:
    """A peer of single planes, run on the frame that is scored."""
    return lambda scene: peer(scene.case)


def classical(name: str) -> Maker:
    """A filter that is told the true level; BM3D another time, told the whole noise model."""

    def make(setting: Setting) -> dict[str, Column]:
        peers = peers_of(name, None, Options(method=name, device="cpu"))
        return {column: Column(_on_the_middle(peer)) for column, peer in peers.items()}

    return make


def noise2self(setting: Setting) -> dict[str, Column]:
    """A network trained on noisy frames: all of the scenes, and those that are not scored."""
    family = setting.family
    frames = [frame for scene in family.scenes for frame in scene.frames]
    trained = train_noise2self([*family.noisy, *frames], setting.minutes, setting.seed)
    return {"noise2self": _trained(trained)}


def j_invariant(setting: Setting) -> dict[str, Column]:
    """Total variation, tuned to each frame by itself without any truth."""
    return {"j-invariant": Column(lambda scene: filter_calibrated(scene.case.noisy))}


def gcbd(kind: str) -> Maker:
    """A network trained on clean frames with noise from frames that are not scored."""

    def make(setting: Setting) -> dict[str, Column]:
        family = setting.family
        if not family.noisy or not family.clean:
            raise PeerError("there are no frames to train on")
        trained = train_gcbd(family.noisy, family.clean, setting.minutes, setting.seed, kind)
        return {f"gcbd-{kind}": _trained(trained)}

    return make


def temporal(name: str) -> Maker:
    """The mean of three frames, or a recursive filter that has seen the frames before."""
    filters = {"average": average, "recursive": recursive}
    return lambda setting: {name: Column(filters[name])}


def average(scene: CineScene) -> Image:
    """The mean of the frame and its two neighbours."""
    mean: Image = scene.frames[scene.middle - 1 : scene.middle + 2].mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def recursive(scene: CineScene) -> Image:
    """WEIGHT of the frame and the rest of what the filter made of the one before."""
    last = scene.frames[0]
    for frame in scene.frames[1 : scene.middle + 1]:
        last = WEIGHT * frame + (1 - WEIGHT) * last
    result: Image = last.astype(np.float32)
    return result


def ours(method: str, weights: str | None = None, own: bool = True, **settings: str) -> Maker:
    """One of our methods on the whole sequence, estimating the noise of it.

    `own` takes the weights asked for, else `weights`, and without any those that are bundled.
    """

    def make(setting: Setting) -> dict[str, Column]:
        chosen = weights or (setting.weights if own else None)
        options = Options(method=method, weights=chosen, device="cpu", **settings)  # type: ignore[arg-type]
        name = " ".join([method, *settings.values()])
        columns = {name: Column(partial(_denoise, options=options), all_frames=True)}
        if method in TOLD and not settings:
            columns[f"{name} told"] = Column(partial(_denoise, options=options, told=True), all_frames=True)
        return columns

    return make


def alone(setting: Setting) -> dict[str, Column]:
    """Our method given the frame and nothing else: it takes it three times."""
    options = Options(method="befoi", weights=setting.weights, device="cpu")

    def run(scene: CineScene, told: bool) -> Image:
        return _denoise(replace(scene, frames=scene.case.noisy[None], middle=0), options, told)

    return {
        "befoi alone": Column(partial(run, told=False)),
        "befoi alone told": Column(partial(run, told=True)),
    }


def ablation(name: str, file: str) -> Maker:
    """One pass of a student that was trained another way, by the method its checkpoint is for."""

    def make(setting: Setting) -> dict[str, Column]:
        (column, *_) = ours("auto", file)(setting).values()
        return {f"ablation {name}": column}

    return make


TOLD = ("befoi", "direct")
"""Methods that also run told the true noise: level, dependence on signal, spectrum."""
MAKERS: dict[str, Maker] = {
    "nlm": classical("nlm"),
    "bm3d": classical("bm3d"),
    "noise2self": noise2self,
    "j-invariant": j_invariant,
    "gcbd-bootstrap": gcbd("bootstrap"),
    "gcbd-wgan": gcbd("wgan"),
    "gcbd-unet": gcbd("unet"),
    "diffdenoise": ours("diffdenoise", own=False),
    "direct": ours("direct", own=False),
    "average": temporal("average"),
    "recursive": temporal("recursive"),
    "befoi": ours("befoi"),
    "befoi-alone": alone,
    "befoi-diffusion": ours("befoi", mode="diffusion"),
    "befoi-mixing": ours("befoi-mixing"),
    "befoi-faithful": ours("befoi-faithful"),
}


def _denoise(scene: CineScene, options: Options, told: bool = False) -> Image:
    settings = replace(options, noise_profile=scene.profile if told else None)
    result = denoise_series(as_cine(scene.frames), settings).series
    plane: Image = result.values(scene.middle, scene.middle + 1)[0]
    return plane


def _trained(trained: TrainedRival) -> Column:
    return Column(
        lambda scene: trained(scene.case.noisy[None])[0],
        training={"minutes": trained.minutes, "steps": trained.steps},
    )
