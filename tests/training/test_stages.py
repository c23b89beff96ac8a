"""Training from noisy images through all stages: its results run, resume exactly, refuse, end in time."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from meddenoise import Options, denoise
from meddenoise.errors import TrainingError, UsageError
from meddenoise.noise import NoiseEstimate
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.series import Series
from meddenoise.training import Manner, TrainingSet, run_training, stages, targets
from meddenoise.training.budget import Budget
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.noisy import NoisyBatch, NoisyImage
from meddenoise.training.recipe import DataRow, Recipe, Stages
from meddenoise.training.state import read_notes
from meddenoise.training.targets import _read, _write
from meddenoise.weights.checkpoint import load_checkpoint
from tests.training.noisy_training import SIGMA, STEPS, Silence, noisy_folder, scene, tiny_recipe, train_tiny

INTERRUPTED = Path(__file__).parent / "interrupted.py"
KEPT = [
    "blind/checkpoint.safetensors",
    "checkpoint.safetensors",
    "diffusion/checkpoint.safetensors",
    "student/checkpoint.safetensors",
]
"""Files that an interrupted run must have to the byte."""
Change = Callable[[Stages], Stages]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of several threads are rounded otherwise, and the runs to compare have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noisy_folder(tmp_path_factory.mktemp("data") / "noisy")


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed, with as many threads as the disturbed ones."""
    output = tmp_path_factory.mktemp("whole") / "run"
    (result,) = attempts(folder, output, {})
    assert result["code"] == 0, result["error"]
    return output


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A finished run to go on with."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def attempts(folder: Path, output: Path, *tries: dict[str, Any]) -> list[dict[str, Any]]:
    """Outcome of each of the tries, every one a process that goes on where the one before ended."""
    done = subprocess.run(
        [sys.executable, str(INTERRUPTED), str(folder), str(output), json.dumps(tries)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def same(one: Path, other: Path) -> None:
    for name in KEPT:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def plane(number: int = 9) -> Series:
    """A noisy picture as a float series."""
    noise = SIGMA * np.random.default_rng([number, 2]).standard_normal((1, 72, 72))
    values = (scene(number, 72) + noise).astype(np.float32)
    series = to_series(make_phantom("xray", size=72), values, "noisy")
    return replace(series, pixels=values, stored_range=(-1e30, 1e30))


# -- what comes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        Options(method="diffdenoise"),
        Options(method="diffdenoise", mode="distilled"),
        Options(method="diffdenoise", mode="diffusion", steps=3, samples=2, uncertainty=True),
        Options(method="diffdenoise", mode="diffusion", steps=2, fusion=False),
        Options(method="blindspot"),
        Options(method="blindspot", fusion=False, blind_radius=4),
    ],
    ids=str,
)
def test_the_checkpoint_runs_in_every_mode(whole: Path, options: Options) -> None:
    series = plane()
    chosen = replace(options, weights=str(whole / "checkpoint.safetensors"), device="cpu")
    result = denoise(series, chosen)
    change = result.series.values(0, 1) - series.values(0, 1)
    assert bool(np.isfinite(change).all()) and float(change.std()) > 0.02 * SIGMA
    assert result.checks["leak"] is not None
    assert (result.uncertainty is not None) == options.uncertainty


def test_the_checkpoint_says_what_it_is_made_of(whole: Path) -> None:
    metadata = load_checkpoint(whole / "checkpoint.safetensors", sha256=None).metadata
    assert (metadata.method, metadata.network) == ("diffdenoise", "noise-unet")
    assert metadata.modalities == ("other",)
    assert metadata.schedule == {"name": "cosine-1000", "prediction": "v"}
    blind, diffusion = (metadata.method_options[part] for part in ("blind", "diffusion"))
    assert (blind["network"], diffusion["network"]) == ("blind-spot", "cond-unet")
    assert 0.5 < blind["validation"]["blind-error-0"] < 20


def test_every_stage_leaves_its_results_to_look_at(whole: Path) -> None:
    for stage in ("blind", "diffusion", "student"):
        lines = [json.loads(line) for line in (whole / stage / "log.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == STEPS and "score" in lines[-1]
        assert load_checkpoint(whole / stage / "checkpoint.safetensors", sha256=None).tensors
    for side, count in (("training", 8), ("validation", 2)):
        made = sorted((whole / "targets" / side).glob("*.safetensors"))
        assert len(made) == count
        assert load_file(made[0])["target"].shape == (72, 72)
    assert Image.open(whole / "preview-0.png").size == (4 * 72, 72)


def test_a_second_run_gives_the_same_bytes_and_a_finished_one_takes_no_step(
    folder: Path, whole: Path, copy: Path
) -> None:
    watch = Silence()
    run_training(tiny_recipe(), TrainingSet(folder), copy, watch=watch)
    assert watch.steps == 0
    same(copy, whole)
    train_tiny(folder, copy, resume=False)
    same(copy, whole)


def test_progress_names_the_stages_in_their_order(folder: Path, tmp_path: Path) -> None:
    watch = Silence()
    run_training(tiny_recipe(steps=1), TrainingSet(folder), tmp_path / "run", watch=watch)
    assert watch.stages == [
        "blind-spot network",
        "diffusion network",
        "targets of training images",
        "targets of validation images",
        "student",
    ]
    assert watch.steps == 3
    assert any("only 8 training images" in note for note in watch.notes)


def test_no_other_folder_than_that_of_the_noisy_images_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(folder, data / "noisy")
    shutil.copytree(folder, data / "clean")
    opened: set[Path] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and watching and isinstance(arguments[0], str):
            opened.add(Path(arguments[0]))

    watching = True
    sys.addaudithook(hook)
    train_tiny(data / "noisy", tmp_path / "run", tiny_recipe(steps=1))
    watching = False
    images = {path for path in opened if path.suffix == ".png" and path.is_relative_to(data)}
    assert len(images) == 10 and all(path.is_relative_to(data / "noisy") for path in images)


# -- killed, full, changed -----------------------------------------------------------------------------------


def test_killed_in_every_stage_and_resumed_it_ends_with_the_same_bytes(
    folder: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    tries = [
        {"sync": 2},
        {"stage": "blind-spot network", "at": 5},
        {"sync": 3},
        {"stage": "diffusion network", "at": 1},
        {"stage": "diffusion network", "at": 5},
        {"stage": "targets of training images", "at": 3},
        {"sync": 2},
        {"stage": "targets of validation images", "at": 1},
        {"stage": "student", "at": 3},
        {"sync": 1},
        {"packing": True},
        {},
    ]
    results = attempts(folder, output, *tries)
    assert [result["signal"] for result in results] == [signal.SIGKILL] * (len(tries) - 1) + [0]
    assert results[-1]["code"] == 0 and not results[-1]["error"]
    stages_seen = [
        any(name.startswith(stage) for name in results[n]["files"])
        for n, stage in ((1, "blind/state"), (4, "diffusion/state"), (6, "targets/training/00002"))
    ]
    assert all(stages_seen), "the kills came where they should"
    assert "checkpoint.safetensors" not in results[-2]["files"]
    same(output, whole)


def test_a_full_disk_is_told_in_one_sentence_and_the_run_goes_on_when_there_is_room(
    folder: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    results = attempts(
        folder,
        output,
        {"limit": 3000},  # a state is larger
        {"stage": "targets of training images", "at": 1},
        {"limit": 5000},  # a target is larger
        {},
    )
    for result in (results[0], results[2]):
        assert result["code"] == 1
        assert result["error"].startswith(str(output)) and result["error"].count("\n") == 0
        assert "File too large" in result["error"] or "os error 27" in result["error"]
        assert not [name for name in result["files"] if name.endswith(".tmp")]
    assert results[3]["code"] == 0
    same(output, whole)


def test_notes_of_targets_that_did_not_fit_on_the_disk_do_not_stop_the_next_try(
    folder: Path, whole: Path, copy: Path
) -> None:
    shutil.rmtree(copy / "targets")
    shutil.rmtree(copy / "student")
    (copy / "checkpoint.safetensors").unlink()
    full, again = attempts(folder, copy, {"limit": 40}, {})
    assert full["code"] == 1 and "made-from.txt cannot be written" in full["error"]
    assert again["code"] == 0, again["error"]
    same(copy, whole)


def loop(stage: str, **options: object) -> Change:
    return lambda stages: replace(stages, **{stage: replace(getattr(stages, stage), **options)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (loop("blind", learning_rate=0.5), r"blind/state.*learning_rate.*0\.002.*0\.5"),
        (lambda s: replace(s, blind_network=s.blind_network | {"entry": 6}), r"blind/state.*entry"),
        (loop("diffusion", learning_rate=0.5), r"diffusion/state.*learning_rate.*0\.5"),
        (loop("sampler", prediction="eps"), r"diffusion/state.*prediction.*eps"),
        (loop("targets", fusion=False), r"targets/training.*fusion.*True.*False"),
        (loop("targets", steps=3), r"targets/training.*steps.*2.*3"),
    ],
)
def test_a_changed_stage_is_refused_with_the_difference(
    change: Change, words: str, folder: Path, whole: Path
) -> None:
    recipe = tiny_recipe()
    assert recipe.stages is not None
    changed = replace(recipe, stages=change(recipe.stages))
    with pytest.raises(TrainingError, match=words) as caught:
        train_tiny(folder, whole, changed)
    assert "--no-resume" in str(caught.value)


def test_a_changed_student_is_refused_with_the_difference(folder: Path, whole: Path) -> None:
    recipe = tiny_recipe()
    changed = replace(recipe, loop=replace(recipe.loop, learning_rate=0.5))
    with pytest.raises(TrainingError, match=r"student/state.*learning_rate.*0\.5"):
        train_tiny(folder, whole, changed)


def test_with_no_resume_a_changed_recipe_starts_again_targets_included(folder: Path, copy: Path) -> None:
    recipe = tiny_recipe(steps=2)
    assert recipe.stages is not None
    changed = replace(recipe, stages=loop("targets", fusion=False)(recipe.stages))
    before = load_file(copy / "targets" / "training" / "00000.safetensors")["target"]
    train_tiny(folder, copy, changed, resume=False)
    assert not np.array_equal(
        before, load_file(copy / "targets" / "training" / "00000.safetensors")["target"]
    )


# -- options -------------------------------------------------------------------------------------------------


def test_a_time_budget_ends_with_every_stage_written_and_goes_on_from_there(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    recipe = tiny_recipe(steps=100_000)
    path = train_tiny(folder, output, recipe, seconds=4.0)
    series = plane()
    assert denoise(series, Options(weights=str(path), device="cpu")).series is not None
    before = {name: (output / name).read_bytes() for name in KEPT}
    made = len(list((output / "targets" / "training").glob("*.safetensors")))
    # More time: what later stages were made from stays, the student goes on.
    watch = Silence()
    run_training(recipe, TrainingSet(folder), output, Manner(budget=Budget(12.0)), watch=watch)
    assert watch.steps > 0
    for name in ("blind/checkpoint.safetensors", "diffusion/checkpoint.safetensors"):
        assert (output / name).read_bytes() == before[name]
    assert len(list((output / "targets" / "training").glob("*.safetensors"))) == made


@pytest.fixture(scope="module")
def twice(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[NoisyBatch]]:
    """A run of two iterations, and what the condition of the second was asked for."""
    recipe = tiny_recipe(steps=4)
    assert recipe.stages is not None
    recipe = replace(recipe, stages=loop("targets", iterations=2)(recipe.stages))
    asked: list[NoisyBatch] = []
    real = stages._by_student

    def watched(student: Any) -> Any:
        condition = real(student)

        def noted(batch: NoisyBatch) -> torch.Tensor:
            asked.append(batch)
            return condition(batch)

        return noted

    output = tmp_path_factory.mktemp("twice") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_by_student", watched)
        train_tiny(folder, output, recipe)
    return output, asked


@pytest.mark.parametrize(("radius", "again"), [(0, False), (2, True)])
def test_correlated_noise_is_trained_on_twice(folder: Path, tmp_path: Path, radius: int, again: bool) -> None:
    recipe = tiny_recipe(steps=2)
    assert recipe.stages is not None
    recipe = replace(recipe, stages=loop("targets", iterations=0)(recipe.stages))
    train_tiny(folder, tmp_path / "run", recipe, blind_radius=radius)
    assert (tmp_path / "run" / "iteration-2").is_dir() == again


def test_a_second_iteration_learns_from_the_first_student(twice: tuple[Path, list[NoisyBatch]]) -> None:
    output, asked = twice
    second = output / "iteration-2"
    assert len(asked) > 8, "training, validation and targets ask it"
    tensors = {
        name: load_checkpoint(path / "checkpoint.safetensors", sha256=None).tensors
        for name, path in {
            "first": output / "student",
            "last": second / "student",
            "model": output / "diffusion",
        }.items()
    }
    whole = load_checkpoint(output / "checkpoint.safetensors", sha256=None).tensors
    for name, tensor in tensors["last"].items():
        assert torch.equal(whole[f"student.{name}"], tensor)
    assert any(not torch.equal(tensors["first"][name], tensor) for name, tensor in tensors["last"].items())
    # The sampler's condition is the blind-spot network: it goes with the model that was trained on it.
    for name, tensor in tensors["model"].items():
        assert torch.equal(whole[f"diffusion.{name}"], tensor.half())
    assert (
        f"{load_checkpoint(output / 'student' / 'checkpoint.safetensors', sha256=None).sha256} "
        in (second / "targets" / "training" / "made-from.txt").read_text()
    )


@pytest.mark.parametrize("conditioning", ["plain", "noise"])
def test_the_other_conditionings_train_too(conditioning: str, folder: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=2)
    assert recipe.stages is not None
    changed = loop("sampler", conditioning=conditioning, prediction="eps", loss="l2")(recipe.stages)
    path = train_tiny(folder, tmp_path / "run", replace(recipe, stages=changed))
    assert load_checkpoint(path, sha256=None).metadata.schedule == {
        "name": "cosine-1000",
        "prediction": "eps",
    }


@pytest.mark.parametrize(
    ("manner", "images", "words"),
    [
        (Manner(blind_radius=3), {}, r"--blind-radius is 3: give auto or one of \(0, 2, 4\)"),
        (Manner(start="vpsde"), {}, "no network 'blind'.* give --from weights of 'diffdenoise'"),
        (Manner(), {"references": Path("clean")}, "--ref"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    manner: Manner, images: dict[str, Path], words: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        run_training(tiny_recipe(), TrainingSet(folder, **images), tmp_path / "run", manner, watch=Silence())
    assert not (tmp_path / "run").exists()


def test_weights_to_begin_with_keep_all_but_the_student(folder: Path, whole: Path, tmp_path: Path) -> None:
    start = whole / "checkpoint.safetensors"
    small = tiny_recipe(steps=2)
    small = replace(small, network_options={**small.network_options, "channels": [4, 4]})
    tuned = load_checkpoint(
        train_tiny(folder, tmp_path / "run", small, start=str(start), seconds=20.0), sha256=None
    )
    before = load_checkpoint(start, sha256=None)
    assert tuned.tensors.keys() == before.tensors.keys(), "no narrower than what it began as"
    changed = {
        name for name, tensor in tuned.tensors.items() if not torch.equal(tensor, before.tensors[name])
    }
    assert changed and all(name.startswith("student.") for name in changed)
    for part in ("blind", "diffusion"):
        assert tuned.metadata.method_options[part] == before.metadata.method_options[part]
    assert tuned.metadata.schedule == before.metadata.schedule
    assert not (tmp_path / "run" / "blind").exists() and not (tmp_path / "run" / "diffusion").exists()


def test_references_without_noise_are_for_the_student_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = stages.SupervisedTask

    def noted(recipe: Recipe, training: list[TrainingImage], *rest: Any) -> Any:
        seen.append({image.source for image in training})
        return real(recipe, training, *rest)

    monkeypatch.setattr(stages, "SupervisedTask", noted)
    recipe = tiny_recipe(steps=2)
    recipe = replace(recipe, data=(DataRow(weight=0.5), DataRow(phantom="scenes", modality="*", weight=0.5)))
    train_tiny(folder, tmp_path / "run", recipe)
    assert seen == [{".", "phantom:scenes"}]
    digest = str(read_notes(tmp_path / "run" / "blind" / "state.safetensors")["digest"])
    assert "images = 8" in digest, digest


def test_a_blind_radius_is_trained_for_and_used(folder: Path, tmp_path: Path) -> None:
    path = train_tiny(folder, tmp_path / "run", tiny_recipe(steps=1), blind_radius=2)
    scores = load_checkpoint(path, sha256=None).metadata.method_options["blind"]["validation"]
    assert [name for name in scores if name.startswith("blind-error")] == ["blind-error-2"]


def test_brightness_beyond_half_precision_survives_in_the_targets(tmp_path: Path) -> None:
    target = np.linspace(-1e5, 3e5, 64, dtype=np.float32).reshape(8, 8)
    _write(tmp_path / "00000.safetensors", target)
    assert np.array_equal(_read(tmp_path / "00000.safetensors"), target)  # type: ignore[arg-type]


def test_targets_are_made_in_one_precision_on_whatever_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher: Any = SimpleNamespace(identity="a b")
    images = [NoisyImage(np.zeros((8, 8), np.float32), NoiseEstimate(1.0), "CT", ".", "a", 0)]
    options = tiny_recipe().stages.targets  # type: ignore[union-attr]
    for quick in ("fp32", "bf16"):
        monkeypatch.setattr(targets, "quick_precision", lambda device, is_=quick: is_)
        assert targets._claim(tmp_path, teacher, options, images) == "fp32"


def test_targets_of_other_images_are_refused(tmp_path: Path) -> None:
    """Though the networks that make them are the same, as those of weights to begin with are."""
    teacher: Any = SimpleNamespace(identity="a b")
    options = tiny_recipe().stages.targets  # type: ignore[union-attr]
    plane = np.zeros((8, 8), np.float32)
    mine, other = (NoisyImage(plane, NoiseEstimate(1.0), "CT", ".", "a", 0, content) for content in (1, 2))
    targets._claim(tmp_path, teacher, options, [mine])
    for images in ([other], [mine, mine]):
        with pytest.raises(TrainingError, match="holds a training on other images: give another folder"):
            targets._claim(tmp_path, teacher, options, images)


def test_a_run_on_other_noisy_images_is_refused(whole: Path, tmp_path: Path) -> None:
    others = noisy_folder(tmp_path / "others", sigma=SIGMA + 5)
    with pytest.raises(TrainingError, match=r"blind/state.*holds a training on other images"):
        train_tiny(others, whole)
