"""Share of a run over series during which the network works, and of other work while it does not."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from benchmarks.many import ManyWatch
from meddenoise.batch import Request, run, workers
from meddenoise.batch.workers import Crew, Orders
from meddenoise.engine import Engine
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise
from meddenoise.phantom.study import write_study
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.result import Result

STATIONS = {
    "network": (Engine, "run"),
    "reading": (workers, "read_item"),
    "choosing, noise": (workers, "prepare"),
    "judging": (Result, "judged"),
    "writing": (Crew, "_write"),
    "row, pictures": (Crew, "_account"),
}
"""The work that is timed, the network first: it is part of others too."""


def measure_overlap(series: int, slices: int, size: int, options: Options) -> dict[str, float]:
    """Shares of the wall time of `series` CT series: with the network at work, and of others while it is not.

    From the first call of the network to the end: what comes before is start-up.
    """
    with tempfile.TemporaryDirectory() as scratch, watched() as spans:
        folder = Path(scratch)
        write_series(folder / "in", series, slices, size)
        request = Request(inputs=(folder / "in",), output=folder / "out", orders=Orders(options=options))
        outcome = run(request, ManyWatch(perf_counter()))
        end = perf_counter()
    assert outcome.written == series, f"{outcome.written} of {series} series were written"
    start = min(begin for begin, _ in spans["network"])
    step = (end - start) / 100_000
    busy = {name: _when(times, start, end, step) for name, times in spans.items()}
    network = busy["network"]
    shares = {"network": float(network.mean())}
    for name in STATIONS:
        if name != "network":
            shares[f"{name}, network idle"] = float((busy.get(name, ~network) & ~network).mean())
    others = np.any([times for name, times in busy.items() if name != "network"], axis=0)
    shares["anything else, network idle"] = float((~others & ~network).mean())
    return {"series": series, "slices of each": slices, "seconds": end - start, **shares}


def write_series(folder: Path, count: int, slices: int, size: int) -> None:
    """`count` CT series of the same noisy phantom, under other identifiers."""
    phantom = make_phantom("ct", size=size, planes=slices)
    with tempfile.TemporaryDirectory() as scratch:
        files = write_study(phantom, dose_noise(phantom), Path(scratch), seed=0).files["noisy"]
        for number in range(count):
            (folder / f"{number:03}").mkdir(parents=True)
            for index, file in enumerate(files):
                dataset = dcmread(file)
                dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.2.{number}"
                dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{index}"
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                dataset.save_as(folder / f"{number:03}" / f"{index:04}.dcm", enforce_file_format=True)


@contextmanager
def watched() -> Iterator[dict[str, list[tuple[float, float]]]]:
    """Start and end of each call of STATIONS, in whatever thread."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with ExitStack() as stack:
        for name, (owner, attribute) in STATIONS.items():
            own = getattr(owner, attribute)
            setattr(owner, attribute, _timed(own, spans[name]))
            stack.callback(setattr, owner, attribute, own)
        yield spans


def _timed(own: Callable[..., Any], times: list[tuple[float, float]]) -> Callable[..., Any]:
    lock = Lock()

    def timed(*arguments: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return own(*arguments, **options)
        finally:
            with lock:
                times.append((began, perf_counter()))

    return timed


def _when(times: list[tuple[float, float]], start: float, end: float, step: float) -> NDArray[np.bool_]:
    """For every step from `start` to `end` whether it is in one of these times."""
    change = np.zeros(round((end - start) / step) + 2, np.int64)
    for begin, finish in times:
        low, high = (round((min(max(moment, start), end) - start) / step) for moment in (begin, finish))
        change[low] += 1
        change[high] -= 1
    return np.cumsum(change)[:-2] > 0
