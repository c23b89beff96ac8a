"""The engine: devices, batches and tiles that change nothing, repeatable noise, retreat from full memory."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine.device import (
    Device,
    _cpu_has_bf16,
    choose_device,
    is_out_of_memory,
    keep_freed_memory,
)
from meddenoise.errors import MeddenoiseError, UsageError
from meddenoise.methods import Sampled, SamplingDenoiser, Setup, get
from meddenoise.noise import NoiseEstimate, SeriesNoise
from tests.drawing import Draws

CPU = Device(torch.device("cpu"), "fp32", "test")
rng = np.random.default_rng(3)


@dataclass
class Method:
    """A method made of one function of (noisy, sigma)."""

    denoise: object
    tile: int | None = None
    name: str = "test"
    uses_weights: bool = False
    context: int = 0
    setups: list = field(default_factory=list)

    def load(self, setup):
        self.setups.append(setup)
        return self

    def __call__(self, noisy, sigma):
        assert noisy.dtype == sigma.dtype == torch.float32
        return self.denoise(noisy, sigma)


class Sampler(Method):
    def sample(self, noisy, sigma, noise):
        draws = [torch.randn(2, 1, *noisy.shape[-2:], generator=generator) for generator in noise]
        first, second = torch.stack(draws, dim=1)
        return Sampled(noisy[:, :1] + (first + second) / 2**0.5, (first - second).abs() / 2)


class Drawn:
    """The sampler of `drawing`, whatever the mode."""

    name, uses_weights, tile = "drawn", False, None

    def load(self, setup):
        return Draws()


DRAWN = Drawn()


def engine(method, **options):
    return Engine(method, Setup(), EngineOptions(CPU, **options))


def planes(count=3, size=(40, 56), channels=1):
    return rng.normal(100, 5, (count, channels, *size)).astype(np.float32)


def half(noisy, sigma):
    """Depends on every pixel alone: no tile and no batch may change it."""
    return noisy[:, :1] / 2 + sigma


def test_whole_planes_come_back_as_the_denoiser_gave_them():
    noisy = planes()
    sigma = np.full((3, 40, 56), 2, np.float32)
    result = engine(Method(half)).run(noisy, sigma).clean
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, noisy[:, 0] / 2 + 2)


@pytest.mark.parametrize("tile", [16, 24, 100])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_tiles_and_batches_do_not_change_the_result(tile, batch_size):
    noisy = planes()
    sigma = np.abs(noisy[:, 0])
    whole = engine(Method(half)).run(noisy, sigma).clean
    cut = engine(Method(half), tile=tile, batch_size=batch_size).run(noisy, sigma).clean
    np.testing.assert_allclose(cut, whole, rtol=1e-6)


def test_a_real_method_in_tiles_is_close_to_the_whole_and_has_no_seam():
    y, x = np.indices((96, 96))
    truth = (100 + 20 * np.sin(x / 15) + 10 * np.cos(y / 11)).astype(np.float32)
    noisy = (truth + rng.normal(0, 4, truth.shape).astype(np.float32))[None, None]
    sigma = np.full((1, 96, 96), 4, np.float32)
    whole = engine(get("nlm")).run(noisy, sigma).clean[0]
    tiled = engine(get("nlm"), tile=48, overlap=24).run(noisy, sigma).clean[0]
    assert np.sqrt(np.mean((whole - truth) ** 2)) < 2
    assert np.sqrt(np.mean((tiled - whole) ** 2)) < 0.5


def test_workers_give_what_one_thread_gives_and_leave_torch_as_it_was():
    noisy = planes(7)
    sigma = np.ones((7, 40, 56), np.float32)
    alone = engine(Sampler(half)).run(noisy, sigma).clean
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = engine(Sampler(half)).run(noisy, sigma).clean
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(alone, together)


def test_draws_depend_on_seed_plane_and_tile_but_not_on_batches_or_order():
    noisy, sigma = planes(4), np.ones((4, 40, 56), np.float32)
    assert isinstance(Sampler(half), SamplingDenoiser)
    assert not isinstance(get("nlm").load(Setup()), SamplingDenoiser)
    reference = engine(Sampler(half), tile=24, seed=5).run(noisy, sigma).clean
    batched = engine(Sampler(half), tile=24, batch_size=7, seed=5).run(noisy, sigma).clean
    np.testing.assert_array_equal(batched, reference)
    one = engine(Sampler(half), tile=24, seed=5)
    parts = [one.run(noisy[n : n + 1], sigma[n : n + 1], first=n).clean for n in (3, 0, 2, 1)]
    np.testing.assert_array_equal(np.concatenate([parts[i] for i in (1, 3, 2, 0)]), reference)
    other = engine(Sampler(half), tile=24, seed=6).run(noisy, sigma).clean
    assert np.abs(other - reference).mean() > 0.1
    draws = reference - noisy[:, 0]
    assert np.abs(np.corrcoef(draws.reshape(4, -1)) - np.eye(4)).max() < 0.1


def test_the_spread_is_stitched_as_the_planes_are_and_repeats_as_they_do():
    noisy, sigma = planes(3), np.abs(planes(3)[:, 0])
    options = {"tile": 24, "overlap": 8, "seed": 5}
    drawn = engine(DRAWN, **options).run(noisy, sigma)
    assert drawn.spread.shape == drawn.clean.shape == (3, 40, 56)
    assert drawn.spread.dtype == np.float32
    for batch_size in (2, 7):
        batched = engine(DRAWN, batch_size=batch_size, **options).run(noisy, sigma)
        np.testing.assert_array_equal(batched.spread, drawn.spread)
        np.testing.assert_array_equal(batched.clean, drawn.clean)
    whole = engine(DRAWN, seed=5).run(noisy, sigma).spread
    # two draws of sigma / 4 each, another pair in every tile
    assert np.corrcoef(whole.ravel(), drawn.spread.ravel())[0, 1] < 0.95
    for spread in (whole, drawn.spread):
        assert np.mean(spread / sigma) == pytest.approx(np.sqrt(2 / np.pi) / 4, rel=0.03)
    assert (drawn.spread >= 0).all()


def test_a_method_tells_whether_it_draws():
    assert engine(DRAWN).samples
    assert not engine(Method(half)).samples
    assert engine(Method(half)).run(planes(1), np.ones((1, 40, 56), np.float32)).spread is None


class DrawnOnly(Method):
    """Draws, and does not know how uncertain they are."""

    def sample(self, noisy, sigma, noise):
        return Sampled(noisy[:, :1])


def test_a_sampler_without_a_spread_gives_its_planes():
    noisy = planes(2)
    drawn = engine(DrawnOnly(half), tile=16).run(noisy, np.ones((2, 40, 56), np.float32))
    assert drawn.spread is None
    np.testing.assert_allclose(drawn.clean, noisy[:, 0], rtol=1e-6)


def test_the_middle_of_the_context_is_denoised():
    noisy = planes(2, channels=3)
    middle = Method(lambda noisy, sigma: noisy[:, 1:2], context=1)
    result = engine(middle).run(noisy, np.ones((2, 40, 56), np.float32))
    np.testing.assert_array_equal(result.clean, noisy[:, 1])
    assert result.spread is None


def fitting(limit, error):
    """A denoiser for which more than `limit` pixels at a time do not fit into memory."""

    def denoise(noisy, sigma):
        if noisy[:, 0].numel() > limit:
            raise error("CUDA out of memory (injected)")
        return half(noisy, sigma)

    return denoise


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_halves_the_batch_then_the_tile_and_says_so(error):
    noisy, sigma = planes(4, (256, 256)), np.ones((4, 256, 256), np.float32)
    frugal = engine(Method(fitting(128 * 128, error)), batch_size=4)
    result = frugal.run(noisy, sigma).clean
    np.testing.assert_allclose(result, noisy[:, 0] / 2 + 1, rtol=1e-6)
    assert [text.split(": ")[1] for text in frugal.warnings] == [
        "going on with batches of 2 instead of 4.",
        "going on with batches of 1 instead of 2.",
        "going on with tiles of 128 pixels instead of 256.",
    ]
    frugal.run(noisy, sigma)
    assert len(frugal.warnings) == 3


def test_the_cpu_allocators_own_error_is_recognised():
    def greedy(noisy, sigma):
        if noisy.shape[-1] > 128:
            torch.empty(2**50)
        return half(noisy, sigma)

    frugal = engine(Method(greedy))
    frugal.run(planes(1, (256, 256)), np.ones((1, 256, 256), np.float32))
    assert len(frugal.warnings) == 1


def test_a_device_without_enough_memory_is_left_for_the_cpu():
    def denoise(noisy, sigma):
        if noisy.device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return half(noisy, sigma)

    method = Method(denoise)
    # The meta device stands for one that has no memory at all.
    small = Engine(method, Setup(), EngineOptions(Device(torch.device("meta"), "bf16", "test"), batch_size=2))
    noisy, sigma = planes(2, (256, 256)), np.ones((2, 256, 256), np.float32)
    np.testing.assert_allclose(small.run(noisy, sigma).clean, noisy[:, 0] / 2 + 1, rtol=1e-6)
    assert small.device.device.type == "cpu"
    assert [setup.device for setup in method.setups] == ["meta", "cpu"]
    assert small.warnings[-1].endswith("going on with the CPU.")


def test_the_smallest_tile_that_does_not_fit_ends_in_one_sentence():
    frugal = engine(Method(fitting(0, MemoryError)))
    with pytest.raises(MeddenoiseError, match="memory ran out on cpu even for one tile of 128 pixels"):
        frugal.run(planes(1, (256, 256)), np.ones((1, 256, 256), np.float32))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="must match"):
        engine(Method(lambda noisy, sigma: noisy + torch.ones(3, 5))).run(
            planes(1), np.ones((1, 40, 56), np.float32)
        )


def test_the_check_is_asked_before_every_batch_and_stops_the_run():
    asked = []

    def check():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    stopping = Engine(Method(half), Setup(), EngineOptions(CPU, tile=16, batch_size=1), check)
    with pytest.raises(KeyboardInterrupt):
        stopping.run(planes(), np.ones((3, 40, 56), np.float32))
    assert 3 <= len(asked) < 3 + torch.get_num_threads()  # the other workers may be at one each


def test_methods_are_told_device_and_precision():
    method = Method(half)
    Engine(method, Setup(modality="CT"), EngineOptions(Device(torch.device("cpu"), "bf16", "test")))
    assert method.setups == [Setup(modality="CT", device="cpu", precision="bf16")]


def test_planes_at_once_keep_every_worker_busy_and_shrink_with_tiles():
    threads = torch.get_num_threads()
    assert engine(Method(half)).planes_at_once((512, 512)) == 2 * threads
    assert engine(Method(half), tile=64).planes_at_once((512, 512)) == max(1, 2 * threads // 81)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "CUDA"])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(UsageError, match="give auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_auto_without_a_gpu_takes_the_cpu_and_says_why():
    chosen = choose_device("auto", "fp32")
    assert str(chosen) == "cpu"
    assert chosen.reason == "no GPU that torch can use"
    with pytest.raises(UsageError, match="--device cuda does not work here"):
        choose_device("cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without an Apple GPU")
def test_a_gpu_that_is_not_there_is_told_in_one_line():
    with pytest.raises(UsageError) as caught:
        choose_device("mps")
    sentence = "--device mps does not work here (torch finds no Apple GPU): use --device auto or cpu."
    assert str(caught.value) == sentence


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_auto_takes_a_gpu_that_works_and_gives_what_the_cpu_gives():
    chosen = choose_device("auto", "fp32")
    assert chosen.device.type == "cuda"
    noisy, sigma = planes(), np.ones((3, 40, 56), np.float32)
    on_gpu = Engine(Method(half), Setup(), EngineOptions(chosen)).run(noisy, sigma).clean
    np.testing.assert_allclose(on_gpu, engine(Method(half)).run(noisy, sigma).clean, rtol=1e-6)


def test_precision_follows_the_processor_unless_given(tmp_path):
    assert choose_device("cpu", "bf16").precision == "bf16"
    assert choose_device("cpu", "fp32").precision == "fp32"
    with pytest.raises(UsageError, match="--precision"):
        choose_device("cpu", "fp16")
    listing = tmp_path / "cpuinfo"
    listing.write_text("flags : avx2 avx512f avx512_bf16 amx_tile")
    assert _cpu_has_bf16(listing)
    listing.write_text("flags : avx2 avx512f")
    assert not _cpu_has_bf16(listing)
    assert not _cpu_has_bf16(tmp_path / "none")


def test_raising_the_malloc_thresholds_does_no_harm():
    keep_freed_memory()
    assert torch.ones(1 << 20).sum() == 1 << 20


class Spectral(Method):
    """Adds the lowest band of the noise of each plane."""

    def for_planes(self, noise):
        low = torch.tensor([plane.bands[0] for plane in noise]).reshape(-1, 1, 1, 1)
        return Method(lambda noisy, sigma: noisy[:, :1] + low)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_every_plane_is_denoised_by_its_own_spectrum_whatever_the_batch(batch):
    noise = SeriesNoise(tuple(NoiseEstimate(1.0, (float(k), 1.0, 1.0, 1.0)) for k in range(6)))
    setup = Setup(noise.middle, planes=noise)
    running = Engine(Spectral(half), setup, EngineOptions(CPU, tile=32, overlap=8, batch_size=batch))
    noisy = planes(3)
    clean = running.run(noisy, np.ones((3, 40, 56), np.float32), first=2).clean
    added = np.array([2, 3, 4], np.float32)[:, None, None]
    np.testing.assert_allclose(clean, noisy[:, 0] + added, rtol=1e-6)


def test_without_a_noise_for_each_plane_the_denoiser_runs_as_it_was_loaded():
    noisy, sigma = planes(), np.ones((3, 40, 56), np.float32)
    clean = engine(Spectral(half)).run(noisy, sigma).clean
    np.testing.assert_array_equal(clean, noisy[:, 0] / 2 + 1)


@pytest.mark.parametrize(("own", "refused"), [(None, True), (1024, True), (28, False)])
def test_tiles_that_leave_squares_are_refused_for_networks_of_whole_planes(own, refused):
    """`direct` left squares of up to 55 HU on a CT phantom in tiles of 64."""
    network = Method(half, tile=own, uses_weights=True)
    for options, match in (
        ({"tile": 64}, "--tile is 64: 'test' sees too little"),
        ({"tile": 128, "overlap": 8}, "--overlap is 8: 'test' leaves squares"),
    ):
        if refused:
            with pytest.raises(UsageError, match=match):
                engine(network, **options)
        else:
            engine(network, **options)
        engine(Method(half), **options)
    engine(network, tile=128, overlap=32)
