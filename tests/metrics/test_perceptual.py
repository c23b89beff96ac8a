"""LPIPS and FID: without packages or weights they say why there is no value; with them they are distances."""

import hashlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meddenoise.metrics import Protocol, UndefinedError, fetched, perceptual
from meddenoise.metrics.fetched import ALEXNET, INCEPTION, SOURCES, fetch
from meddenoise.metrics.perceptual import FEWEST, fid, lpips

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


def at(folder: Path) -> Protocol:
    return replace(RANGE, networks=folder)


def test_a_folder_without_the_weights_is_named_and_nothing_is_fetched(tmp_path: Path) -> None:
    x = images()
    with pytest.raises(UndefinedError, match=f"{ALEXNET} are not in"):
        lpips(x, x, at(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Answers of a server on loopback, by path; SOURCES points there and torch's cache is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    answers: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path.lstrip("/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        for name in SOURCES:
            monkeypatch.setitem(SOURCES, name, f"http://127.0.0.1:{running.server_port}/{name}")
        yield answers
        running.shutdown()


@pytest.mark.network
def test_weights_are_fetched_once_and_only_whole(
    server: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"weights" * 1000
    name = f"net-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    monkeypatch.setitem(SOURCES, name, SOURCES[ALEXNET].replace(ALEXNET, name))
    with pytest.raises(UndefinedError, match=r"could not be fetched .*404.*name its folder"):
        fetch(name)
    server[name] = body[:-1]
    with pytest.raises(UndefinedError, match=r"could not be fetched .*hash"):
        fetch(name)
    assert not list((tmp_path / "home").rglob("*.pth*"))
    server[name] = body
    assert fetch(name).read_bytes() == body
    server.clear()
    assert fetched.find(name, None) == fetch_path(tmp_path, name)


def fetch_path(home: Path, name: str) -> Path:
    return home / "home" / "hub" / "checkpoints" / name


@pytest.mark.network
def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetched, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(SOURCES, ALEXNET, f"http://127.0.0.1:{silent.getsockname()[1]}/{ALEXNET}")
        with pytest.raises(UndefinedError, match=r"could not be fetched .*timed out"):
            fetch(ALEXNET)
    assert socket.getdefaulttimeout() is None


@pytest.mark.network
def test_nothing_is_fetched_that_no_package_could_use(
    server: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    server[ALEXNET] = b"never asked for"
    with pytest.raises(UndefinedError, match="lpips cannot be imported"):
        lpips(images(), images(), RANGE)
    assert fetched.find(ALEXNET, None) is None


def test_without_the_package_the_extra_is_named(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules is what Python itself keeps for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "lpips", None)
    x = images()
    with pytest.raises(UndefinedError, match=r"lpips cannot be imported .*meddenoise\[perceptual\]"):
        lpips(x, x, at(trunk))


@pytest.mark.parametrize(
    ("x", "protocol", "why"),
    [
        (images(side=63), RANGE, "at least 64 x 64"),
        (images() * np.nan, RANGE, "finite pixels"),
        (images(), Protocol(), "no data range"),
    ],
)
def test_images_without_a_value_are_told_apart(
    x: NDArray[np.float64], protocol: Protocol, why: str, trunk: Path
) -> None:
    with pytest.raises(UndefinedError, match=why):
        lpips(x, x, replace(protocol, networks=trunk))


def test_fid_is_not_made_up_from_few_images_nor_without_packages_or_weights(tmp_path: Path) -> None:
    few, many = images(5, 8), np.zeros((FEWEST, 8, 8))
    with pytest.raises(UndefinedError, match="needs 2048 images"):
        fid(few, many, at(tmp_path))
    with pytest.raises(UndefinedError, match="no data range"):
        fid(many, many, Protocol(networks=tmp_path))
    with pytest.raises(UndefinedError, match=f"{INCEPTION} are not in"):
        fid(many, many, at(tmp_path))


def test_lpips_is_0_for_the_same_image_and_grows_with_the_noise(trunk: Path) -> None:
    pytest.importorskip("lpips", reason="the extra `perceptual`", exc_type=(ImportError, RuntimeError))
    x = images(3)
    noise = np.random.default_rng(1).normal(0, 1, x.shape)
    values = [lpips(x + sigma * noise, x, at(trunk)) for sigma in (0, 5, 20)]
    assert values[0] == 0 < values[1] < values[2]


def test_damaged_weights_are_named(trunk: Path) -> None:
    pytest.importorskip("lpips", reason="the extra `perceptual`", exc_type=(ImportError, RuntimeError))
    (trunk / ALEXNET).write_bytes(b"no weights")
    with pytest.raises(UndefinedError, match=f"{ALEXNET} cannot be read"):
        lpips(images(), images(), at(trunk))


@pytest.fixture
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in the form of torch-fidelity's file."""
    shelf = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3",
        reason="the extra `perceptual`",
        exc_type=(ImportError, RuntimeError),
    )
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(shelf.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        made = shelf.FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path="none")
    torch.save(made.state_dict(), tmp_path / INCEPTION)
    return tmp_path


def test_fid_is_0_for_equal_sets_and_grows_with_the_noise(
    inception: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "FEWEST", 12)
    x = images(12)
    noise = np.random.default_rng(1).normal(0, 1, x.shape)
    values = [fid(x + sigma * noise, x, at(inception)) for sigma in (0, 10, 60)]
    assert values[0] == pytest.approx(0, abs=1e-3)
    assert values[0] < values[1] < values[2]


def test_weights_that_would_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    monkeypatch.setattr(perceptual, "FEWEST", 1)
    monkeypatch.setattr(perceptual, "_package", lambda name: None)
    torch.save(Hostile(), tmp_path / INCEPTION)
    with pytest.raises(UndefinedError, match=f"{INCEPTION} cannot be read"):
        fid(images(), images(), at(tmp_path))
    assert not (tmp_path / "ran").exists()
