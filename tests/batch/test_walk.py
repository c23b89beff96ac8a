"""The way of a series: how deep its worker stands when the method is called."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import meddenoise
from meddenoise.batch.workers import Crew
from meddenoise.methods.direct import DirectDenoiser
from tests.commands import run

MOST_FRAMES = 7
"""From the worker to the method, both counted: what a newcomer has to keep in mind."""
HOME = str(Path(meddenoise.__file__).parent)


def frames_from(frame: FrameType | None) -> list[str]:
    """Functions of this package on the stack, the worker first."""
    names: list[str] = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(HOME):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names[::-1]


def test_few_frames_lie_between_the_worker_and_the_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.normal(100, 10, (64, 64)).astype(np.uint8)).save(tmp_path / "scan.png")
    seen: list[list[str]] = []
    denoise = DirectDenoiser.__call__

    def watched(*of: Any, **more: Any) -> Any:
        seen.append(frames_from(sys._getframe(1)))
        return denoise(*of, **more)

    monkeypatch.setattr(DirectDenoiser, "__call__", watched)
    run("denoise", tmp_path / "scan.png", "--method", "direct", "--no-report")
    way = seen[0]  # later calls judge the result
    assert way[0] == f"{Crew.__name__}._do"
    assert len(way) + 1 <= MOST_FRAMES, " > ".join(way)
