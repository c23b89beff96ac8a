"""LPIPS and FID: distances between the features of networks trained on photographs.

Both need packages of the extra `perceptual`, and weights that are fetched on first use, or lie in the folder
`protocol.networks`. Grey is repeated in three channels.
"""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.fetched import ALEXNET, INCEPTION, fetch, find
from meddenoise.series import Numbers

SMALLEST = 64
"""Side in pixels below which AlexNet's last features are no images any more."""
FEWEST = 2048
"""Images below which the covariance of the 2048 features is singular, and the distance biased upwards."""


def lpips(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """LPIPS v0.1 with AlexNet, mean over planes [N, Y, X]: 0 for identical images, more is worse.

    The reference's least value becomes -1, and protocol.data_range above it 1; what lies beyond is cut.
    Raises UndefinedError without the packages, the weights or a data range, and for planes below SMALLEST or
    with values that are not finite.
    Source: Zhang, Isola, Efros, Shechtman, Wang 2018 (arXiv 1801.03924).
    """
    if not protocol.data_range:
        raise UndefinedError("there is no data range: the reference is constant or empty")
    if min(result.shape[1:]) < SMALLEST:
        raise UndefinedError(f"LPIPS needs planes of at least {SMALLEST} x {SMALLEST} pixels")
    if not (np.isfinite(result).all() and np.isfinite(reference).all()):
        raise UndefinedError("LPIPS needs finite pixels")
    network = _alexnet(_weights(ALEXNET, "lpips", protocol.networks))
    low = float(reference.min())
    pairs = zip(_scaled(result, low, protocol), _scaled(reference, low, protocol), strict=True)
    with torch.inference_mode():
        values = [float(network(one[None], two[None])) for one, two in pairs]
    return float(np.mean(values))


def fid(results: Numbers, references: Numbers, protocol: Protocol) -> float:
    """Frechet distance of InceptionV3 features between two sets of images [N, Y, X]: 0 for equal sets.

    Scaled as for `lpips`, then to 8 bits. Raises UndefinedError without the packages, the weights or a data
    range, and for fewer than FEWEST images.
    Source: Heusel et al. 2017 (arXiv 1706.08500).
    """
    if not protocol.data_range:
        raise UndefinedError("there is no data range: the reference is constant or empty")
    if min(len(results), len(references)) < FEWEST:
        raise UndefinedError(f"FID needs {FEWEST} images of each kind: of fewer it is biased")
    weights = _weights(INCEPTION, "torch_fidelity", protocol.networks)
    _read(weights)  # torch-fidelity would run what a pickle says
    distance: Any = _package("torchmetrics.image.fid").FrechetInceptionDistance(
        feature=2048, feature_extractor_weights_path=str(weights)
    )
    low = float(references.min())
    for images, real in ((references, True), (results, False)):
        for image in _scaled(images, low, protocol):
            distance.update((127.5 * (image + 1)).round().to(torch.uint8)[None], real=real)
    return float(distance.compute())


def _weights(name: str, package: str, folder: Path | None) -> Path:
    """The weights, fetched only where `package`, which uses them, is there."""
    path = find(name, folder)
    if path is None and folder is not None:
        raise UndefinedError(f"the weights {name} are not in {folder}")
    _package(package)
    return path or fetch(name)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision of another torch raises RuntimeError
        raise UndefinedError(
            f"the package {name.partition('.')[0]} cannot be imported ({error}): "
            "pip install 'meddenoise[perceptual]'"
        ) from error


@lru_cache(maxsize=1)
def _alexnet(path: Path) -> Any:
    """LPIPS on the trunk of `path`, a file of torchvision."""
    network = _package("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    tensors = _read(path)
    try:
        for part in (getattr(network.net, f"slice{number}") for number in range(1, 6)):
            for name, layer in part.named_children():  # named by their place in the trunk
                start = f"features.{name}."
                own = {key.removeprefix(start): v for key, v in tensors.items() if key.startswith(start)}
                layer.load_state_dict(own)
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, and nothing else: no code in it runs."""
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise UnpicklingError("it holds other things than tensors")
    except (OSError, RuntimeError, UnpicklingError, EOFError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return tensors


def _unreadable(path: Path, error: Exception) -> UndefinedError:
    return UndefinedError(f"the weights {path} cannot be read ({error}): fetch them again")


def _scaled(images: Numbers, low: float, protocol: Protocol) -> Tensor:
    """[N, 3, Y, X] in [-1, 1]."""
    assert protocol.data_range is not None
    unit = 2 * (images.astype(np.float32) - np.float32(low)) / np.float32(protocol.data_range) - 1
    return torch.from_numpy(np.clip(unit, -1, 1))[:, None].expand(-1, 3, -1, -1)
