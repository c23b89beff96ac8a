"""Real noise from frames of a still scene: the noise is taken, the scene is not."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from meddenoise.errors import TrainingError
from meddenoise.training import TrainingSet
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.load import FEWEST_REPEATS, load_images
from meddenoise.training.recipe import DataRow
from tests.cines import run
from tests.io_samples import save

SIDE, FRAMES = 96, 12
LEVELS = np.where(np.arange(FRAMES) == 0, 18.0, 6.0)


def run_of(folder: Path, name: str, frames: int) -> None:
    """A cine of a bright bar in which nothing moves, its first frame noisier, as a DICOM file."""
    rng = np.random.default_rng([frames, len(name)])
    scene = np.full((SIDE, SIDE), 90.0)
    scene[:, 40:50] = 200
    noise = LEVELS[:frames, None, None] * rng.standard_normal((frames, SIDE, SIDE))
    stored = np.clip(np.rint(scene + noise), 0, 1000).astype(np.uint16)
    save(run(stored, SeriesInstanceUID=uid(name), SOPInstanceUID=uid(f"{name} 1")), folder / f"{name}.dcm")


def uid(name: str) -> str:
    return str(generate_uid(entropy_srcs=[name]))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrainingImage], list[TrainingImage]]:
    folder = tmp_path_factory.mktemp("repeats")
    (folder / "runs").mkdir()
    for name in ("one", "two"):
        run_of(folder / "runs", name, FRAMES)
    (folder / "SPLITS.csv").write_text("file,split\nruns/one.dcm,train\nruns/two.dcm,val\n")
    row = DataRow(folder="runs", modality="XA", range=255.0, repeats=True)
    return load_images(TrainingSet(folder), [row], 64, lambda done, total: None)


def test_the_noise_of_every_frame_is_taken_at_its_own_level(
    sides: tuple[list[TrainingImage], list[TrainingImage]],
) -> None:
    training, validation = sides
    assert len(training) == len(validation) == FRAMES
    levels = [float(image.noise.std()) for image in training if image.noise is not None]
    assert levels == pytest.approx(LEVELS.tolist(), rel=0.05)
    assert [image.own.sigma for image in training] == pytest.approx(levels)


def test_the_scene_is_not(sides: tuple[list[TrainingImage], list[TrainingImage]]) -> None:
    bar = np.zeros((SIDE, SIDE), np.float32)
    bar[:, 40:50] = 1
    bar -= bar.mean()
    for image in sides[0]:
        assert image.noise is not None
        assert abs(float((image.noise * bar).mean()) / float((bar * bar).mean())) < 3
    planes = [image.plane for image in sides[0]]
    assert all(not np.array_equal(planes[0], plane) for plane in planes[1:])


def test_too_short_a_run_is_refused_by_name(tmp_path: Path) -> None:
    run_of(tmp_path, "short", FEWEST_REPEATS - 1)
    row = DataRow(modality="XA", range=255.0, repeats=True)
    with pytest.raises(TrainingError, match=r"short\.dcm has 7 frames.*needs 8"):
        load_images(TrainingSet(tmp_path), [row], 64, lambda done, total: None)
