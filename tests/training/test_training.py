"""Training: noise as told, patches by step, exact resume, recipes that refuse mistakes."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from meddenoise.errors import TrainingError, UsageError
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.correlation import noise_like
from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.data import PatchSource, TrainingImage, to_batch
from meddenoise.training.data.degradation import degrade, recorrupt
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.loop import Share
from meddenoise.training.muon import Muon, orthogonalise
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe, shipped_recipes
from meddenoise.training.state import read_notes
from meddenoise.training.supervised import SupervisedTask, patch_errors
from meddenoise.weights.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint

TOLD_EXACTLY = NoiseMix(none=0, clipped=0, told_error=0, map_unknown=0, bands_unknown=0)
NOTHING = NoiseEstimate(0.0)
TINY = {"channels": [8, 12], "blocks": [1, 1], "unshuffle": 2}


class Silence:
    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at

    def reading(self, done: int, total: int) -> None:
        pass

    def stage(self, name: str) -> None:
        pass

    def making(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        if step == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: smooth random 8-bit pictures of eight patients, split by a list."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["file,split"]
    for patient in range(8):
        waves = rng.normal(size=(6, 6)).astype(np.float32)
        picture = np.asarray(Image.fromarray(waves).resize((200, 180), Image.Resampling.BICUBIC))
        stored = np.clip(120 + 60 * picture, 0, 255).astype(np.uint8)
        Image.fromarray(stored).save(folder / f"patient{patient}.png")
        lines.append(f"patient{patient}.png,{'val' if patient == 7 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def tiny_recipe(**loop: object) -> Recipe:
    recipe = read_recipe("direct-own")
    options = dataclasses.replace(
        recipe.loop,
        steps=6,
        batch=2,
        patch=32,
        precision="fp32",
        validate_every=3,
        save_every=2,
        warmup=5,
    )
    return dataclasses.replace(
        recipe,
        network_options=TINY,
        loop=dataclasses.replace(options, **loop),  # type: ignore[arg-type]
        data=(DataRow(modality="DX", range=255.0),),
    )


@pytest.mark.parametrize("kind", ["white", "coloured", "signal_dependent"])
def test_noise_has_the_level_and_mean_it_was_drawn_with(kind: str) -> None:
    kinds = {"white": 0.0, "coloured": 0.0, "signal_dependent": 0.0, kind: 1.0}
    mix = dataclasses.replace(TOLD_EXACTLY, rician=0, **kinds)  # type: ignore[arg-type]
    clean = np.full((96, 96), 100, np.float32)
    rng = np.random.default_rng(0)
    ratios, means = [], []
    for _ in range(60):
        drawn = degrade(clean, NOTHING, "DX", mix, rng)
        noise = (drawn.noisy - clean) / drawn.told
        ratios.append(noise.std())
        means.append((drawn.noisy - clean).mean() / drawn.sigma)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert abs(np.mean(means)) < 0.05


def test_white_noise_is_told_as_white() -> None:
    mix = dataclasses.replace(TOLD_EXACTLY, white=1, coloured=0, signal_dependent=0)
    drawn = [
        degrade(np.zeros((64, 64), np.float32), NOTHING, "DX", mix, np.random.default_rng(seed)).bands
        for seed in range(50)
    ]
    assert np.mean(drawn, axis=0) == pytest.approx(WHITE, abs=0.1)


def test_rician_noise_lifts_the_background_and_never_goes_below_zero() -> None:
    mix = dataclasses.replace(TOLD_EXACTLY, rician=1.0)
    dark = np.zeros((96, 96), np.float32)
    drawn = degrade(dark, NOTHING, "MR", mix, np.random.default_rng(3))
    assert drawn.noisy.min() >= 0
    assert (drawn.noisy / drawn.told).mean() == pytest.approx(np.sqrt(np.pi / 2), rel=0.05)


def test_an_exact_reference_may_be_left_without_noise() -> None:
    mix = NoiseMix(none=1, white=0, coloured=0, signal_dependent=0, told_error=0, clipped=0)
    clean = np.random.default_rng(0).normal(100, 3, (64, 64)).astype(np.float32)
    drawn = degrade(clean, NOTHING, "DX", mix, np.random.default_rng(0))
    assert np.array_equal(drawn.noisy, clean) and drawn.sigma == 0 and not drawn.own_share.any()


@pytest.mark.parametrize("seed", range(8))
def test_the_noise_given_is_the_total_and_mostly_added(seed: int) -> None:
    clean = np.full((64, 64), 100, np.float32)
    own, mix = NoiseEstimate(3.0), dataclasses.replace(TOLD_EXACTLY, none=0.5)
    drawn = degrade(clean, own, "DX", mix, np.random.default_rng(seed))
    added = drawn.sigma**2 - 9
    assert mix.own_limit * drawn.sigma**2 * 1.001 >= 9, "too little noise is added to learn from"
    assert np.mean(drawn.told**2) == pytest.approx(added + 9, rel=0.2)
    assert drawn.own_share.min() > 0 and drawn.own_share.max() <= 1  # 1 where nothing was added


@pytest.mark.parametrize("rho", [0.1, 0.25])
def test_the_loss_is_least_at_the_truth_whatever_noise_the_reference_has(rho: float) -> None:
    """A network that removes a share of what it sees: regression towards the reference leaves its noise."""

    class Remover(torch.nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

        def forward(self, noisy: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return noisy - self.share * (noisy - 100)

    rng, own, mix = np.random.default_rng(0), NoiseEstimate(4.0), TOLD_EXACTLY
    sigma = 4 * np.sqrt((1 - rho) / rho)
    mix = dataclasses.replace(mix, white=1, coloured=0, signal_dependent=0, sigma_min=sigma, own_limit=0.9)
    mix = dataclasses.replace(mix, sigma_max=sigma * 1.001, rician=0)
    drawn = []
    for _ in range(60):
        reference = (100 + 4 * rng.standard_normal((48, 48))).astype(np.float32)
        drawn.append((degrade(reference, own, "DX", mix, rng), reference))
    batch, shares = to_batch(drawn), np.linspace(0.6, 1.2, 61)
    cpu = torch.device("cpu")
    losses = [float(patch_errors(Remover(float(share)), batch, cpu).mean()) for share in shares]
    assert shares[int(np.argmin(losses))] == pytest.approx(1, abs=0.025)
    plain = dataclasses.replace(batch, own_share=torch.zeros_like(batch.own_share))
    losses = [float(patch_errors(Remover(float(share)), plain, cpu).mean()) for share in shares]
    assert shares[int(np.argmin(losses))] == pytest.approx(1 - rho, abs=0.03)


def test_a_batch_depends_on_its_step_alone() -> None:
    picture = np.random.default_rng(0).normal(100, 30, (64, 64)).astype(np.float32)
    source = PatchSource(
        [TrainingImage(picture, "CT", "a", "a", NOTHING)], {"a": 1.0}, NoiseMix(), 32, seed=5
    )
    later = source.batch(7, 3)
    source.batch(1, 3)
    again = source.batch(7, 3)
    assert torch.equal(later.noisy, again.noisy) and torch.equal(later.clean, again.clean)
    assert not torch.equal(later.noisy, source.batch(8, 3).noisy)


def test_sources_are_drawn_by_weight_whatever_their_size() -> None:
    planes = [np.full((32, 32), 10.0 + i, np.float32) for i in range(10)]
    pictures = [TrainingImage(p, "CT", "many", f"v{i}", NOTHING) for i, p in enumerate(planes)]
    pictures.append(TrainingImage(np.full((32, 32), 99, np.float32), "CT", "one", "w", NOTHING))
    source = PatchSource(pictures, {"many": 1.0, "one": 1.0}, NoiseMix(), 32, seed=0)
    rng = np.random.default_rng(0)
    share = np.mean([source.draw_patch(rng)[0].source == "one" for _ in range(600)])
    assert share == pytest.approx(0.5, abs=0.08)


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    images: Path, tmp_path: Path
) -> None:
    whole = run_training(tiny_recipe(), TrainingSet(images), tmp_path / "a", watch=Silence())
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(), TrainingSet(images), tmp_path / "b", watch=Silence(stop_at=4))
    resumed = run_training(tiny_recipe(), TrainingSet(images), tmp_path / "b", watch=Silence())
    assert whole.read_bytes() == resumed.read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert steps == [3, 6]


def test_training_lowers_the_validation_error_and_the_checkpoint_describes_itself(
    images: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=120, validate_every=60, batch=8)
    path = run_training(recipe, TrainingSet(images), tmp_path, watch=Silence())
    scores = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert scores[-1]["DX-50"] > 14.2 + 1.5  # the input scores 14.15 dB
    metadata = load_checkpoint(path, sha256=None).metadata
    assert metadata.method == "direct" and metadata.network_options["channels"] == [8, 12]
    tuned = run_training(
        tiny_recipe(), TrainingSet(images), tmp_path / "tuned", Manner(start=str(path)), watch=Silence()
    )
    first = json.loads((tmp_path / "tuned" / "log.jsonl").read_text().splitlines()[0])
    assert first["DX-50"] > 14.2 + 1.5 and tuned.exists()  # six steps from scratch would not get there
    small = dataclasses.replace(tiny_recipe(), network_options={**TINY, "channels": [4, 6]})
    tuned = run_training(
        small, TrainingSet(images), tmp_path / "again", Manner(start=str(path)), watch=Silence()
    )
    assert load_checkpoint(tuned, sha256=None).metadata.network_options["channels"] == [8, 12]


def digest_of(folder: Path) -> str:
    return str(read_notes(folder / "state.safetensors")["digest"])


def test_a_run_takes_the_quick_precision_and_keeps_it_on_another_machine(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does one from when every recipe that named no precision meant bf16."""
    assert all(read_recipe(name).loop.precision == "auto" for name in shipped_recipes())
    whole = {
        precision: run_training(
            tiny_recipe(precision=precision), TrainingSet(images), tmp_path / precision, watch=Silence()
        ).read_bytes()
        for precision in ("bf16", "fp32")
    }
    assert whole["bf16"] != whole["fp32"]
    for first, begun in (("auto", "bf16"), ("auto", "fp32"), ("bf16", "bf16")):
        other = "fp32" if begun == "bf16" else "bf16"
        output = tmp_path / f"{first}-{begun}"
        monkeypatch.setattr("meddenoise.training.loop.quick_precision", lambda device, is_=begun: is_)
        with pytest.raises(KeyboardInterrupt):
            run_training(tiny_recipe(precision=first), TrainingSet(images), output, watch=Silence(stop_at=4))
        assert digest_of(output) == digest_of(tmp_path / begun)
        monkeypatch.setattr("meddenoise.training.loop.quick_precision", lambda device, is_=other: is_)
        resumed = run_training(tiny_recipe(precision="auto"), TrainingSet(images), output, watch=Silence())
        assert resumed.read_bytes() == whole[begun]
        with pytest.raises(TrainingError, match=f"precision = {begun}' became 'precision = {other}"):
            run_training(tiny_recipe(precision=other), TrainingSet(images), output, watch=Silence())


def test_a_changed_recipe_is_refused_with_the_difference(images: Path, tmp_path: Path) -> None:
    run_training(tiny_recipe(steps=2), TrainingSet(images), tmp_path, watch=Silence())
    with pytest.raises(TrainingError, match=r"learning_rate.*0\.002.*0\.1"):
        run_training(tiny_recipe(learning_rate=0.1), TrainingSet(images), tmp_path, watch=Silence())


def change(path: Path, part: slice) -> None:
    """Other values in those rows and columns of a picture."""
    picture = np.asarray(Image.open(path)).copy()
    picture[part, part] ^= 8
    Image.fromarray(picture).save(path)


def test_a_run_on_other_images_is_refused_and_one_on_moved_images_goes_on(
    images: Path, tmp_path: Path
) -> None:
    """Of as many images, of the same names: only what is in them tells, in the references too."""
    data, run = Path(shutil.copytree(images, tmp_path / "moved")), tmp_path / "run"
    noisy = Path(shutil.copytree(images, tmp_path / "noisy"))
    for path in noisy.glob("*.png"):
        change(path, slice(None, None, 2))
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(), TrainingSet(images), run, watch=Silence(stop_at=4))
    run_training(tiny_recipe(), TrainingSet(data), run, watch=Silence())
    run_training(tiny_recipe(), TrainingSet(noisy, data), tmp_path / "pairs", watch=Silence())
    change(data / "patient0.png", slice(1))
    for given, output in ((TrainingSet(data), run), (TrainingSet(noisy, data), tmp_path / "pairs")):
        with pytest.raises(TrainingError, match=r"-o holds a training on other images: give another folder"):
            run_training(tiny_recipe(), given, output, watch=Silence())
    with pytest.raises(TrainingError, match=r"another recipe .*learning_rate.*0\.1"):
        run_training(tiny_recipe(learning_rate=0.1), TrainingSet(images), run, watch=Silence())


def test_a_run_can_be_made_longer_only_before_the_learning_rate_falls(images: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(), TrainingSet(images), tmp_path, watch=Silence(stop_at=2))
    run_training(tiny_recipe(steps=7), TrainingSet(images), tmp_path, watch=Silence())
    with pytest.raises(TrainingError, match="step 7 of 7"):
        run_training(tiny_recipe(steps=20), TrainingSet(images), tmp_path, watch=Silence())


def test_a_damaged_state_is_refused(images: Path, tmp_path: Path) -> None:
    run_training(tiny_recipe(steps=2), TrainingSet(images), tmp_path, watch=Silence())
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="damaged"):
        run_training(tiny_recipe(steps=2), TrainingSet(images), tmp_path, watch=Silence())


def test_too_few_or_too_small_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(TrainingError, match="32 x 32"):
        run_training(tiny_recipe(), TrainingSet(tmp_path), tmp_path / "run", watch=Silence())


def test_every_shipped_recipe_reads_and_the_weights_of_its_sources_sum_to_one() -> None:
    for name in shipped_recipes():
        recipe = read_recipe(name)
        assert sum(row.weight for row in recipe.data) == pytest.approx(1)
        assert name.endswith("-own") or all(row.attribution or row.phantom for row in recipe.data)


def test_mistakes_in_a_recipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'direct'"):
        read_recipe("dierct")
    path = tmp_path / "r.toml"
    start = 'method = "direct"\nmodalities = ["CT"]\n[network]\nname = "noise-unet"\n'
    path.write_text(start + "[training]\nstpes = 4\n[[data]]\n")
    with pytest.raises(TrainingError, match="did you mean 'steps'"):
        read_recipe(str(path))
    path.write_text(start + '[training]\nsteps = "many"\n[[data]]\n')
    with pytest.raises(TrainingError, match=r"steps in \[training\] is 'many'"):
        read_recipe(str(path))
    path.write_text(start + '[training]\nprecision = "fp16"\n[[data]]\n')
    with pytest.raises(TrainingError, match="'fp16', it must be a text out of 'auto', 'fp32', 'bf16'"):
        read_recipe(str(path))
    path.write_text("method = 'direct'")
    with pytest.raises(TrainingError, match="no 'network'"):
        read_recipe(str(path))


def test_pairs_of_noisy_and_clean_images_train_on_their_real_noise(images: Path, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    (noisy / "SPLITS.csv").write_text((images / "SPLITS.csv").read_text())
    rng = np.random.default_rng(1)
    for path in images.glob("*.png"):
        clean = np.asarray(Image.open(path)).astype(float)
        stored = np.clip(np.rint(clean + rng.normal(0, 12, clean.shape)), 0, 255).astype(np.uint8)
        Image.fromarray(stored).save(noisy / path.name)
    recipe = tiny_recipe(steps=80, validate_every=40, batch=8)
    run_training(recipe, TrainingSet(noisy, images), tmp_path / "run", watch=Silence())
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert last["DX-own"] > 26.5 + 1.0  # the noisy images score 26.5 dB


@pytest.mark.parametrize("kind", ["noise", "like"])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_network_of_slices_is_trained_and_judged_on_a_users_own_noise(kind: str, frames: int) -> None:
    rng = np.random.default_rng(0)
    plane = (100 + 50 * np.sin(np.indices((96, 96)).sum(axis=0) / 9)).astype(np.float32)
    real = rng.normal(0, 12, plane.shape).astype(np.float32)
    own = {"noise": real} if kind == "noise" else {"like": NoiseEstimate(12.0)}
    image = TrainingImage(plane, "CT", ".", "a", NOTHING, **own)  # type: ignore[arg-type]
    recipe = dataclasses.replace(tiny_recipe(), network_options=TINY | {"frames": frames})
    task = SupervisedTask(dataclasses.replace(recipe, data=(DataRow(),)), [image] * 2, [image])
    network = task.network()
    assert torch.isfinite(task.loss(network, 0, Share(torch.device("cpu"))))
    # an untrained network leaves the image as it is: its score is that of the noise
    assert task.validate(network, torch.device("cpu"))["CT-own"] == pytest.approx(26.5, abs=0.3)


def test_pairs_without_any_noise_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"patient\d.png in --ref are alike"):
        run_training(tiny_recipe(), TrainingSet(images, images), tmp_path / "run", watch=Silence())


def test_two_processes_take_the_steps_of_one(images: Path, tmp_path: Path) -> None:
    one = run_training(tiny_recipe(batch=4), TrainingSet(images), tmp_path / "one", watch=Silence())
    script = tmp_path / "launched.py"
    script.write_text(
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from tests.training.test_training import TrainingSet, Silence, run_training, tiny_recipe\n"
        f"images, out = Path({str(images)!r}), Path({str(tmp_path / 'two')!r})\n"
        "run_training(tiny_recipe(batch=4), TrainingSet(images), out, watch=Silence())\n"
        "from accelerate.state import PartialState\n"
        "print('processes', PartialState().num_processes)\n"
    )
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        str(script),
    ]
    run = subprocess.run(launch, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.split() == ["processes", "2"] * 2
    alone = load_checkpoint(one, sha256=None).tensors
    shared = load_checkpoint(tmp_path / "two" / "checkpoint.safetensors", sha256=None).tensors
    for name, tensor in alone.items():
        assert torch.allclose(shared[name], tensor, rtol=0, atol=5e-4), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(3, 8, 40), (2, 40, 8)])
def test_orthogonal_directions_keep_their_space_and_lose_their_size(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    matrices = (
        torch.randn(shape, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 3, shape[0])[:, None, None]
    )
    turned = orthogonalise(matrices, dtype)
    assert turned.dtype == torch.float32
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.4 and values.max() < 1.4
    assert ((turned * matrices).sum(dim=(1, 2)) > 0).all()  # never uphill


def test_muon_steers_the_convolutions_and_adam_the_ends() -> None:
    network = torch.nn.ModuleDict({"head": torch.nn.Conv2d(1, 4, 3), "body": torch.nn.Conv2d(4, 4, 3)})
    optimizer = Muon(network, ("head",), lr=0.1, weight_decay=0.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for weights in network.parameters():
        weights.grad = 1e-3 * torch.randn_like(weights)
    optimizer.step()
    after = network.state_dict()
    head = (after["head.weight"] - before["head.weight"]).abs()
    assert head == pytest.approx(torch.full_like(head, 0.1), rel=1e-3)  # Adam's first step: the learning rate
    body = (after["body.weight"] - before["body.weight"]).flatten(1)
    values = torch.linalg.svdvals(body) / (0.1 * 0.2 * 36**0.5)
    assert values.min() > 0.4 and values.max() < 1.4


@pytest.mark.parametrize("bands", [WHITE, (1.9, 1.2, 0.5, 0.2)])
def test_recorrupted_patches_have_independent_noise_of_the_level_told(bands: tuple[float, ...]) -> None:
    own, clean = NoiseEstimate(5.0, bands), np.full((96, 96), 100, np.float32)
    rng = np.random.default_rng(0)
    products, told, heights = [], [], []
    for _ in range(60):
        noise = noise_like(own, clean, rng)
        first, second = recorrupt(clean, noise, own, False, TOLD_EXACTLY, rng)
        products.append(((first.noisy - clean) * (second - clean)).mean())
        told.append((first.noisy - clean).std() / first.told.mean())
        heights.append(second.mean())
    assert abs(np.mean(products)) < 0.02 * np.mean(np.square(second - clean))
    assert np.mean(told) == pytest.approx(1, abs=0.03)
    assert np.mean(heights) == pytest.approx(100, abs=0.3)


def test_recorrupted_patches_of_steady_noise_do_not_depend_on_the_estimate_between() -> None:
    noisy = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    own, good, bad = NoiseEstimate(5.0), np.full_like(noisy, 100), np.full_like(noisy, 60)
    drawn = [
        recorrupt(clean, noisy - clean, own, False, TOLD_EXACTLY, np.random.default_rng(1))
        for clean in (good, bad)
    ]
    assert drawn[0][0].noisy == pytest.approx(drawn[1][0].noisy, abs=1e-3)
    assert drawn[0][1] == pytest.approx(drawn[1][1], abs=1e-3)


def test_the_folder_of_another_method_is_refused_and_left_as_it_is(images: Path, tmp_path: Path) -> None:
    """By the note in its folder, and by its checkpoint if there is no note."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "method.txt").write_text("diffdenoise\n")
    recipe = dataclasses.replace(read_recipe("direct"), data=(DataRow(),))
    with pytest.raises(TrainingError, match=r"holds a training of 'diffdenoise', not of 'direct'.*--output"):
        run_training(recipe, TrainingSet(images), out, watch=Silence())
    assert [path.name for path in out.iterdir()] == ["method.txt"]
    metadata = CheckpointMetadata(
        method="medcdiff", network="cond_unet", network_options={}, normalisation={}, sigma_range=(0.0, 1.0),
        modalities=("MR",), training_data=("none",), licence="Apache-2.0", recipe="medcdiff",
    )  # fmt: skip
    (tmp_path / "old").mkdir()
    save_checkpoint(tmp_path / "old" / "checkpoint.safetensors", {"a": torch.zeros(1)}, metadata)
    with pytest.raises(TrainingError, match="holds a training of 'medcdiff'"):
        run_training(recipe, TrainingSet(images), tmp_path / "old", watch=Silence())
