"""Training Med-cDiff: both stages, their losses, and the way to a restored image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from meddenoise.errors import TrainingError, UsageError
from meddenoise.methods import Sampling, Setup, get
from meddenoise.methods.conditional import Diffusion, OnePass
from meddenoise.methods.medcdiff import load_restorer
from meddenoise.networks import build
from meddenoise.noise import NoiseEstimate
from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.begin import with_condition
from meddenoise.training.budget import Budget
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import PairSource, validation_pairs
from meddenoise.training.loop import Share
from meddenoise.training.medcdiff import FLOOR, OnePassTask, RestorationTask
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.table import TRAININGS
from meddenoise.weights import load
from meddenoise.weights.checkpoint import load_checkpoint, load_state
from tests.training.noisy_training import Silence, scene

TASKS = ("medcdiff", "medcdiff-upscale", "medcdiff-inpaint")
CPU = Share(torch.device("cpu"))
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8-bit pictures, the last two listed for validation."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["file,split"]
    for number in range(8):
        Image.fromarray(scene(number, 64).astype(np.uint8)).save(folder / f"p{number}.png")
        lines.append(f"p{number}.png,{'val' if number >= 6 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def tiny(method: str = "medcdiff", steps: int = 40, **conditional: object) -> Recipe:
    """The shipped recipe with a small network and few steps."""
    recipe = read_recipe(method)
    assert recipe.conditional is not None
    short = {"steps": steps, "batch": 4, "patch": SIDE, "warmup": 5, "validate_every": 20, "save_every": 10}
    loop = replace(recipe.loop, **short, precision="fp32")
    network = {"profile": "tiny"}
    return replace(
        recipe,
        network_options=dict(network),
        loop=loop,
        data=(DataRow(range=255.0),),
        conditional=replace(recipe.conditional, network=dict(network), loop=loop, **conditional),
    )


@pytest.fixture(scope="module", params=TASKS)
def trained(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    output = tmp_path_factory.mktemp("run")
    return request.param, run_training(tiny(request.param), TrainingSet(folder), output, watch=Silence())


def images(count: int = 3) -> list[TrainingImage]:
    planes = [scene(n, 64).astype(np.float32) for n in range(count)]
    return [TrainingImage(plane, "MR", ".", str(n), NoiseEstimate(0.0)) for n, plane in enumerate(planes)]


class Saying(nn.Module):
    """A network that says the same of everything, and keeps what it was given."""

    def __init__(self, says: float) -> None:
        super().__init__()
        self.says = says

    def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        self.state, self.channels, self.time = state, channels, time
        return torch.full_like(state, self.says)


def test_every_task_trains_both_networks_into_one_checkpoint(trained: tuple[str, Path]) -> None:
    method, path = trained
    checkpoint = load_checkpoint(path, sha256=None)
    assert checkpoint.metadata.method == method
    assert checkpoint.metadata.schedule == {"name": "linear-2000", "prediction": "v"}
    assert {name.split(".")[0] for name in checkpoint.tensors} == {"student", "diffusion"}
    assert all(tensor.dtype == torch.float16 for tensor in checkpoint.tensors.values())
    for stage in ("diffusion", "student"):
        lines = (path.parent / stage / "log.jsonl").read_text().splitlines()
        assert len(lines) == 2 and '"score"' in lines[0]
    assert "validation" in checkpoint.metadata.method_options
    assert "validation" in checkpoint.metadata.method_options["diffusion"]


def test_a_checkpoint_restores_a_whole_picture_in_one_pass_and_by_the_sampler(
    trained: tuple[str, Path], folder: Path
) -> None:
    method, path = trained
    clean = torch.from_numpy(scene(7, 64).astype(np.float32))[None, None]
    noise = 25 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    hole = torch.zeros_like(clean)
    hole[..., 20:36, 24:44] = 1
    for mode in ("distilled", "diffusion"):
        sampling = Sampling(mode, steps=4)
        setup = Setup(checkpoint=load_checkpoint(path, sha256=None), window=(0.0, 255.0), sampling=sampling)
        if method == "medcdiff":
            result, limit = get(method).load(setup)(clean + noise, torch.tensor([25.0])), float(noise.std())
        elif method == "medcdiff-upscale":
            result, limit = load_restorer(setup, "upscale", 2.0)(clean, torch.zeros(1)), 40.0
        else:
            given = torch.cat([clean * (1 - hole), hole], dim=1)
            result, limit = load_restorer(setup, "inpaint")(given, torch.zeros(1)), 80.0
            assert torch.equal(result[hole == 0], clean[hole == 0])
        counts = hole > 0 if method == "medcdiff-inpaint" else torch.ones_like(hole) > 0
        assert float((result - clean)[counts].square().mean().sqrt()) < limit


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    class Stopping(Silence):
        def __init__(self, stage: str) -> None:
            super().__init__()
            self.at = stage

        def step(self, step: int, total: int, values: dict[str, float]) -> None:
            if self.stages[-1] == self.at and step == 7:
                raise KeyboardInterrupt

    recipe = tiny(steps=12)
    whole = run_training(recipe, TrainingSet(folder), tmp_path / "whole", watch=Silence())
    for stage in ("diffusion network", "one pass"):
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe, TrainingSet(folder), tmp_path / "again", watch=Stopping(stage))
    again = run_training(recipe, TrainingSet(folder), tmp_path / "again", watch=Silence())
    assert again.read_bytes() == whole.read_bytes()
    with pytest.raises(TrainingError, match="another recipe"):
        changed = replace(recipe, loop=replace(recipe.loop, learning_rate=0.5))
        run_training(changed, TrainingSet(folder), tmp_path / "again", watch=Silence())


def test_a_budget_is_shared_by_the_stages(folder: Path, tmp_path: Path) -> None:
    watch = Silence()
    run_training(tiny(steps=100_000), TrainingSet(folder), tmp_path, Manner(budget=Budget(3.0)), watch=watch)
    assert watch.stages == ["diffusion network", "calibration", "one pass"] and 2 <= watch.steps < 10_000
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_the_loss_of_the_diffusion_network_is_that_of_v_with_the_image_as_a_first_guess() -> None:
    task = RestorationTask(tiny(), images(), [])
    pair = task.source.batch(3, 4, CPU)

    class Knowing(Saying):
        """Says v of the state for the clean image it was told of."""

        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            index = (time * 2000).round().long() - 1
            alpha, sigma = task.schedule.levels(index)
            eps = (state - alpha * pair.clean) / sigma
            return alpha * eps - sigma * (pair.clean - channels[:, :1]) + self.says

    assert float(task.loss(Knowing(0.0), 3, CPU)) < 0.01
    assert float(task.loss(Knowing(0.5), 3, CPU)) == pytest.approx(0.5, rel=0.02)
    squared = RestorationTask(tiny(loss="l2"), images(), [])
    assert float(squared.loss(Knowing(0.5), 3, CPU)) == pytest.approx(0.25, rel=0.02)


def test_half_of_the_steps_are_where_the_image_forms_and_half_anywhere() -> None:
    task = RestorationTask(tiny(), images(), [])
    seen = []
    for step in range(100):
        network = Saying(0.0)
        task.loss(network, step, CPU)
        seen.append(network.time)
    index = (torch.cat(seen) * 2000).round().long() - 1
    assert int(index.min()) >= 0 and int(index.max()) < 2000
    ratio = task.schedule.ratio[index]
    assert 0.5 < float(((ratio > 0.009) & (ratio < 10.1)).double().mean()) < 0.85
    assert 0.1 < float((ratio > 900).double().mean()) < 0.25, "its mean is asked there"
    assert float(network.state.std()) > 0.5


def teacher(recipe: Recipe, path: Path) -> object:
    task = RestorationTask(recipe, images(), [])
    torch.manual_seed(0)
    network = task.network()
    nn.init.normal_(network.tail.weight, std=0.05)
    task.export(network, {"score": 1.0}, 1, path)
    return load_checkpoint(path, sha256=None)


def test_the_one_pass_begins_as_the_mean_of_the_diffusion_network(tmp_path: Path) -> None:
    recipe = tiny()
    task = OnePassTask(recipe, images(), [], teacher(recipe, tmp_path / "t.safetensors"))  # type: ignore[arg-type]
    pair = task.source.batch(0, 4, CPU)
    mine, mean = OnePass(task.network())(pair.condition), task.teacher.mean(pair.condition)
    torch.testing.assert_close(mine, mean, rtol=0, atol=1e-4)
    assert float((mean - pair.condition.image).std()) > 1e-3
    wider = replace(recipe, network_options={"profile": "small"})
    other = OnePassTask(wider, images(), [], teacher(recipe, tmp_path / "t.safetensors"))  # type: ignore[arg-type]
    fresh = OnePass(other.network())(pair.condition)
    torch.testing.assert_close(fresh, pair.condition.image)


def test_the_one_pass_learns_half_from_the_teacher_and_half_from_the_truth(tmp_path: Path) -> None:
    recipe = tiny()
    task = OnePassTask(recipe, images(), [], teacher(recipe, tmp_path / "t.safetensors"))  # type: ignore[arg-type]
    pair = task.source.batch(5, 4, CPU)
    wanted = (pair.clean + task.teacher.mean(pair.condition)) / 2

    class Perfect(Saying):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            return channels[:, :1] - wanted + self.says

    assert float(task.loss(Perfect(0.0), 5, CPU)) < 0.004
    assert float(task.loss(Perfect(0.5), 5, CPU)) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("method", TASKS)
def test_patches_come_with_their_condition_and_are_of_the_step_alone(method: str) -> None:
    recipe = tiny(method)
    source = PairSource(recipe, images(), recipe.loop)
    pair, again, later = source.batch(1, 6, CPU), source.batch(1, 6, CPU), source.batch(2, 6, CPU)
    assert pair.clean.shape == (6, 1, SIDE, SIDE)
    assert pair.condition.channels.shape[1] == TRAININGS[method].channels
    assert torch.equal(pair.clean, again.clean) and not torch.equal(pair.clean, later.clean)
    assert torch.equal(pair.condition.channels, again.condition.channels)
    part = source.batch(1, 6, Share(torch.device("cpu"), 1, 2))
    assert torch.equal(part.clean, pair.clean[1::2])
    hole = pair.condition.channels[:, 1:]
    if method == "medcdiff-inpaint":
        assert torch.equal(pair.counts, hole) and pair.condition.known is not None
        assert torch.equal(pair.condition.paste(pair.clean), pair.clean), "what is known is the clean image"
    else:
        assert pair.counts.eq(1).all() and pair.condition.known is None


def test_errors_outside_the_hole_do_not_count() -> None:
    task = RestorationTask(tiny("medcdiff-inpaint"), images(), [])

    class Outside(Saying):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            return self.says * (1 - channels[:, 1:])

    assert float(task.loss(Outside(0.0), 0, CPU)) == pytest.approx(float(task.loss(Outside(9.0), 0, CPU)))


def test_validation_is_the_psnr_of_each_modality_on_the_same_crops() -> None:
    recipe = tiny()
    cases = validation_pairs(recipe.method, images())
    again = validation_pairs(recipe.method, images())
    assert all(
        torch.equal(a.condition.channels, b.condition.channels)
        for (_, a), (_, b) in zip(cases, again, strict=True)
    )
    scores = RestorationTask(recipe, images(), cases).validate(Saying(0.0), torch.device("cpu"))
    errors = [float((pair.condition.image - pair.clean).square().mean()) for _, pair in cases]
    noisy = [10 * np.log10(4 / max(error, FLOOR)) for error in errors]
    assert scores["MR"] == pytest.approx(np.mean(noisy), abs=0.01) == scores["score"]


def test_options_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    for given, manner, option in (
        (TrainingSet(folder, folder), Manner(), "--ref"),
        (TrainingSet(folder), Manner(start="direct"), "no diffusion network of 'medcdiff'.*--from"),
        (TrainingSet(folder), Manner(start="befoi"), "no diffusion network of 'medcdiff'.*--from"),
        (TrainingSet(folder), Manner(blind_radius=2), "--blind-radius"),
    ):
        with pytest.raises(UsageError, match=option):
            run_training(tiny(), given, tmp_path, manner, watch=Silence())


def test_weights_that_were_told_less_begin_as_what_they_are() -> None:
    """Whatever the new channels of the condition say."""
    network = build("cond-unet", {"profile": "tiny", "condition": 2}).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    old = replace(load("medcdiff"), tensors=network.state_dict())
    old = replace(old, metadata=replace(old.metadata, network_options={"profile": "tiny", "condition": 2}))
    begun = with_condition(old, 6)
    wider = build(begun.metadata.network, dict(begun.metadata.network_options)).eval()
    load_state(wider, begun)
    state, told, time = torch.rand(1, 1, 24, 24), torch.rand(1, 6, 24, 24), torch.rand(1)
    with torch.no_grad():
        torch.testing.assert_close(wider(state, told, time), network(state, told[:, :2], time))
    assert with_condition(begun, 6) is begun and with_condition(begun, 2) is begun


def test_the_diffusion_network_of_weights_to_begin_with_stays_and_the_one_pass_is_trained(
    trained: tuple[str, Path], folder: Path, tmp_path: Path
) -> None:
    method, path = trained
    manner = Manner(start=str(path))
    again = run_training(tiny(method, steps=20), TrainingSet(folder), tmp_path, manner, watch=Silence())
    before, after = load_checkpoint(path, sha256=None), load_checkpoint(again, sha256=None)
    same = {name: torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items()}
    assert all(same[name] for name in same if name.startswith("diffusion."))
    assert not all(same[name] for name in same if name.startswith("student."))
    assert not (tmp_path / "diffusion").exists()
    kept = [one.metadata.method_options["diffusion"] for one in (before, after)]
    assert kept[0] == kept[1] and before.metadata.schedule == after.metadata.schedule


@pytest.mark.parametrize("name", [*TASKS, "medcdiff-paper"])
def test_the_shipped_recipes_make_networks_of_their_sizes(name: str) -> None:
    from meddenoise.networks import build

    recipe = read_recipe(name)
    assert recipe.conditional is not None and recipe.conditional.schedule == "linear-2000"
    with torch.device("meta"):
        sizes = [
            sum(weights.numel() for weights in build("cond-unet", {**options, "condition": 2}).parameters())
            for options in (recipe.conditional.network, recipe.network_options)
        ]
    if name == "medcdiff-paper":
        assert recipe.conditional.loss == "l2"
        assert 98e6 < sizes[0] < 106e6 and recipe.conditional.prediction == "eps"
        assert (recipe.conditional.loop.steps, recipe.conditional.loop.patch) == (200_000, 128)
    else:
        assert recipe.method == name and recipe.conditional.prediction == "v"
        assert 2 * sum(sizes) < 9 << 20, "bytes in half precision"


def test_an_unknown_setting_of_a_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'method = "medcdiff"\nmodalities = ["CT"]\n[network]\n[conditional]\nlevels = 3\n[[data]]\n'
    )
    with pytest.raises(TrainingError, match="levels"):
        read_recipe(str(path))


def test_a_diffusion_network_is_used_as_it_was_trained(trained: tuple[str, Path]) -> None:
    """The mean of the packed network is as good as its validation said."""
    method, path = trained
    checkpoint = load_checkpoint(path, sha256=None)
    model = Diffusion.load(Setup(checkpoint=checkpoint))
    told = checkpoint.metadata.method_options["diffusion"]["validation"]["score"]
    held = [
        TrainingImage(scene(n, 64).astype(np.uint8).astype(np.float32), "", ".", str(n), NoiseEstimate(0.0))
        for n in (6, 7)
    ]
    scores = RestorationTask(tiny(method), images(), validation_pairs(method, held)).validate(
        model.network, torch.device("cpu")
    )
    assert scores["score"] == pytest.approx(told, abs=1.5)
