"""Denoise CT, MR, X-ray and fluoroscopy studies, in the same format, with the evidence."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meddenoise.version import __version__

if TYPE_CHECKING:
    from meddenoise.evaluation import evaluate
    from meddenoise.io import read, write
    from meddenoise.methods import METHODS
    from meddenoise.pipeline.denoise import denoise_series as denoise
    from meddenoise.pipeline.options import Options

__all__ = ["METHODS", "Options", "__version__", "denoise", "evaluate", "read", "write"]

_HOMES = {
    "METHODS": "meddenoise.methods:METHODS",
    "Options": "meddenoise.pipeline.options:Options",
    "denoise": "meddenoise.pipeline.denoise:denoise_series",
    "evaluate": "meddenoise.evaluation:evaluate",
    "read": "meddenoise.io:read",
    "write": "meddenoise.io:write",
}
"""Where the public names live: imported when first used, so that importing meddenoise costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
