"""The table of trainings: a row for every method that can be trained, and what a row says is so."""

from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import torch

from meddenoise.errors import TrainingError, UsageError
from meddenoise.methods import METHODS
from meddenoise.noise import NoiseEstimate
from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import PairSource, validation_pairs
from meddenoise.training.loop import Share
from meddenoise.training.recipe_file import read_recipe, shipped_recipes
from meddenoise.training.table import TRAININGS
from tests.test_house import loaded_after
from tests.training.noisy_training import Silence

RECIPES = {name: read_recipe(name) for name in shipped_recipes()}


def test_every_recipe_and_every_learned_method_has_a_row_and_the_other_way_round() -> None:
    assert set(TRAININGS) == {recipe.method for recipe in RECIPES.values()}
    assert {name for name, row in METHODS.items() if row.learned and not row.shares} <= set(TRAININGS)


def test_the_table_imports_nothing_heavy() -> None:
    code = "from meddenoise.training.table import TRAININGS; assert TRAININGS"
    assert not loaded_after(code).intersection({"torch", "scipy", "numpy", "accelerate"})


@pytest.mark.parametrize("method", TRAININGS)
def test_a_row_names_functions_that_there_are_and_is_whole(method: str) -> None:
    row = TRAININGS[method]
    assert callable(resolve_name(row.trainer))
    is_conditional = row.section == "conditional"
    assert is_conditional == (row.channels > 0) == bool(row.frames or row.degrade)
    assert not (row.frames and row.degrade) and (row.degrade or not row.holes)


@pytest.mark.parametrize("method", [name for name, row in TRAININGS.items() if row.section == "conditional"])
def test_a_condition_has_the_channels_of_its_row(method: str) -> None:
    plane = np.random.default_rng(0).uniform(50, 200, (192, 192)).astype(np.float32)
    recipe = RECIPES[method]
    images = [TrainingImage(plane, "XA", recipe.data[0].source, "a.png", NoiseEstimate(0.0))]
    drawn = PairSource(recipe, images, recipe.loop).batch(1, 2, Share(torch.device("cpu")))
    for pair in (drawn, validation_pairs(method, images)[0][1]):
        assert pair.condition.channels.shape[1] == TRAININGS[method].channels
        assert bool((pair.counts == 1).all()) != TRAININGS[method].holes


@pytest.mark.parametrize("method", TRAININGS)
def test_options_without_use_are_refused_by_name_before_anything_is_written(
    method: str, tmp_path: Path
) -> None:
    given = {
        "--noise-profile": (TrainingSet(tmp_path, profile=object()), Manner()),  # type: ignore[arg-type]
        "--ref": (TrainingSet(tmp_path, tmp_path), Manner()),
        "--blind-radius": (TrainingSet(tmp_path), Manner(blind_radius=2)),
    }
    for option, sentence in TRAININGS[method].refused.items():
        wanted = sentence.format(method=method, option=option)
        images, manner = given[option]
        with pytest.raises(UsageError) as refused:
            run_training(RECIPES[method], images, tmp_path / "run", manner, watch=Silence())
        assert str(refused.value) == wanted and option in wanted and method in wanted
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "section", "fault"),
    [
        ("diffdenoise", "", r"has no table \[blind\].*add it"),
        ("befoi", "", r"has no table \[conditional\].*add it"),
        ("direct", "[blind]\n", r"has a table \[blind\].*leave it out"),
        ("vpsde", "[conditional]\n", r"has a table \[conditional\].*leave it out"),
    ],
)
def test_a_recipe_without_the_networks_of_its_method_or_with_others_is_refused(
    method: str, section: str, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'method = "{method}"\nmodalities = ["CT"]\n[network]\n{section}[[data]]\n')
    with pytest.raises(TrainingError, match=rf"mine.toml {fault}"):
        read_recipe(str(path))
