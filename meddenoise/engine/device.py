"""Choice of a device that works, its quick precision, and an allocator that keeps memory."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from meddenoise.errors import UsageError, first_line
from meddenoise.methods import CompilingMethod, Method, Sampling
from meddenoise.networks.compiled import openvino_version

Precision = Literal["fp32", "bf16"]
Backend = Literal["torch", "openvino"]

LEAST_PIXELS = 16 * 512 * 512
"""Of a series that OpenVINO is started for: with fewer, starting takes longer than it saves."""

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
    backend: Backend = "torch"
    """Runtime of the networks that can be compiled."""

    @property
    def label(self) -> str:
        """The device for people, with the back end where it is not torch."""
        return f"{self} with OpenVINO" if self.backend == "openvino" else str(self)

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
    device, reason = _find_auto() if name == "auto" else (_find_named(name), "as --device says")
    given: Precision = "bf16" if precision == "bf16" else "fp32"
    chosen = quick_precision(device) if precision == "auto" else given
    return Device(device, chosen, reason, _choose_backend(device, chosen))


def fit(device: Device, method: Method, sampling: Sampling, pixels: int | None = None) -> Device:
    """`device` with the back end that can run `method`, and is worth it for so many pixels."""
    compiles = isinstance(method, CompilingMethod) and method.compiles(sampling)
    is_worth_it = pixels is None or pixels >= LEAST_PIXELS
    return device if compiles and is_worth_it else replace(device, backend="torch")


def quick_precision(device: torch.device) -> Precision:
    """bf16 where `device` computes in it, fp32 where it would only imitate it, many times slower."""
    return "bf16" if _is_quick_in_bf16(device) else "fp32"


def _choose_backend(device: torch.device, precision: Precision) -> Backend:
    """OpenVINO, where it is installed, on processors that are slow in bf16."""
    is_slow = device.type == "cpu" and precision == "fp32" and not _is_quick_in_bf16(device)
    return "openvino" if is_slow and openvino_version() is not None else "torch"


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


def give_back_memory() -> None:
    """Hand freed memory back to the system, which `keep_freed_memory` else lets grow by what lies scattered.

    A run over thousands of small files grew by 20 MB in a thousand. Does nothing where there is no glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """True for the errors that mean: this did not fit into memory.

    torch has a type of its own for GPUs; its CPU allocator and the Apple back end raise a bare RuntimeError
    that only its message tells from any other.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    messages = ("std::bad_alloc", "DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")
    return type(error) is RuntimeError and any(message in str(error) for message in messages)


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
