"""Choice of a device that works, its quick precision, and an allocator that keeps memory."""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from meddenoise.errors import UsageError, first_line

Precision = Literal["fp32", "bf16"]

# malloc.h of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Device:
    """A device that answered a test, the precision to use on it, and one sentence on why this one."""

    device: torch.device
    precision: Precision
    reason: str

    def __str__(self) -> str:
        return str(self.device)


@lru_cache
def choose_device(name: str = "auto", precision: str = "auto") -> Device:
    """The device `name` (auto, cpu, cuda, cuda:N, mps) and the precision (auto, fp32, bf16) to run in.

    `auto` takes a GPU on which a small operation really works, else the CPU, and says why.

    Raises UsageError for a name that is unknown or a device that does not work here.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise UsageError(f"--precision is {precision!r}: give auto, fp32 or bf16.")
    device, reason = (
        _find_auto() if name == "auto" else (_find_named(name), "if the method or --device asks for it")
    )
    given: Precision = "bf16" if precision == "bf16" else "fp32"
    return Device(device, quick_precision(device) if precision == "auto" else given, reason)


def quick_precision(device: torch.device) -> Precision:
    """bf16 where `device` computes in it, fp32 where it would only imitate it, many times slower."""
    return "bf16" if _is_quick_in_bf16(device) else "fp32"


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 1 GiB for the next slice instead of faulting them in again.

    Network activations of 8-32 MiB are above malloc's default thresholds, so every slice pays for fresh
    pages: 45 ms instead of 27 ms for 512 x 512 pixels. Does nothing where the C library has no mallopt.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def _find_auto() -> tuple[torch.device, str]:
    failures = []
    for kind, available in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not available:
            continue
        device = torch.device(kind)
        failure = _why_not(device)
        if failure is None:
            return device, f"{_describe(device)} works"
        failures.append(f"{kind} does not work ({failure})")
    return torch.device("cpu"), "; ".join(failures) or "no GPU that torch can use"


def _find_named(name: str) -> torch.device:
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"--device is {name!r}: give auto, cpu, cuda, cuda:N or mps.")
    device = torch.device(name)
    failure = _why_not(device)
    if failure is not None:
        raise UsageError(f"--device {name} does not work here ({failure}): use --device auto or cpu.")
    return device


def _why_not(device: torch.device) -> str | None:
    """None where a small convolution on `device` gives the right sum, else what went wrong."""
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    try:
        image = torch.ones(1, 1, 8, 8, device=device)
        result = torch.nn.functional.conv2d(image, torch.ones(1, 1, 3, 3, device=device)).sum().item()
    # Drivers fail in as many types as there are back ends; any failure means: not this device.
    except Exception as error:
        return first_line(error)
    return None if result == 324 else f"a test sum came out as {result}, not 324"


def _describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the Apple GPU"


@lru_cache
def _is_quick_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_bf16()


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True where the kernel lists bf16 instructions; False where there is no such list."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
