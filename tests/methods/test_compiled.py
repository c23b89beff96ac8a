"""OpenVINO in place of torch: the same pixels, in tiles and threads too; compiled once; torch if it fails."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from meddenoise import weights
from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine import device as device_module
from meddenoise.engine.device import LEAST_PIXELS, Device, _is_quick_in_bf16, choose_device, fit
from meddenoise.methods import Sampling, Setup, compiled, get
from meddenoise.networks.compiled import openvino_version
from meddenoise.noise import NoiseEstimate
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.images import as_series
from meddenoise.pipeline.options import Options

pytestmark = pytest.mark.skipif(openvino_version() is None, reason="needs the extra openvino")

TORCH = Device(torch.device("cpu"), "fp32", "test")
OPENVINO = replace(TORCH, backend="openvino")
CHECKPOINTS = ("direct", "direct-fast", "diffdenoise", "befoi")
SIGMA = 20.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no network in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled._kept.clear()
    found = compiled.compiled_folder()
    assert found is not None
    return found


def setup_of(name: str) -> Setup:
    return Setup(NoiseEstimate(SIGMA), "CT", checkpoint=weights.load(name))


def engine(name: str, device: Device, **options: int) -> Engine:
    setup = setup_of(name)
    made = Engine(get(setup.checkpoint.metadata.method), setup, EngineOptions(device, **options))
    assert made.device.backend == device.backend
    return made


def scan(count: int = 1, channels: int = 1, size: tuple[int, int] = (90, 76)) -> np.ndarray:
    y, x = np.indices(size)
    truth = 1000.0 * (np.hypot(y - 40, x - 40) < 30) - 500 + 3 * x
    noise = np.random.default_rng(7).normal(0, SIGMA, (count, channels, *size))
    return (truth + noise).astype(np.float32)


def clean(made: Engine, noisy: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    levels = np.full((len(noisy), *noisy.shape[2:]), sigma, np.float32)
    return made.run(noisy, levels).clean


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_one_pass_network_gives_the_pixels_of_torch(name: str) -> None:
    by_torch, by_openvino = engine(name, TORCH), engine(name, OPENVINO)
    noisy = scan(2, 2 * by_torch.context + 1)
    expected = clean(by_torch, noisy)
    assert np.abs(expected - noisy[:, by_torch.context]).std() > SIGMA / 4  # there is something to compare
    np.testing.assert_allclose(clean(by_openvino, noisy), expected, atol=1e-4 * SIGMA)


def test_offset_and_scale_go_through() -> None:
    made, noisy = engine("direct-fast", OPENVINO), scan()
    once = clean(made, noisy)
    np.testing.assert_allclose(clean(made, 8 * noisy + 4096, 8 * SIGMA), 8 * once + 4096, atol=0.01 * SIGMA)


def test_tiles_change_as_little_as_with_torch() -> None:
    noisy = scan(1, 1, (200, 180))
    tiled = [
        clean(engine("direct-fast", device, tile=128, overlap=64), noisy) for device in (TORCH, OPENVINO)
    ]
    np.testing.assert_allclose(tiled[1], tiled[0], atol=1e-4 * SIGMA)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_batches_change_no_bit(threads: int) -> None:
    noisy = scan(5)
    before = torch.get_num_threads()
    expected = clean(engine("direct-fast", OPENVINO, batch_size=1), noisy)
    torch.set_num_threads(threads)
    compiled._kept.clear()  # its streams are as many as there were threads
    try:
        made = engine("direct-fast", OPENVINO, batch_size=2)
        np.testing.assert_array_equal(clean(made, noisy), expected)
        np.testing.assert_array_equal(clean(made, noisy[:1]), expected[:1])
    finally:
        torch.set_num_threads(before)


def test_a_network_is_compiled_once_and_again_where_the_file_is_damaged(folder: Path) -> None:
    noisy = scan()
    expected = clean(engine("direct-fast", OPENVINO), noisy)
    (file,) = folder.iterdir()
    whole, written = file.read_bytes(), file.stat().st_mtime_ns
    compiled._kept.clear()
    engine("direct-fast", OPENVINO)
    assert file.stat().st_mtime_ns == written
    garbage = b"no model" * 50
    sealed_garbage = hashlib.sha256(garbage).digest() + garbage  # whole, but of another program
    for damaged in (b"", whole[:-1], whole[:5000] + b"!" + whole[5001:], sealed_garbage):
        file.write_bytes(damaged)
        compiled._kept.clear()
        np.testing.assert_array_equal(clean(engine("direct-fast", OPENVINO), noisy), expected)
        assert len(compiled._read(file) or b"") > len(garbage)


def test_without_a_place_for_it_a_network_is_compiled_in_every_run(folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("no folder")
    clean(engine("direct-fast", OPENVINO), scan())
    assert folder.parent.is_file()


def test_what_cannot_be_compiled_runs_with_torch_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = clean(engine("direct-fast", TORCH), scan())
    monkeypatch.setitem(sys.modules, "openvino", None)  # as a broken installation
    setup = setup_of("direct-fast")
    made = Engine(get("direct"), setup, EngineOptions(OPENVINO))
    assert made.device.backend == "torch"
    (warning,) = made.warnings
    assert warning.startswith("OpenVINO cannot be imported") and warning.endswith("It runs with torch.")
    np.testing.assert_array_equal(clean(made, scan()), expected)


def test_openvino_is_for_slow_processors_and_for_one_pass() -> None:
    chosen = choose_device("cpu", "fp32")
    assert (chosen.backend == "openvino") == (not _is_quick_in_bf16(chosen.device))
    assert choose_device("cpu", "bf16").backend == "torch"
    for name, mode, backend in (
        ("direct", None, "openvino"),
        ("diffdenoise", None, "openvino"),
        ("diffdenoise", "diffusion", "torch"),
        ("befoi-mixing", None, "torch"),
        ("nlm", None, "torch"),
    ):
        assert fit(OPENVINO, get(name), Sampling(mode)).backend == backend
    assert fit(OPENVINO, get("direct"), Sampling(), LEAST_PIXELS - 1).backend == "torch"
    assert (OPENVINO.label, TORCH.label) == ("cpu with OpenVINO", "cpu")


def test_importing_openvino_sends_no_message(tmp_path: Path) -> None:
    spy = tmp_path / "openvino_telemetry" / "backend"
    spy.mkdir(parents=True)
    noted = tmp_path / "noted"
    (spy.parent / "__init__.py").write_text(f"from pathlib import Path\nPath({str(noted)!r}).touch()\n")
    (spy / "__init__.py").touch()
    for code, sends in (
        ("import openvino", True),
        ("from meddenoise.networks.compiled import import_openvino; import_openvino().Core()", False),
    ):
        noted.unlink(missing_ok=True)
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
        subprocess.run([sys.executable, "-c", f"{path}\n{code}"], capture_output=True, check=False)
        assert noted.exists() == sends


def test_a_series_that_is_large_enough_is_reported_with_its_back_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "_is_quick_in_bf16", lambda device: False)
    monkeypatch.setattr(device_module, "LEAST_PIXELS", 1)
    choose_device.cache_clear()
    series = as_series(scan()[:, 0], modality="CT")
    result = denoise_series(series, Options(weights="direct-fast", device="cpu"))
    assert result.device.label == "cpu with OpenVINO"
    exact = denoise_series(series, Options(weights="direct-fast", device="cpu", precision="bf16"))
    assert exact.device.label == "cpu"
    choose_device.cache_clear()
