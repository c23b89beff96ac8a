"""LPIPS and FID: without packages or weights they say why there is no value; with them they are distances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.perceptual import ALEXNET, FEWEST, INCEPTION, fid, lpips

RANGE = Protocol(data_range=255.0)
ALEXNET_LAYERS = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
"""Place in the trunk -> channels out, channels in, side of the kernel."""


def images(count: int = 2, side: int = 64) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0, 255, (count, side, side))


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    """Random weights in the form of torchvision's file."""
    torch.manual_seed(0)
    tensors = {}
    for place, (out, into, side) in ALEXNET_LAYERS.items():
        tensors[f"features.{place}.weight"] = torch.randn(out, into, side, side) / (into * side**2) ** 0.5
        tensors[f"features.{place}.bias"] = torch.zeros(out)
    torch.save(tensors, tmp_path / ALEXNET)
    return tmp_path


def test_without_weights_there_is_no_value_and_nothing_is_fetched(tmp_path: Path) -> None:
    x = images()
    with pytest.raises(UndefinedError, match=f"{ALEXNET} are not in .*, and nothing is downloaded"):
        lpips(x, x, RANGE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_extra_is_named(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules is what Python itself keeps for a module that cannot be imported.
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    x = images()
    with pytest.raises(UndefinedError, match=r"lpips cannot be imported .*meddenoise\[perceptual\]"):
        lpips(x, x, RANGE, trunk)


@pytest.mark.parametrize(
    ("x", "protocol", "why"),
    [
        (images(side=63), RANGE, "at least 64 x 64"),
        (images() * np.nan, RANGE, "not finite"),
        (images(), Protocol(), "no data range"),
    ],
)
def test_images_without_a_value_are_told_apart(
    x: NDArray[np.float64], protocol: Protocol, why: str, trunk: Path
) -> None:
    with pytest.raises(UndefinedError, match=why):
        lpips(x, x, protocol, trunk)


def test_fid_is_not_made_up_from_few_images_nor_without_packages_or_weights(tmp_path: Path) -> None:
    few, many = images(5, 8), np.zeros((FEWEST, 8, 8))
    with pytest.raises(UndefinedError, match="needs 2048 images"):
        fid(few, many, RANGE, tmp_path)
    with pytest.raises(UndefinedError, match="no data range"):
        fid(many, many, Protocol(), tmp_path)
    with pytest.raises(UndefinedError, match=f"pip install|{INCEPTION} are not in"):
        fid(many, many, RANGE, tmp_path)


def test_lpips_is_0_for_the_same_image_and_grows_with_the_noise(trunk: Path) -> None:
    pytest.importorskip("lpips", reason="the extra `perceptual`", exc_type=(ImportError, RuntimeError))
    x = images(3)
    noise = np.random.default_rng(1).normal(0, 1, x.shape)
    values = [lpips(x + sigma * noise, x, RANGE, trunk) for sigma in (0, 5, 20)]
    assert values[0] == 0 < values[1] < values[2]


def test_damaged_weights_are_named(trunk: Path) -> None:
    pytest.importorskip("lpips", reason="the extra `perceptual`", exc_type=(ImportError, RuntimeError))
    (trunk / ALEXNET).write_bytes(b"no weights")
    with pytest.raises(UndefinedError, match=f"{ALEXNET} cannot be read"):
        lpips(images(), images(), RANGE, trunk)
