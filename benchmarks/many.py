"""Thousands of small files, some of them bad: what is done, named and used on the way, and how quickly.

    python benchmarks/many.py [--files 10000] [--bad 0.01] [--size 64] [--method direct] [--jobs N]
        [--cluster local:N] [--device auto] [--keep FOLDER] [--json FILE] [--plot FILE]

Phantoms (CT, MR, radiographs) are written as single DICOM files, each a series with its own noise; bad ones
are cut short, state bits that cannot be, or are half a PNG. Memory and open files are those of this process,
sampled as series are finished and drawn by --plot; their slopes are fitted from the second third on. The own
rate of the network is that of one long series, without reading, judging, writing and reporting. Exits with 1
where a good file was not done or a bad one not named.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import os
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from benchmarks.peers import as_series
from benchmarks.script import run as run_script
from meddenoise.batch import Outcome, Request, run
from meddenoise.batch.workers import Orders
from meddenoise.io import read
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.phantom.acquire import dose_noise
from meddenoise.phantom.study import write_study
from meddenoise.pipeline import prepare
from meddenoise.pipeline.options import Options
from meddenoise.report import REPORT, Failure, Row
from meddenoise.report.page.plot import HEIGHT, WIDTH, Axes, PlotCurve, draw_plot

KINDS = ("ct", "mr", "xray")
PLANES = 4
IN_FOLDER = 500
LONG = 64
"""Planes of the long series."""
STYLE = (
    "rect{fill:#fff}text{font:12.5px sans-serif;fill:#444}.grid{stroke:#ccc}"
    ".curve{fill:none;stroke:#0b62c4;stroke-width:2}"
)


def main() -> int:
    """Make the files, denoise them, print what it took."""
    arguments = _parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if arguments.keep is None else arguments.keep
        bad = make_files(folder / "in", arguments.files, arguments.bad, arguments.size)
        options = Options(method=arguments.method, device=arguments.device)
        watch = ManyWatch(perf_counter())
        orders = Orders(options=options, jobs=arguments.jobs, cluster=arguments.cluster)
        request = Request(inputs=(folder / "in",), output=folder / "out", orders=orders)
        outcome = run(request, watch)
        seconds = perf_counter() - watch.began
        document = describe(watch, outcome, seconds)
        own = own_rate(folder / "in", options)
        document |= {"network_planes_per_second": own, "rate_to_network": document["files_per_second"] / own}
        document |= {f"report_{end}_mb": _megabytes(folder / "out", end) for end in ("json", "csv", "html")}
    named = {failure.input for failure in watch.failures}
    document["bad_named"] = sum(str(path) in named for path in bad)
    for name, value in document.items():
        print(f"{name.replace('_', ' '):40} {value:.4g}" if value is not None else name)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document | {"samples": watch.samples}, indent=1))
    if arguments.plot is not None:
        arguments.plot.write_text(draw(watch.samples, document), encoding="utf-8")
    done = outcome.written == arguments.files - len(bad) and named == {str(path) for path in bad}
    return 0 if done else 1


def make_files(folder: Path, count: int, share: float, size: int) -> list[Path]:
    """Write `count` files below `folder`, of which that share is bad; the bad ones."""
    rng = np.random.default_rng(0)
    templates = _templates(size)
    every = round(1 / share) if share > 0 else count + 1
    bad: list[Path] = []
    for number in range(count):
        path = folder / f"study{number // IN_FOLDER:03}" / f"{number:05}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = templates[number % len(templates)]
        _renew(dataset, number, rng)
        dataset.save_as(path, enforce_file_format=True)
        if number % every == every // 2:
            bad.append(_spoil(path, len(bad)))
    return bad


def _templates(size: int) -> list[Dataset]:
    """Every plane of one small noisy study of each kind."""
    datasets: list[Dataset] = []
    for kind in KINDS:
        phantom = make_phantom(kind, size=size, planes=PLANES)
        noises = dose_noise(phantom, PHANTOMS[kind].dose)
        with tempfile.TemporaryDirectory() as scratch:
            files = write_study(phantom, noises, Path(scratch), seed=0).files["noisy"]
            datasets += [dcmread(file) for file in files]
    for dataset in datasets:
        dataset.pixel_array  # noqa: B018 (read before its file is gone)
    return datasets


def _renew(dataset: Dataset, number: int, rng: np.random.Generator) -> None:
    """Another series, with a little noise more."""
    values = dataset.pixel_array.astype(np.int32)
    step = max(1, round(0.01 * float(np.ptp(values))))
    limits = np.iinfo(dataset.pixel_array.dtype)
    noisy = np.clip(values + rng.integers(-step, step + 1, values.shape), limits.min, limits.max)
    stored = noisy & ((1 << dataset.BitsStored) - 1) if limits.min == 0 else noisy
    dataset.PixelData = stored.astype(dataset.pixel_array.dtype).tobytes()
    dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.1.{number}"
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _spoil(path: Path, kind: int) -> Path:
    """Make a file bad in one of three ways."""
    whole = path.read_bytes()
    if kind % 3 == 0:
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif kind % 3 == 1:
        dataset = dcmread(path)
        dataset.BitsStored = dataset.BitsAllocated + 1
        dataset.save_as(path)
    else:
        path.unlink()
        path = path.with_suffix(".png")
        path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40\x08\0\0\0\0" + whole[:40])
    return path


@dataclass
class ManyWatch:
    """A listener that samples memory and open files as series are finished."""

    began: float
    samples: list[tuple[int, float, float, int]] = field(default_factory=list)
    """Series finished, seconds, resident MB, open files."""
    failures: list[Failure] = field(default_factory=list)
    done: int = 0

    def found(self, series: int, images: int, skipped: Sequence[Path]) -> None:
        """Say how many."""
        print(f"{series} series, {len(skipped)} files skipped", file=sys.stderr, flush=True)

    def noted(self, text: str) -> None:
        """Pass on."""
        print(text, file=sys.stderr)

    def started(self, device: str) -> None:
        """Pass on."""
        print(f"running on {device}", file=sys.stderr, flush=True)

    def advanced(self, images: float) -> None:
        """Not looked at."""

    def written(self, row: Row) -> None:
        """Sample."""
        self.done += 1
        if self.done % 10 == 0:
            self.samples.append((self.done, perf_counter() - self.began, resident_mb(), open_files()))

    def listed(self, row: Row) -> None:
        """Not looked at."""

    def kept(self, row: Row) -> None:
        """Not met: the output is new."""

    def failed(self, failure: Failure) -> None:
        """Keep."""
        self.failures.append(failure)


def describe(watch: ManyWatch, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """The outcome, and the slopes of memory and open files a thousand files."""
    samples = np.array(watch.samples, dtype=float)
    late = samples[len(samples) // 3 :]
    return {
        "written": outcome.written,
        "failed": outcome.failed,
        "seconds": seconds,
        "files_per_second": outcome.written / seconds,
        "files_per_second_first_third": _rate(samples[: len(samples) // 3]),
        "files_per_second_last_third": _rate(samples[-(len(samples) // 3) :]),
        "resident_mb_at_a_third": late[0, 2],
        "resident_mb_at_the_end": late[-1, 2],
        "mb_per_1000_files": 1000 * _slope(late[:, 0], late[:, 2]),
        "most_open_files": samples[:, 3].max(),
        "open_files_per_1000_files": 1000 * _slope(late[:, 0], late[:, 3]),
    }


def draw(samples: Sequence[tuple[int, float, float, int]], document: dict[str, Any]) -> str:
    """An SVG of memory and open files over the files done, with their slopes."""
    done, _, resident, opened = np.array(samples, dtype=float).T
    plots = (
        ("resident memory", resident, "MB", document["mb_per_1000_files"]),
        ("open files", opened, "", document["open_files_per_1000_files"]),
    )
    parts = []
    for place, (what, values, unit, slope) in enumerate(plots):
        curve = PlotCurve(f"{what}, {slope:+.2g} {unit}".rstrip() + " per 1,000 files", done, values, "after")
        plot = draw_plot([curve], Axes(what, "files done", f"{what}, {unit}".rstrip(", ")))
        parts.append(plot.replace("<svg ", f'<svg y="{place * HEIGHT}" height="{HEIGHT}" ', 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {2 * HEIGHT}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%"/>{"".join(parts)}</svg>\n'
    )


def own_rate(folder: Path, options: Options) -> float:
    """Planes a second of the network in one long series of such planes."""
    (series,) = read(next(path for path in sorted(folder.rglob("*.dcm"))))
    planes = np.repeat(series.values(0, 1), LONG, axis=0)
    one = as_series(planes[0], series.modality)
    plan = prepare(replace(one, pixels=planes, slope=np.ones(LONG), intercept=np.zeros(LONG)), options)
    plan.run()  # the first time is slower
    began = perf_counter()
    plan.run()
    return LONG / (perf_counter() - began)


def resident_mb() -> float:
    """Memory of this process that is in use; where /proc is missing the most that was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def open_files() -> int:
    """Open file descriptors of this process; 0 where /proc is missing."""
    place = Path("/proc/self/fd")
    return len(os.listdir(place)) if place.exists() else 0  # noqa: PTH208


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _rate(samples: NDArray[np.float64]) -> float:
    (first, last) = samples[0], samples[-1]
    return float((last[0] - first[0]) / (last[1] - first[1]))


def _megabytes(folder: Path, ending: str) -> float:
    return (folder / REPORT).with_suffix(f".{ending}").stat().st_size / 1e6


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bad", type=float, default=0.01, help="share of bad files")
    parser.add_argument("--size", type=int, default=64, help="rows and columns")
    parser.add_argument("--method", default="direct")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cluster", help="as of meddenoise denoise")
    parser.add_argument("--keep", type=Path, help="folder to make the files in, and leave them")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="SVG of memory and open files over the files done")
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
