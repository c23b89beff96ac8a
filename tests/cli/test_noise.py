"""`meddenoise noise` from the command line, and what its profile does for the other commands."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from meddenoise.errors import UsageError
from meddenoise.io import read
from meddenoise.noise.insert import insert_noise
from meddenoise.noise.profile.file import read_profile, write_profile
from meddenoise.training import TrainingSet, run_training
from meddenoise.training.data.load import load_images
from meddenoise.training.recipe import DataRow
from tests.commands import run
from tests.noise.profile.test_profile import EXAMPLE
from tests.training.test_training import Silence, tiny_recipe


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A fluoroscopy phantom of 12 frames and the profile of its noise."""
    folder = tmp_path_factory.mktemp("noise")
    run("phantom", "fluoro", folder / "study", "--size", 128, "--frames", 12)
    shown = run("noise", folder / "study" / "noisy", "-o", folder / "profile.toml")
    return folder, shown


def test_a_profile_is_written_and_shown_in_eighty_columns(study):
    folder, shown = study
    assert shown.stdout.split() == [str(folder / "profile.toml")]
    assert max(map(len, shown.stderr.splitlines())) <= 80
    for words in ("frames: 12 planes", "variance at mean m", "lag of frames", "of linear-1000"):
        assert words in shown.stderr
    profile = read_profile(folder / "profile.toml")
    assert profile.modality == "XA" and len(profile.steps) == 12
    record = json.loads((folder / "study" / "phantom.json").read_text())
    assert profile.sigma == pytest.approx(record["noise"][0]["sigma"], rel=0.03)


def test_json_is_all_there_is_on_stdout_and_a_profile_is_not_lost(study):
    folder, _ = study
    facts = json.loads(run("noise", folder / "study" / "noisy", "--json").stdout)
    assert facts["source"] == "frames" and facts["sigma"] == read_profile(folder / "profile.toml").sigma
    kept = run("noise", folder / "study" / "noisy", "-o", folder / "profile.toml", code=1)
    assert "exists already" in kept.stderr


def test_a_single_image_is_said_to_be_one(study, tmp_path):
    folder, _ = study
    frame = read(folder / "study" / "noisy")[0].pixels[0]
    Image.fromarray((frame >> 4).astype(np.uint8)).save(tmp_path / "frame.png")
    assert "note: one image was used" in run("noise", tmp_path / "frame.png").stderr


def test_diffusion_steps_are_told_where_there_are_any(tmp_path):
    rng, y, x = np.random.default_rng(0), *np.indices((96, 96))
    scene = 40 + 160 * (np.hypot(y - 48, x - 48) < 30)
    for sigma, told in ((0.7, False), (12.0, True)):
        folders = [tmp_path / f"{sigma}" / name for name in ("a", "b")]
        for folder in folders:
            folder.mkdir(parents=True)
            noisy = np.clip(np.rint(scene + rng.normal(0, sigma, scene.shape)), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(folder / "scan.png")
        shown = run("noise", *folders).stderr
        assert "repeats: 2 planes" in shown and ("diffusion steps" in shown) == told


def test_frames_of_different_size_and_empty_folders_end_in_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", 64), ("b", 48)):
        Image.fromarray(rng.integers(90, 110, (size, size), np.uint8)).save(tmp_path / f"{name}.png")
    told = run("noise", tmp_path, code=2).stderr
    assert "b.png has planes of 48 x 48 pixels" in told and len(told.splitlines()) == 1
    (tmp_path / "empty").mkdir()
    assert "no image" in run("noise", tmp_path / "empty", code=3).stderr


def test_noise_simulated_by_a_profile_gives_that_profile_again(study, tmp_path):
    folder, _ = study
    run("simulate", folder / "study" / "clean", tmp_path / "noisy", "--noise", folder / "profile.toml")
    run("noise", tmp_path / "noisy", "-o", tmp_path / "again.toml")
    first, second = read_profile(folder / "profile.toml"), read_profile(tmp_path / "again.toml")
    assert second.sigma == pytest.approx(first.sigma, rel=0.03)
    assert second.correlation_px == pytest.approx(first.correlation_px, rel=0.05)
    assert second.sigma_at(np.full((9, 9), 1500, np.float32)) == pytest.approx(
        first.sigma_at(np.full((9, 9), 1500, np.float32)), rel=0.05
    )
    assert abs(second.rho - first.rho) < 0.05


def test_the_lag_of_a_profile_is_simulated_in_frames_alone(study, tmp_path):
    folder, _ = study
    profile = tmp_path / "lag.toml"
    text = (folder / "profile.toml").read_text()
    rho = next(line for line in text.splitlines() if line.startswith("rho = "))
    profile.write_text(text.replace(rho, "rho = 0.5"))
    clean = folder / "study" / "clean"
    run("simulate", clean, tmp_path / "noisy", "--noise", profile)
    added = read(tmp_path / "noisy")[0].values(0, 12) - read(clean)[0].values(0, 12)
    assert np.mean(added[1:] * added[:-1]) / np.mean(added**2) == pytest.approx(0.5, abs=0.03)


def test_denoising_takes_the_noise_from_the_profile(study, tmp_path):
    folder, _ = study
    noisy = folder / "study" / "noisy"
    told = run("denoise", noisy, "-o", tmp_path / "out", "--method", "gaussian", "--noise-profile",
               folder / "profile.toml", "--json")  # fmt: skip
    row = json.loads(told.stdout)
    profile = read_profile(folder / "profile.toml")
    assert row["noise"]["sigma_before"] == pytest.approx(profile.sigma, rel=0.06)  # measured on flat places
    assert row["noise"]["source"] == "--noise-profile"
    assert row["noise"]["sigma_used"] == pytest.approx(profile.sigma, rel=0.1)
    assert row["noise"]["profile"] == profile.describe() and "frames" in profile.describe()
    page = (tmp_path / "out" / "meddenoise-report.html").read_text()
    assert "Noise profile" in page and profile.describe() in page
    refused = run("denoise", noisy, "-o", tmp_path / "no", "--sigma", 5, "--noise-profile",
                  folder / "profile.toml", code=2)  # fmt: skip
    assert "--sigma and --noise-profile each give the level" in refused.stderr
    missing = run("denoise", noisy, "-o", tmp_path / "no", "--noise-profile", "none.toml", code=2)
    assert "none.toml cannot be read" in missing.stderr


def test_a_profile_in_another_unit_is_refused(study, tmp_path):
    write_profile(replace(EXAMPLE, unit="HU", modality="CT"), tmp_path / "hu.toml")
    run("phantom", "ct", tmp_path / "ct", "--size", 64, "--slices", 1)
    write_profile(replace(EXAMPLE, unit="counts", modality="CT"), tmp_path / "counts.toml")
    clean = tmp_path / "ct" / "clean"
    told = run("simulate", clean, tmp_path / "x", "--noise", tmp_path / "counts.toml", code=2).stderr
    assert "counts.toml is in counts, the image in HU" in told
    run("simulate", clean, tmp_path / "y", "--noise", tmp_path / "hu.toml")
    failed = run("denoise", clean, "-o", tmp_path / "z", "--method", "gaussian", "--noise-profile",
                 tmp_path / "counts.toml", code=1)  # fmt: skip
    assert "the noise profile in counts" in failed.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("train"), np.random.default_rng(0)
    lines = ["file,split"]
    for number in range(4):
        waves = Image.fromarray(rng.normal(size=(5, 5)).astype(np.float32))
        smooth = np.asarray(waves.resize((96, 96), Image.Resampling.BICUBIC))
        picture = np.clip(120 + 50 * smooth, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{'val' if number == 3 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def test_training_draws_the_noise_of_the_profile(pictures):
    # Values 0..127.5 become 0..255: the noise doubles with them.
    rows = (DataRow(modality="XA", range=127.5),)
    training, _ = load_images(TrainingSet(pictures, profile=EXAMPLE), rows, 32, lambda done, total: None)
    for image in training:
        mean = float(image.plane.mean())
        assert image.like is not None
        assert image.like.sigma == pytest.approx(np.sqrt(2 * 2 * mean + 4 * 9), rel=0.02)
        assert image.like.bands[0] > 1 > image.like.bands[-1]


def test_a_network_is_trained_on_the_noise_of_a_profile(pictures, tmp_path):
    weights = run_training(
        tiny_recipe(steps=3), TrainingSet(pictures, profile=EXAMPLE), tmp_path / "run", watch=Silence()
    )
    assert weights.exists()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "own" in log
    with pytest.raises(UsageError, match="leave one of them out"):
        run_training(
            tiny_recipe(), TrainingSet(pictures, pictures, EXAMPLE), tmp_path / "no", watch=Silence()
        )


def test_a_simulated_series_tells_the_profile_and_not_where_it_lay(study, tmp_path):
    folder, _ = study
    clean, profile = read(folder / "study" / "clean")[0], folder / "profile.toml"
    done = insert_noise(clean, [str(profile)], 0).series.derivation
    assert done is not None and str(folder) not in done.description + done.settings
    text = profile.read_text().replace("source =", "# moved\nsource =")
    (tmp_path / "copy.toml").write_text(text)
    copy = insert_noise(clean, [str(tmp_path / "copy.toml")], 0).series.derivation
    assert copy == done
