"""Pilots of equal time: each changes the one thing it is named for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.pilots import FIRST, PILOTS, Pilot, as_table, make
from meddenoise.noise import NoiseEstimate
from meddenoise.training.data import SCENES, TrainingImage
from meddenoise.training.recipe import Recipe
from meddenoise.training.recipe_file import read_recipe


def changed(name: str) -> Recipe:
    recipe = replace(read_recipe("direct-fast"), start="")
    for change in PILOTS[name][1]:
        recipe = change(recipe)
    return recipe


def small(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        network_options={"channels": [4, 8], "blocks": [1, 1], "unshuffle": 2, "bands": 16},
        loop=replace(recipe.loop, batch=2, patch=32, precision="fp32"),
    )


def drawn(recipe: Recipe) -> list[TrainingImage]:
    plane = np.clip(np.random.default_rng(0).normal(100, 20, (96, 96)), 0, 255).astype(np.float32)
    return [
        TrainingImage(plane, "CT", row.source, f"{row.source}-{side}", NoiseEstimate(2.0))
        for row in recipe.data
        if row.source != SCENES
        for side in range(2)
    ]


def test_data_of_the_pilots_is_what_they_are_told_to_learn_from() -> None:
    rows = {name: changed(name).data for name in PILOTS}
    everything = set(rows["all"])
    assert all(row.folder.startswith("natural/") for row in rows["photographs"])
    assert not any(row.exact for row in rows["medical"])
    assert set(rows["medical"]) | set(rows["exact"]) == everything
    assert {row.source for row in rows["medical-as-clean"]} == {row.source for row in rows["medical"]}
    assert all(row.own == 0 for row in rows["medical-as-clean"])
    assert all(first in PILOTS for first in FIRST.values())


@pytest.mark.parametrize(
    ("name", "key", "value"), [("large-patches", "patch", 192), ("short-average", "ema", 0.99)]
)
def test_loops_differ_in_what_is_told(name: str, key: str, value: float) -> None:
    assert getattr(changed(name).loop, key) == value
    assert getattr(changed("all").loop, key) != value


def test_pilots_of_planes_and_ringing_change_that() -> None:
    assert changed("three-planes").network_options["frames"] == 3
    assert changed("no-ringing").noise.windowed == 0 < changed("all").noise.windowed


def test_losses_of_the_pilots_are_what_they_are_told() -> None:
    errors = torch.tensor([1.0, 3.0])
    recipe = small(changed("all"))
    images = drawn(recipe)
    means = {
        name: float(Pilot(name, recipe, images, images).of_patch(errors).mean())
        for name in ("all", "square", "psnr")
    }
    assert means == pytest.approx({"all": 2.0, "square": 5.0, "psnr": 0.5 * np.log(3)})


def test_a_pilot_in_two_halves_is_trained_and_told_with_its_steps(tmp_path: Path) -> None:
    base = small(changed("all"))
    made = drawn(base)
    sides = made[::2], made[1::2]
    arguments = type("Arguments", (), {"minutes": 0.05, "output": tmp_path})()
    make("exact-then-all", base, sides, arguments)
    rows = [
        {"group": "phantoms", "modality": "CT", "method": "exact-then-all", "gain_db": 1.5},
        {"group": "repeats", "modality": "MR", "method": "exact-then-all", "gain_db": 2.5},
        {"group": "phantoms", "modality": "CT", "method": "nlm", "gain_db": 1.0},
        {"group": "repeats", "modality": "MR", "method": "nlm", "gain_db": 2.0},
    ]
    head, _, nlm, pilot = as_table(["exact-then-all"], rows, tmp_path).splitlines()
    assert "CT phantom" in head and "repeats" in head
    assert nlm.startswith("| NLM, told the level |  | +1.00 | +2.00 |")
    steps = pilot.split("|")[2].strip()
    assert int(steps) >= 1 and pilot.endswith("| +1.50 | +2.50 |")
