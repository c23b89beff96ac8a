"""The text that a resumed training is compared by: other images, another recipe, an older version."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meddenoise.errors import TrainingError
from meddenoise.noise import NoiseEstimate
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.windowed import WindowedPlane
from meddenoise.training.digest import checksum, describe, name_images, refuse_change
from meddenoise.training.medcdiff import RestorationTask
from meddenoise.training.noise_level import NoiseLevelTask
from meddenoise.training.recipe import DataRow
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.vpsde import ScoreTask

STATE = Path("run/state.safetensors")
PLANE = np.zeros((256, 256), np.float32)


def clean(content: int, group: str = "a.png") -> TrainingImage:
    return TrainingImage(PLANE, "CT", ".", group, NoiseEstimate(0.0), content=content)


def test_a_checksum_tells_values_apart_whatever_their_layout_in_memory() -> None:
    values = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert checksum(values) == checksum(np.asfortranarray(values)) != checksum(values + np.int16(1))
    assert checksum(values, values) != checksum(values)


@pytest.mark.parametrize(
    "others", [[clean(2)], [clean(1, "b.png")], [clean(1)] * 2], ids=["content", "name", "number"]
)
def test_other_images_are_told_from_another_recipe(others: list[TrainingImage]) -> None:
    """Values measured in the images, such as the reach of their noise, change with them."""
    before = describe(rate=1, **name_images([clean(1)]), radii=[0])
    with pytest.raises(TrainingError, match=r"state.*folder given with -o holds a training on other images:"):
        refuse_change(STATE, before, describe(rate=1, **name_images(others), radii=[2]))
    with pytest.raises(TrainingError, match=r"another recipe .'rate = 1' became 'rate = 2'"):
        refuse_change(STATE, before, describe(rate=2, **name_images(others), radii=[0]))
    with pytest.raises(TrainingError, match=r"another recipe .'radii = \[0\]' became 'radii = \[2\]'"):
        refuse_change(STATE, before, describe(rate=1, **name_images([clean(1)]), radii=[2]))


def test_a_run_of_an_older_version_is_refused_as_one() -> None:
    now = describe(rate=1, **name_images([clean(1)]), start=None)
    before = re.sub(r"^(content|start) = .*\n?", "", now, flags=re.MULTILINE)
    with pytest.raises(TrainingError, match=r"other images, or one of an older version.*another folder"):
        refuse_change(STATE, before, now)


def test_every_method_notes_what_its_images_hold() -> None:
    score, restoration, estimator = (
        replace(read_recipe(name), data=(DataRow(),)) for name in ("vpsde", "medcdiff", "noise-estimator")
    )
    pictures = np.random.default_rng(0).uniform(-1, 1, (256, 256)).astype(np.float32)
    for make in (
        lambda n: ScoreTask(
            score, ([WindowedPlane(pictures, ".", "a", n)], [WindowedPlane(pictures, ".", "b")])
        ),
        lambda n: RestorationTask(restoration, [clean(n)], []),
        lambda n: NoiseLevelTask(estimator, [clean(n)], []),
    ):
        first, again, other = (make(n).digest for n in (1, 1, 2))
        assert first == again != other
