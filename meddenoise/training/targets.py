"""Stage 2 of DiffDenoise: what the sampler makes of every training image, kept in files to learn from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from meddenoise.engine.device import quick_precision
from meddenoise.errors import OutputError, TrainingError
from meddenoise.io.atomic import write_whole
from meddenoise.io.own import DRAWN
from meddenoise.methods.fusion import fuse
from meddenoise.methods.srds import Srds
from meddenoise.noise import NoiseEstimate
from meddenoise.series import Image
from meddenoise.training.data import TrainingImage, middle
from meddenoise.training.data.noisy import NoisyBatch, NoisyImage
from meddenoise.training.diffusion import Condition
from meddenoise.training.digest import describe, name_images, precision_of, refuse_change, with_precision
from meddenoise.training.recipe import TargetOptions

CPU = torch.device("cpu")
WHOLE = 1 << 20
PREVIEWS = 4
MADE_FROM = "made-from.txt"
ENOUGH = 1
"""Targets that are made even where the time for them is over."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """The stages so far: a condition, the sampler over it, and the checksums of both."""

    condition: Condition
    srds: Srds
    identity: str


def make_targets(
    teacher: Teacher,
    images: Sequence[NoisyImage],
    options: TargetOptions,
    folder: Path,
    tick: Callable[[int, int], None],
    seconds: float = 0.0,
) -> list[Image | None]:
    """The denoised middle of every image, float32, in 255ths; made once and kept in `folder`.

    With `seconds` > 0 what is not made by then is None. `tick(done, total)` after each.
    Raises TrainingError where the folder holds the targets of other stages or settings, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    precision = _claim(folder, teacher, options, images)
    started = perf_counter()
    targets: list[Image | None] = []
    for number, image in enumerate(images):
        path = folder / f"{number:05d}.safetensors"
        target = _read(path)
        late = seconds > 0 and perf_counter() - started > seconds and number >= ENOUGH
        if target is None and not late:
            target = _steps(teacher, image, options, number, precision)[-1]
            _write(path, target)
            target = _read(path)  # as a later run would see it, rounding included
        targets.append(target)
        tick(number + 1, len(images))
    return targets


def clear_targets(folder: Path) -> None:
    """Remove what an earlier run made in `folder`."""
    for path in [folder / MADE_FROM, *folder.glob("*.safetensors")]:
        path.unlink(missing_ok=True)


def least_noisy(images: Sequence[NoisyImage], share: float, most: int = WHOLE) -> list[NoisyImage]:
    """The `share` of the images of each source that have the least noise, at least one, at most `most`."""
    sources: dict[str, list[NoisyImage]] = {}
    for image in images:
        sources.setdefault(image.source, []).append(image)
    chosen = []
    for mine in sources.values():
        count = min(most, max(1, round(share * len(mine))))
        chosen += sorted(mine, key=lambda image: image.noise.sigma)[:count]
    return chosen


def as_training_images(
    images: Sequence[NoisyImage], targets: Sequence[Image | None], options: TargetOptions, simulated: bool
) -> list[TrainingImage]:
    """Each target twice: with the noise that was there, and alone, for fresh noise on it.

    With `simulated` images of all levels fresh noise is of any kind, and less noisy images, whose targets are
    better, are drawn more often. Without, fresh noise is like the image's own.
    """
    made = [(image, target) for image, target in zip(images, targets, strict=True) if target is not None]
    result = []
    for image, target in made:
        fresh = TrainingImage(
            target,
            image.modality,
            image.source,
            image.group,
            own=NoiseEstimate(0.0),
            weight=1 / image.noise.sigma if simulated else 1.0,
            like=None if simulated else replace(image.noise, field=None),
            content=image.content,
        )
        noise = middle(image.plane, options.crop or WHOLE) - target
        own = replace(fresh, own=image.noise, noise=noise, weight=1.0, like=None)
        result += [fresh, replace(own, recorrupted=options.recorrupted)]
    return _balanced(result, options.pair_share)


def _balanced(images: list[TrainingImage], pair_share: float) -> list[TrainingImage]:
    """Weights such that pairs have `pair_share` of all draws; 1 on the mean, as those of other images are."""
    totals = {True: 0.0, False: 0.0}
    for image in images:
        totals[image.noise is not None] += image.weight
    wanted = {True: pair_share, False: 1 - pair_share}
    factors = {kind: len(images) * wanted[kind] / max(totals[kind], 1e-9) for kind in totals}
    return [replace(image, weight=image.weight * factors[image.noise is not None]) for image in images]


def write_previews(
    teacher: Teacher, images: Sequence[NoisyImage], options: TargetOptions, folder: Path
) -> None:
    """PNG pictures of the images: noisy, blind estimate, mean of the sampler, and target, side by side.

    Raises TrainingError where they cannot be written.
    """
    from PIL import Image as Pictures
    from PIL.PngImagePlugin import PngInfo

    precision = quick_precision(CPU)
    for number, image in enumerate(images):
        views = np.hstack(_steps(teacher, image, options, number, precision))
        grey = Pictures.fromarray(np.clip(np.rint(views), 0, 255).astype(np.uint8))
        path = folder / f"preview-{number}.png"
        info = PngInfo()
        info.add_itxt("Processing", f"{DRAWN}: a preview of training")
        grey.save(picture := BytesIO(), format="PNG", pnginfo=info)
        _write_bytes(path, picture.getvalue())


@torch.inference_mode()
def _steps(
    teacher: Teacher, image: NoisyImage, options: TargetOptions, seed: int, precision: str
) -> list[Image]:
    """Noisy image, blind estimate, mean of the sampler, and target."""
    side = options.crop or WHOLE
    noisy, sigma = (
        torch.from_numpy(middle(plane, side).copy())[None, None] for plane in (image.plane, image.sigma())
    )
    bands = torch.tensor([image.noise.bands], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        condition = teacher.condition(NoisyBatch(noisy, sigma, bands, image.rho))
        generators = [torch.Generator().manual_seed(seed)]
        mean, _ = teacher.srds(condition, sigma, bands, generators)
    result = fuse(noisy, mean, sigma, bands) if options.fusion else mean
    return [plane[0, 0].float().numpy() for plane in (noisy, condition, mean, result)]


def _claim(folder: Path, teacher: Teacher, options: TargetOptions, images: Sequence[NoisyImage]) -> str:
    """The precision to make a folder's targets in; notes what they come from, refuses a folder of others."""
    notes = folder / MADE_FROM
    now = describe(teacher=teacher.identity, **name_images(images), **asdict(options), precision="auto")
    if notes.exists():
        before = notes.read_text(encoding="utf-8")
        precision = precision_of(before) or quick_precision(CPU)
        refuse_change(folder, before, with_precision(now, precision))
        return precision
    precision = quick_precision(CPU)
    _write_bytes(notes, with_precision(now, precision).encode())
    return precision


def _read(path: Path) -> Image | None:
    """A target of an earlier run; None where there is none, or half of one."""
    try:
        return load_file(path)["target"].astype(np.float32)
    except (OSError, SafetensorError, KeyError):
        return None


def _write(path: Path, target: Image) -> None:
    fits = float(np.abs(target).max()) < float(np.finfo(np.float16).max)
    stored = target.astype(np.float16 if fits else np.float32)
    _write_bytes(path, save({"target": stored}))


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OutputError as error:
        raise TrainingError(
            f"{path} cannot be written ({error.__cause__}): free some space and give the same command again."
        ) from error
