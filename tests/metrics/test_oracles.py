"""Metrics against scikit-image, torchmetrics and piq (where installed), and against the papers' formulas."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter
from skimage.measure import blur_effect
from skimage.metrics import structural_similarity

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.metrics.sharpness import reblur
from meddenoise.metrics.structure import gmsd, hfen, ms_ssim

RANGE = Protocol(data_range=2000.0)
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
Planes = NDArray[np.float64]


def pair(shape: tuple[int, ...] = (2, 192, 208), offset: float = 0.0) -> tuple[Planes, Planes]:
    """Textured planes, and the same blurred and with noise."""
    rng = np.random.default_rng(11)
    reference = offset + 8000 * gaussian_filter(rng.normal(size=shape), (0, 3, 3)) + rng.normal(0, 20, shape)
    return gaussian_filter(reference, (0, 0.6, 0.6)) + rng.normal(5, 60, shape), reference


def halved(plane: Planes) -> Planes:
    height, width = (2 * (size // 2) for size in plane.shape)
    cut = plane[:height, :width]
    return (cut[::2, ::2] + cut[1::2, ::2] + cut[::2, 1::2] + cut[1::2, 1::2]) / 4


def structure(x: Planes, y: Planes) -> float:
    """Mean of the contrast and structure factor by scikit-image: SSIM where K1 is so large that l is 1."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2000}
    return structural_similarity(x, y, K1=1e6, **options)


@pytest.mark.parametrize("offset", [0.0, -1000.0])
@pytest.mark.parametrize("side", [208, 201])
def test_ms_ssim_agrees_with_scikit_image_scale_by_scale(offset: float, side: int) -> None:
    x, y = pair((2, 192, side), offset)
    planes = []
    for a, b in zip(x, y, strict=True):
        factors = []
        for _ in WEIGHTS[:-1]:
            factors.append(structure(a, b))
            a, b = halved(a), halved(b)
        last = structural_similarity(
            a, b, data_range=2000, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        planes.append(math.prod(f**w for f, w in zip([*factors, last], WEIGHTS, strict=True)))
    assert 0.5 < planes[0] < 0.999
    assert ms_ssim(x, y, RANGE) == pytest.approx(np.mean(planes), abs=1e-6)


def test_ms_ssim_psnr_and_ssim_agree_with_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image", reason="the extra `dev`")
    x, y = pair()
    a, b = (torch.from_numpy(planes)[:, None] for planes in (x, y))
    assert psnr(x, y, RANGE) == pytest.approx(
        float(functional.peak_signal_noise_ratio(a, b, data_range=2000.0)), abs=1e-6
    )
    measured = functional.structural_similarity_index_measure
    _, whole = measured(a, b, data_range=2000.0, return_full_image=True)
    inner = whole[..., 5:-5, 5:-5]
    assert ssim(x, y, RANGE) == pytest.approx(float(inner.mean()), abs=1e-6)
    values = torch.ones(len(x), dtype=torch.float64)
    for scale, weight in enumerate(WEIGHTS):
        _, contrast = measured(a, b, data_range=2000.0, return_contrast_sensitivity=True)
        _, whole = measured(a, b, data_range=2000.0, return_full_image=True)
        last = whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
        values *= (last if scale == 4 else contrast) ** weight
        a, b = (torch.nn.functional.avg_pool2d(planes, 2) for planes in (a, b))
    assert ms_ssim(x, y, RANGE) == pytest.approx(float(values.mean()), abs=1e-6)


@pytest.fixture
def piq():
    return pytest.importorskip("piq", reason="not installed", exc_type=(ImportError, RuntimeError))


def test_ms_ssim_and_gmsd_agree_with_piq(piq) -> None:
    x, y = (np.clip(planes - planes.min(), 0, 2000) for planes in pair())
    a, b = (torch.from_numpy(planes)[:, None] for planes in (x, y))
    assert ms_ssim(x, y, RANGE) == pytest.approx(
        float(piq.multi_scale_ssim(a, b, data_range=2000.0)), abs=1e-6
    )
    # piq takes zeros beyond the border, where here no gradient is taken
    kernel = piq.functional.prewitt_filter(dtype=a.dtype)
    kernels = torch.stack([kernel, kernel.transpose(-1, -2)])
    ours, theirs = (
        piq.functional.gradient_map(torch.nn.functional.avg_pool2d(planes / 2000, 2), kernels)
        for planes in (a, b)
    )
    similarity = piq.functional.similarity_map(ours, theirs, constant=170 / 255**2)[..., 1:-1, 1:-1]
    expected = similarity.std(dim=(1, 2, 3), correction=0).mean()
    assert gmsd(x, y, RANGE) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, -1000.0, 30000.0])
def test_hfen_agrees_with_the_laplacian_written_out(offset: float) -> None:
    x, y = pair(offset=offset)
    t = np.arange(-7, 8)
    square = t[:, None] ** 2 + t[None, :] ** 2
    gaussian = np.exp(-square / (2 * 1.5**2))
    gaussian /= gaussian.sum()
    kernel = gaussian * (square - 2 * 1.5**2) / 1.5**4
    kernel -= kernel.mean()
    details = [np.stack([convolve(plane, kernel)[7:-7, 7:-7] for plane in planes]) for planes in (x, y)]
    expected = np.linalg.norm(details[0] - details[1]) / np.linalg.norm(details[1])
    assert 0.05 < expected < 5
    assert hfen(x, y, RANGE) == pytest.approx(expected, abs=1e-6)
    apart = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(*details, strict=True)]
    assert hfen(x, y, Protocol(scope="plane")) == pytest.approx(np.mean(apart), abs=1e-6)


@pytest.mark.parametrize("side", [208, 201])
def test_gmsd_agrees_with_the_paper_written_out(side: int) -> None:
    x, y = pair((2, 192, side), -1000.0)
    prewitt = np.array([[1, 0, -1]] * 3) / 3
    expected = []
    for a, b in zip(x * 255 / 2000, y * 255 / 2000, strict=True):
        m = [
            np.hypot(convolve(halved(p), prewitt), convolve(halved(p), prewitt.T))[1:-1, 1:-1] for p in (a, b)
        ]
        expected.append(np.std((2 * m[0] * m[1] + 170) / (m[0] ** 2 + m[1] ** 2 + 170)))
    assert expected[0] > 0.005
    assert gmsd(x, y, RANGE) == pytest.approx(np.mean(expected), abs=1e-6)


def test_reblur_agrees_with_scikit_image() -> None:
    x, y = pair()
    for planes in (x, y, gaussian_filter(y, (0, 4, 4))):
        expected = np.mean([blur_effect(plane, h_size=11) for plane in planes])
        assert reblur(planes, planes, Protocol()) == pytest.approx(expected, abs=1e-6)


def test_reblur_sees_no_hole_and_no_axis_without_a_slope() -> None:
    x, _ = pair((1, 96, 96))
    mask = np.ones(x.shape, bool)
    mask[:, 40:60, 30:50] = False
    values = {reblur(np.where(mask, x, fill), x, Protocol(mask=mask)) for fill in (0.0, 1e6, np.nan)}
    assert len(values) == 1
    stripes = np.broadcast_to(x[:, :1], x.shape)
    assert reblur(stripes, stripes, Protocol()) == pytest.approx(
        blur_effect(x[0, :1].repeat(96, 0), 11, reduce_func=min)
    )
    with pytest.raises(UndefinedError, match="constant"):
        reblur(0 * x + 5, x, Protocol())


@pytest.mark.parametrize("metric", [ms_ssim, hfen, gmsd])
def test_holes_have_no_value_whatever_they_hold(metric) -> None:
    x, y = pair()
    mask = np.ones(x.shape, bool)
    mask[:, 60:64, 50:90] = False
    protocol = Protocol(data_range=2000.0, mask=mask)
    plain = metric(np.where(mask, x, 0), np.where(mask, y, 0), protocol)
    assert metric(np.where(mask, x, 1e5), np.where(mask, y, np.nan), protocol) == pytest.approx(
        plain, rel=1e-12
    )
    with pytest.raises(UndefinedError):
        metric(x, y, Protocol(data_range=2000.0, mask=~mask & False))


def test_what_has_no_detail_or_no_room_has_no_value() -> None:
    x, y = pair((1, 60, 60))
    with pytest.raises(UndefinedError, match="coarsest"):
        ms_ssim(x, y, RANGE)
    with pytest.raises(UndefinedError, match="no detail"):
        hfen(x, 0 * y, RANGE)
    with pytest.raises(UndefinedError, match="15 pixels"):
        hfen(x[:, :14], y[:, :14], RANGE)
    with pytest.raises(UndefinedError, match="no gradient fits"):
        gmsd(x[:, :5], y[:, :5], RANGE)
    for metric in (ms_ssim, gmsd):
        with pytest.raises(UndefinedError, match="data range"):
            metric(x, y, Protocol())
