"""Contract of the table of noises: a row is all it takes to simulate, image, compare and train."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import TrainingError
from meddenoise.noise.physics import NPS_FREQUENCIES, Added
from meddenoise.noise.table import NOISES, NoiseRow, worded
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.row_noise import draw_row_noise
from meddenoise.training.recipe_file import read_recipe
from tests.training.noisy_training import scene

EXAMPLES = {
    "gaussian": ("gaussian:5..40", "DX"),
    "correlated": ("correlated:5..40:0.5..2", "DX"),
    "rician": ("rician:2..8:4", "MR"),
    "ct-dose": ("ct-dose:0.1..0.5:1e5", "CT"),
    "xray": ("xray:20..500:2", "XA"),
    "salt-pepper": ("salt-pepper:0.01..0.05", "DX"),
}
RECIPE = """
method = "direct"
modalities = ["DX"]
[network]
name = "noise-unet"
channels = [8, 12]
blocks = [1, 1]
unshuffle = 2
[training]
steps = 2
batch = 2
patch = 32
precision = "fp32"
validate_every = 2
save_every = 2
[noise_models]
"stripes:4..8" = 1.0
[[data]]
weight = 1.0
own = 0.0
"""


@dataclass(frozen=True, slots=True)
class StripeNoise:
    """Each row of an image lifted by a normal offset, as a detector read row by row has it."""

    name: ClassVar[str] = "stripes"
    sigma: float


def add_stripes(image: np.ndarray, options: StripeNoise, rng: np.random.Generator) -> Added:
    drawn.append(asdict(options))
    offsets = rng.standard_normal((*image.shape[:-1], 1), np.float32)
    sigma = np.full(1, options.sigma, np.float32)
    return image + sigma * offsets, sigma, np.full(len(NPS_FREQUENCIES), options.sigma**2)


drawn: list[dict[str, float]] = []


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new kind of noise, of which nothing but its row in the table is known."""
    drawn.clear()
    row = NoiseRow(add_stripes, "any", "stripes:SIGMA", "row noise", 1, lambda n, _: StripeNoise(n[0]))
    monkeypatch.setitem(NOISES, "stripes", row)  # type: ignore[arg-type]


def run(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def test_every_kind_with_words_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(worded())


@pytest.mark.parametrize("name", EXAMPLES)
def test_training_draws_each_kind_at_the_level_it_reports(name: str) -> None:
    text, modality = EXAMPLES[name]
    clean = scene(1, 96).astype(np.float32)
    levels = []
    for seed in range(6):
        found = draw_row_noise(clean, modality, ((text, 1.0),), np.random.default_rng(seed))
        assert found is not None
        noisy, sigma, amplitude = found
        assert noisy.shape == sigma.shape == clean.shape
        assert amplitude.shape == (96, 49)
        stated = float(np.sqrt(np.mean(sigma**2)))
        if name != "rician":  # whose magnitude shifts the mean and narrows the noise where the signal is low
            assert np.std(noisy - clean) == pytest.approx(stated, rel=0.15)
        levels.append(stated)
    assert max(levels) > 1.2 * min(levels)  # the range is drawn from


def test_patches_a_kind_is_not_made_for_and_those_beyond_its_share_get_other_noise() -> None:
    clean, rng = scene(1, 64).astype(np.float32), np.random.default_rng(0)
    assert draw_row_noise(clean, "MR", (("ct-dose:0.25", 1.0),), rng) is None
    assert draw_row_noise(clean, "CT", (("rician:5", 1.0),), rng) is None
    found = [draw_row_noise(clean, "DX", (("gaussian:5", 0.3),), rng) for _ in range(400)]
    assert sum(each is not None for each in found) == pytest.approx(120, abs=40)


def test_a_row_reaches_simulate_phantom_bench_and_train(stripes: None, tmp_path: Path) -> None:
    clean = tmp_path / "clean.png"
    Image.fromarray(scene(1, 96).astype(np.uint8)).save(clean)
    run("simulate", clean, tmp_path / "noisy.png", "--noise", "stripes:6")
    record = json.loads((tmp_path / "noisy.simulate.json").read_text())
    assert record["series"][0]["noise"][0]["applied"] == [{"noise": "stripes", "sigma": 6.0}]

    study = tmp_path / "study"
    run("phantom", "xray", study, "--size", 96, "--noise", "stripes:6", "--format", "png")
    picture = tmp_path / "bench.png"
    run("bench", study / "noisy", "--ref", study / "clean", "--methods", "median", "-o", picture)
    assert picture.exists()

    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        Image.fromarray(scene(number, 96).astype(np.uint8)).save(data / f"p{number}.png")
    lines = [f"p{number}.png,{'val' if number == 3 else 'train'}" for number in range(4)]
    (data / "SPLITS.csv").write_text("\n".join(["file,split", *lines]))
    recipe = tmp_path / "stripes.toml"
    recipe.write_text(RECIPE)
    before = len(drawn)
    run("train", "--recipe", recipe, "--data", data, "-o", tmp_path / "run")
    levels = [options["sigma"] for options in drawn[before:]]
    assert len(levels) == 4  # two steps of two patches
    assert all(4 <= level <= 8 for level in levels)


def test_a_recipe_with_noise_that_cannot_be_simulated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.replace("stripes:4..8", "gausian:5"))
    with pytest.raises(TrainingError, match="did you mean 'gaussian'"):
        read_recipe(str(path))
    path.write_text(RECIPE.replace('"stripes:4..8" = 1.0', '"gaussian:5" = 0.7\n"rician:5" = 0.7'))
    with pytest.raises(TrainingError, match="add up to at most 1"):
        read_recipe(str(path))


def test_runs_without_such_noise_keep_the_digest_they_had() -> None:
    assert "models" not in NoiseMix().settings()
    assert NoiseMix(models=(("gaussian:5", 0.1),)).settings()["models"] == (("gaussian:5", 0.1),)
