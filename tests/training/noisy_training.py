"""A tiny run of all stages of DiffDenoise on generated noisy pictures, for the tests that need one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.budget import Budget
from meddenoise.training.recipe import DataRow, Recipe, Stages
from meddenoise.training.recipe_file import read_recipe

SIGMA = 15.0
STEPS = 6


class Silence:
    """A watch that says nothing; it keeps the notes and the stages it was told of."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self.steps = 0

    def reading(self, done: int, total: int) -> None:
        pass

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def making(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        self.steps += 1


def scene(seed: int, side: int) -> np.ndarray[Any, Any]:
    """A picture like an anatomy: a bright body, smooth shading, round organs with edges; 0 to 230."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    picture = 90.0 * (x**2 / 0.2 + y**2 / 0.16 < 1) + 15 * np.sin(5 * x + seed) * np.cos(4 * y)
    for _ in range(9):
        cy, cx = rng.uniform(-0.3, 0.3, 2)
        a, b = rng.uniform(0.03, 0.14, 2)
        picture += rng.uniform(-40, 70) * ((x - cx) ** 2 / a**2 + (y - cy) ** 2 / b**2 < 1)
    return np.clip(20 + picture, 0, 230)


def noisy_folder(folder: Path, count: int = 10, side: int = 72, sigma: float = SIGMA) -> Path:
    """A folder of noisy 8-bit pictures, the last two listed for validation; nothing clean is written."""
    folder.mkdir(parents=True)
    lines = ["file,split"]
    for number in range(count):
        noise = sigma * np.random.default_rng([number, 1]).standard_normal((side, side))
        stored = np.clip(np.rint(scene(number, side) + noise), 0, 255).astype(np.uint8)
        Image.fromarray(stored).save(folder / f"p{number}.png")
        lines.append(f"p{number}.png,{'val' if number >= count - 2 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def tiny_recipe(steps: int = STEPS, **stages: Any) -> Recipe:
    """The shipped recipe for a user's own noisy images, with the smallest networks and few steps."""
    recipe = read_recipe("diffdenoise-own")
    assert recipe.stages is not None
    short = {"steps": steps, "batch": 2, "patch": 32, "warmup": 2, "precision": "fp32"}
    often = {"validate_every": max(1, steps // 2), "save_every": max(1, steps // 3)}
    tiny = Stages(
        blind_network={"channels": [6, 6], "blocks": [1, 1], "entry": 4, "radii": [0, 2, 4]},
        blind=replace(recipe.stages.blind, **short, **often),
        diffusion_network={"profile": "tiny"},
        diffusion=replace(recipe.stages.diffusion, **short, **often),
        sampler=recipe.stages.sampler,
        targets=replace(recipe.stages.targets, iterations=1),
        simulated=recipe.stages.simulated,
    )
    return replace(
        recipe,
        network_options={"channels": [8, 8], "blocks": [1, 1], "unshuffle": 2},
        loop=replace(recipe.loop, **short, **often),
        data=(DataRow(),),
        stages=replace(tiny, **stages),
    )


def train_tiny(
    folder: Path, output: Path, recipe: Recipe | None = None, seconds: float = 0.0, **manner: Any
) -> Path:
    """The checkpoint of a tiny run."""
    how = Manner(budget=Budget(seconds), **manner)
    return run_training(recipe or tiny_recipe(), TrainingSet(folder), output, how, watch=Silence())
