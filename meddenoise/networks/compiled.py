"""The body of a one-pass network, compiled for the CPU by OpenVINO (extra `openvino`)."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meddenoise.errors import MeddenoiseError, first_line
from meddenoise.networks.noise_unet import NoiseUNet

_CONVERTER = "openvino.tools.ovc"
_importing = threading.Lock()


class CompilationError(MeddenoiseError):
    """A network that OpenVINO cannot compile or load; torch runs it all the same."""


@lru_cache
def openvino_version() -> str | None:
    """The version of OpenVINO that is installed, without importing it; None where there is none."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


def import_openvino() -> ModuleType:
    """OpenVINO without its converter of models, which sends a message to its maker as it is imported.

    Raises CompilationError where it is missing or broken.
    """
    with _importing, _translated("imported"):
        if "openvino" in sys.modules or _CONVERTER in sys.modules:
            return import_module("openvino")
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
        try:
            return import_module("openvino")
        finally:
            del sys.modules[_CONVERTER]


def processor() -> str:
    """The processor that OpenVINO compiles for, and what it is quick in. Raises CompilationError."""
    openvino = import_openvino()
    with _translated("started"):
        names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
        return " ".join(str(openvino.Core().get_property("CPU", name)) for name in names)


def compile_body(network: NoiseUNet) -> bytes:
    """The compiled body of `network`, as `CompiledBody` loads it. Raises CompilationError."""
    openvino = import_openvino()
    with _translated("used to compile the network"):
        model = openvino.Core().compile_model(_graph(network), "CPU", _settings(1, 1))
        return bytes(model.export_model().getvalue())


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Errors of OpenVINO, which are of many types, as CompilationError."""
    try:
        yield
    except Exception as error:
        raise CompilationError(f"OpenVINO cannot be {what} ({first_line(error)}).") from error


class CompiledBody:
    """Features [B, C, H, W] to the residual [B, u^2, H, W], float32: a `NoiseUNet.body`; safe for threads.

    Callers with one torch thread are workers with a plane each, and get one stream of one thread; others
    get all threads for their plane. Both give the same bits.
    """

    def __init__(self, blob: bytes) -> None:
        """`blob` is of `compile_body`. Raises CompilationError where this OpenVINO cannot load it."""
        self._blob = blob
        self._threads = torch.get_num_threads()
        self._idle: dict[bool, list[Any]] = {}
        self._models: dict[bool, Any] = {}
        self._loading = threading.Lock()
        self._model(alone=True)

    def __call__(self, features: Tensor) -> Tensor:
        """The body's result. Raises RuntimeError where there is not enough memory."""
        alone = torch.get_num_threads() == 1
        model = self._model(alone)
        idle = self._idle[alone]
        request = idle.pop() if idle else model.create_infer_request()
        given: NDArray[np.float32] = features.contiguous().numpy()
        made = request.infer([given], share_inputs=True, share_outputs=True)[0]
        result = torch.from_numpy(made.copy())
        idle.append(request)
        return result

    def _model(self, alone: bool) -> Any:
        with self._loading:
            if alone not in self._models:
                settings = _settings(self._threads if alone else 1, self._threads)
                openvino = import_openvino()
                with _translated("used to load the network"):
                    self._models[alone] = openvino.Core().import_model(self._blob, "CPU", settings)
                self._idle[alone] = []
            return self._models[alone]


def _settings(streams: int, threads: int) -> dict[str, object]:
    """Full precision, so many planes at a time and so many threads in all."""
    return {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}


def _graph(network: NoiseUNet) -> Any:
    """`Trunk.mix` and the tail as an OpenVINO model of any number and size of planes."""
    openvino, ops = import_openvino(), import_module("openvino.opset13")
    given = ops.parameter([-1, network.tail.in_channels, -1, -1], np.float32)
    features, skips = given, []
    for blocks, down in zip(network.encoder, network.down, strict=False):
        features = _stage(ops, features, blocks)
        skips.append(features)
        features = _convolve(ops, features, down)
    features = _stage(ops, features, network.encoder[-1])
    for level in reversed(range(len(skips))):
        upward = ops.add(_convolve(ops, features, network.up[level]), skips[level])
        features = _stage(ops, upward, network.decoder[level])
    return openvino.Model([_convolve(ops, features, network.tail)], [given])


def _stage(ops: Any, features: Any, blocks: nn.Module) -> Any:
    for block in blocks.children():
        inner = ops.relu(_convolve(ops, features, block.first))
        features = ops.add(features, _convolve(ops, inner, block.second))
    return features


def _convolve(ops: Any, features: Any, layer: Any) -> Any:
    """One convolution, or transposed convolution, with its bias."""
    kernel = ops.constant(np.ascontiguousarray(layer.weight.detach().float().numpy()))
    bias = ops.constant(layer.bias.detach().float().numpy().reshape(1, -1, 1, 1))
    strides, padding, dilations = (list(part) for part in (layer.stride, layer.padding, layer.dilation))
    if isinstance(layer, nn.ConvTranspose2d):
        made = ops.convolution_backprop_data(
            features, kernel, strides, pads_begin=padding, pads_end=padding, dilations=dilations
        )
    else:
        made = ops.convolution(features, kernel, strides, padding, padding, dilations)
    return ops.add(made, bias)
