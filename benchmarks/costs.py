"""Costs of a run other than its time: floating-point operations, start-up, memory."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

EMPTY_APP = """
import rich.console, rich.table, rich.progress, typer
app = typer.Typer()
@app.callback()
def main() -> None: ...
@app.command()
def nothing() -> None: ...
app()
"""
"""The least that a Typer program with Rich can cost."""
STARTS = 7
FIRST_PLANE = """
import os, sys, threading, time
from meddenoise.cli.main import run
def stop_at_the_network():
    while not hasattr(sys.modules.get("meddenoise.pipeline.plan"), "Plan"):
        time.sleep(0.005)
    sys.modules["meddenoise.pipeline.plan"].Engine.run = lambda *arguments: os._exit(0)
threading.Thread(target=stop_at_the_network, daemon=True).start()
sys.argv[0] = "meddenoise"
run()
"""
"""meddenoise until the first plane is given to the network."""


def count_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of convolutions and matrix products in one call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def startup_seconds() -> dict[str, float]:
    """Median seconds of `meddenoise --help`, of an empty program with the same libraries, and their ratio."""
    commands = {
        "meddenoise --help": [sys.executable, "-m", "meddenoise", "--help"],
        "empty Typer app": [sys.executable, "-c", EMPTY_APP, "--help"],
    }
    return _in_turns(commands)


def first_plane_seconds(image: Path) -> dict[str, float]:
    """Median seconds until one image is at the network, of `import torch`, and their ratio."""
    arguments = ["denoise", str(image), "-o", str(image.with_name("result.dcm")), "--no-report", "-q"]
    commands = {
        "meddenoise, up to the first plane": [sys.executable, "-c", FIRST_PLANE, *arguments],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    return _in_turns(commands)


def _in_turns(commands: dict[str, list[str]]) -> dict[str, float]:
    """Median seconds of two commands and the median ratio of the first to the second.

    In turns, so that a change of the machine's load meets both; the first round fills the caches, that of
    compiled modules too, as pip fills it for a program that is installed.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for turn in range(STARTS + 1):
            for name, command in commands.items():
                started = perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                if turn:
                    times[name].append(perf_counter() - started)
    ratios = [one / other for one, other in zip(*times.values(), strict=True)]
    return {**{name: median(values) for name, values in times.items()}, "ratio": median(ratios)}


def peak_memory(command: Sequence[str]) -> int:
    """Largest resident size in bytes that a command reaches (Linux, macOS).

    Raises RuntimeError with the end of its output where it fails.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        messages = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {messages[-500:].decode(errors='replace')}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_volume(path: Path, shape: tuple[int, int, int]) -> int:
    """Write a noisy int16 NIfTI volume of `shape` [Z, Y, X]; returns the bytes of its pixels."""
    import nibabel

    planes, height, width = shape
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    disc = 1000 * (np.hypot(y - height / 2, x - width / 2) < 0.4 * height)
    volume = np.empty((width, height, planes), np.int16)
    for n in range(planes):
        volume[:, :, n] = (disc + rng.normal(0, 20, disc.shape)).T
    make: Callable[..., Any] = nibabel.Nifti1Image
    nibabel.save(make(volume, np.diag([0.7, 0.7, 1.0, 1.0])), path)
    return volume.nbytes
