"""The methods shelf: one contract for every row of its table, and what the classical rows add."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from meddenoise import methods
from meddenoise.errors import UsageError
from meddenoise.methods import METHODS, Setup, get, rows
from meddenoise.methods.classical import noise_power
from meddenoise.noise import WHITE, NoiseEstimate

needs_bm3d = pytest.mark.skipif(find_spec("bm3d") is None, reason="needs the extra bm3d")
NAMES = [
    pytest.param(name, marks=[needs_bm3d] if row.extra == "bm3d" else [])
    for name, row in METHODS.items()
    if not row.learned
]
SIGMA = 20.0


@pytest.fixture(params=NAMES)
def denoise(request: pytest.FixtureRequest) -> methods.Denoiser:
    return get(request.param).load(Setup(modality="CT"))


def phantom(side: int = 64) -> torch.Tensor:
    """Discs and a ramp, [1, 1, side, side], values as of soft tissue in HU."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    image = 40.0 * x
    for centre, radius, value in (
        ((0.0, 0.0), 0.4, 100.0),
        ((0.1, 0.1), 0.15, -60.0),
        ((-0.2, 0.1), 0.08, 200.0),
    ):
        image = image + value * (np.hypot(x - centre[0], y - centre[1]) < radius)
    return torch.from_numpy(image).float()[None, None]


def noise(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return SIGMA * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def level(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_shape_dtype_and_finiteness(denoise: methods.Denoiser) -> None:
    for dtype in (torch.float32, torch.float64):
        noisy = (phantom(48)[:, :, :40] + noise(phantom(48)[:, :, :40])).to(dtype)
        clean = denoise(noisy, level(SIGMA))
        assert clean.shape == (1, 1, 40, 48) and clean.dtype == dtype
        assert torch.isfinite(clean).all()
    assert denoise.context == 0


def test_it_removes_noise_and_leaves_its_input_alone(denoise: methods.Denoiser) -> None:
    clean = phantom()
    noisy = clean + noise(clean)
    before = noisy.clone()
    error = (denoise(noisy, level(SIGMA)) - clean).square().mean().sqrt()
    assert error < 0.65 * SIGMA
    assert torch.equal(noisy, before)


def test_the_same_input_gives_the_same_bits(denoise: methods.Denoiser) -> None:
    noisy = phantom() + noise(phantom())
    assert torch.equal(denoise(noisy, level(SIGMA)), denoise(noisy, level(SIGMA)))


def test_no_noise_gives_the_input_and_little_noise_nearly(denoise: methods.Denoiser) -> None:
    noisy = phantom() + noise(phantom())
    assert torch.equal(denoise(noisy, level(0.0)), noisy)
    assert (denoise(noisy, level(0.01)) - noisy).abs().max() < 0.1


def test_shift_and_scale_of_the_image_are_those_of_the_result(denoise: methods.Denoiser) -> None:
    noisy = (phantom() + noise(phantom())).double()
    clean = denoise(noisy, level(SIGMA))
    assert (denoise(noisy + 1000, level(SIGMA)) - 1000 - clean).abs().max() < 0.01 * SIGMA
    assert (denoise(noisy * 0.01, level(SIGMA * 0.01)) * 100 - clean).abs().max() < 0.01 * SIGMA


def test_a_batch_is_its_planes_one_by_one(denoise: methods.Denoiser) -> None:
    noisy = torch.cat([phantom() + noise(phantom(), seed) for seed in (1, 2)])
    both = denoise(noisy, level(SIGMA, SIGMA / 2))
    assert torch.equal(both[:1], denoise(noisy[:1], level(SIGMA)))
    assert torch.equal(both[1:], denoise(noisy[1:], level(SIGMA / 2)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 40)])
def test_tiny_images_survive(denoise: methods.Denoiser, shape: tuple[int, int]) -> None:
    noisy = noise(torch.zeros(1, 1, *shape)) + 100
    clean = denoise(noisy, level(SIGMA))
    assert clean.shape == noisy.shape and torch.isfinite(clean).all()


def test_a_constant_image_stays_constant(denoise: methods.Denoiser) -> None:
    flat = torch.full((1, 1, 32, 32), -1000.0)
    assert (denoise(flat, level(SIGMA)) - flat).abs().max() < 1e-3 * SIGMA


def test_a_noise_map_is_followed_pixel_by_pixel(denoise: methods.Denoiser) -> None:
    clean = torch.zeros(1, 1, 64, 64)
    sigma = torch.zeros(1, 1, 64, 64)
    sigma[..., 32:] = SIGMA
    noisy = clean + noise(clean) * sigma / SIGMA
    noisy[..., 8:24:2, 8:24:2] = 15.0
    result = denoise(noisy, sigma)
    assert torch.allclose(result[..., :32], noisy[..., :32], atol=1e-4)
    assert result[..., 36:].std() < 0.7 * SIGMA


def test_a_flat_map_is_the_same_as_its_level(denoise: methods.Denoiser) -> None:
    noisy = phantom() + noise(phantom())
    flat = torch.full((1, 1, 64, 64), SIGMA)
    assert torch.equal(denoise(noisy, flat), denoise(noisy, level(SIGMA)))


@needs_bm3d
def test_bm3d_told_the_spectrum_beats_bm3d_told_only_sigma() -> None:
    clean, bands = phantom(96), (1.8, 0.6, 0.3, 0.2)
    white = np.random.default_rng(1).standard_normal((96, 96))
    coloured = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(noise_power((96, 96), bands))).real
    noisy = clean + torch.from_numpy(SIGMA * coloured / coloured.std()).float()

    def error(setup: Setup) -> float:
        return float((get("bm3d").load(setup)(noisy, level(SIGMA)) - clean).square().mean().sqrt())

    assert error(Setup(NoiseEstimate(SIGMA, bands))) < 0.9 * error(Setup(NoiseEstimate(SIGMA, WHITE)))
    assert hasattr(np, "trapz") == (np.lib.NumpyVersion(np.__version__) < "2.4.0")


def test_bm3d_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meddenoise.methods.classical.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'meddenoise\[bm3d\]'") as caught:
        get("bm3d").load(Setup())
    assert "non-commercial" in str(caught.value)


def test_noise_power_has_mean_one_and_the_bands_asked_for() -> None:
    assert np.allclose(noise_power((32, 48), WHITE), 1)
    power = noise_power((64, 64), (2.0, 1.0, 0.5, 0.25))
    assert power.mean() == pytest.approx(1)
    assert power[0, 4] > power[0, 12] > power[0, 20] > power[32, 32]


@pytest.mark.parametrize("name", METHODS)
def test_every_row_is_complete_and_leads_to_its_method(name: str) -> None:
    row, method = METHODS[name], get(name)
    assert method.name == name
    assert method.uses_weights == row.learned
    assert row.purpose and row.citation and row.licence


def test_an_unknown_method_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="'bm3d'"):
        get("bm4d")


def test_listing_methods_imports_none_of_them() -> None:
    code = (
        "import sys; from meddenoise.methods import rows; assert rows(); "
        "heavy = {'torch', 'scipy', 'skimage', 'numpy', 'bm3d'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_package_adds_a_method_but_cannot_replace_one(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        name: EntryPoint(name, where, methods.ENTRY_POINT_GROUP)
        for name, where in (
            ("theirs", "meddenoise.methods.classical:TV"),
            ("tv", "nowhere:TV"),
            ("broken", "nowhere_at_all:X"),
        )
    }
    monkeypatch.setattr(methods, "_entry_points", lambda: points)
    assert get("theirs").name == "tv" and rows()["theirs"].family == "added"
    assert rows()["tv"] == METHODS["tv"] and get("tv").name == "tv"
    with pytest.raises(UsageError, match="nowhere_at_all"):
        get("broken")
