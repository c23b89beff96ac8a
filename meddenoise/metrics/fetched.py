"""Weights of published networks that metrics use: in a folder that is given, in torch's cache, or fetched."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from meddenoise.metrics import UndefinedError

ALEXNET = "alexnet-owt-7be5be79.pth"
"""AlexNet of torchvision; the layers LPIPS puts on top are in its package."""
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""InceptionV3 of torch-fidelity, converted from TensorFlow."""
SOURCES = {
    ALEXNET: f"https://download.pytorch.org/models/{ALEXNET}",
    INCEPTION: f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}",
}
PATIENCE_S = 30.0
"""A server that is silent for so long is given up."""


def find(name: str, folder: Path | None) -> Path | None:
    """The file in `folder`, None: in torch's cache; None where it is not there."""
    path = (_cache() if folder is None else folder) / name
    return path if path.is_file() else None


def fetch(name: str) -> Path:
    """The file of SOURCES, put into torch's cache once its digest is that in its name.

    Raises UndefinedError where it cannot be had.
    """
    path, url = _cache() / name, SOURCES[name]
    digest = path.stem.rpartition("-")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patience():
            torch.hub.download_url_to_file(url, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise UndefinedError(
            f"{url} could not be fetched ({str(error).strip() or type(error).__name__}): "
            "fetch it yourself and name its folder"
        ) from error
    return path


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


@contextmanager
def _patience() -> Iterator[None]:
    """torch sets no limit of its own, and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
