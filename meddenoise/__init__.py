"""Denoise CT, MR, X-ray and fluoroscopy studies, in the same format, with the evidence."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meddenoise.version import __version__

if TYPE_CHECKING:
    from meddenoise.errors import (
        CorruptError,
        DenoisingWarning,
        InputError,
        MeddenoiseError,
        NotAnImageError,
        NothingReadableError,
        OutputError,
        TrainingError,
        UnsupportedError,
        UsageError,
        WeightsError,
    )
    from meddenoise.evaluation import evaluate
    from meddenoise.io import read, write
    from meddenoise.io.memory import as_series
    from meddenoise.methods import METHODS
    from meddenoise.pipeline.images import denoise
    from meddenoise.pipeline.options import Options

__all__ = [
    "METHODS",
    "CorruptError",
    "DenoisingWarning",
    "InputError",
    "MeddenoiseError",
    "NotAnImageError",
    "NothingReadableError",
    "Options",
    "OutputError",
    "TrainingError",
    "UnsupportedError",
    "UsageError",
    "WeightsError",
    "__version__",
    "as_series",
    "denoise",
    "evaluate",
    "read",
    "write",
]

_HOMES = {
    "METHODS": "meddenoise.methods",
    "Options": "meddenoise.pipeline.options",
    "as_series": "meddenoise.io.memory",
    "denoise": "meddenoise.pipeline.images",
    "evaluate": "meddenoise.evaluation",
    "read": "meddenoise.io",
    "write": "meddenoise.io",
    **dict.fromkeys((name for name in __all__ if name.endswith(("Error", "Warning"))), "meddenoise.errors"),
}
"""Modules of the public names: imported when first used, so that importing meddenoise costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
