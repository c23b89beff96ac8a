"""The columns of the truth benchmark: peers given the true noise, and methods run as a user runs them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.peers import GIVEN_MODEL, GIVEN_PEERS, Peer, given_peer, make_columns
from benchmarks.truth_trial import TruthTrial
from meddenoise.io.atomic import staged
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Image
from meddenoise.weights.checkpoint import read_metadata

GIVEN = " given"
"""Ends the name of a column whose method is given the true level."""
CINE_ONLY = ("befoi",)


@dataclass(frozen=True)
class MethodRun:
    """Judged planes of one result, cut to the trial's box, and seconds a plane."""

    planes: list[Image]
    seconds: float


Column = Callable[[TruthTrial], MethodRun]


def choose_columns(
    methods: Sequence[str], weights: dict[str, str], given: bool, options: Options
) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns by name, with one for each checkpoint in `weights`; and peers that cannot run.

    `given` adds a second column to each learned method, in which it is given the true level.
    """
    rows = {name: partial(_columns_of, name, given, options) for name in methods}
    for name, path in weights.items():
        method = read_metadata(Path(path), sha256=None)[0].method
        rows[name] = partial(_learned, name, given, replace(options, method=method, weights=path))
    return make_columns(rows)


def _columns_of(name: str, given: bool, options: Options) -> dict[str, Column]:
    if name in GIVEN_PEERS:
        return {name: peer(given_peer(name))}
    if name == "nlm auto":
        return {name: pipeline(replace(options, method="nlm"), given=False)}
    method, _, quality = name.partition(" ")
    return _learned(name, given, replace(options, method=method, quality=quality or "standard"))


def _learned(name: str, given: bool, options: Options) -> dict[str, Column]:
    columns = {name: pipeline(options, given=False)}
    return columns | {name + GIVEN: pipeline(options, given=True)} if given else columns


def fits(name: str, trial: TruthTrial) -> bool:
    """False where a method has nothing to say: BeFOI outside fluoroscopy, BM3D without a noise model."""
    if name == GIVEN_MODEL:
        return all(case.has_model for case in trial.cases)
    return name.split()[0] not in CINE_ONLY or trial.modality in ("XA", "RF")


def pipeline(options: Options, given: bool) -> Column:
    """Whole series through the program, with its own estimate of the noise or the true level."""

    def run(trial: TruthTrial) -> MethodRun:
        settings = replace(options, sigma=trial.sigma) if given else options
        started = perf_counter()
        results = [denoise_series(series, settings).series for series in trial.series]
        seconds = (perf_counter() - started) / sum(len(series) for series in trial.series)
        planes = [results[which].values(n, n + 1)[0][trial.box] for which, n in trial.judged]
        return MethodRun(planes, seconds)

    return run


def peer(denoise: Peer) -> Column:
    """Plane by plane, given what is true of the noise of each."""

    def run(trial: TruthTrial) -> MethodRun:
        started = perf_counter()
        planes = [denoise(case) for case in trial.cases]
        return MethodRun(planes, (perf_counter() - started) / len(planes))

    return run


class Cache:
    """Results of peers kept in a folder, by everything that goes into them; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str, column: Column, trial: TruthTrial) -> MethodRun:
        """The column's result, from the folder where it is there."""
        if self.folder is None or name not in GIVEN_PEERS:
            return column(trial)
        path = self.folder / f"{_digest(name, trial)}.npz"
        if path.exists():
            with np.load(path) as kept:
                return MethodRun(list(kept["planes"]), float(kept["seconds"]))
        run = column(trial)
        with staged([path]) as staging, staging.file(path) as stream:
            np.savez(stream, planes=np.stack(run.planes), seconds=run.seconds)
        return run


def _digest(name: str, trial: TruthTrial) -> str:
    digest = hashlib.sha256(name.encode())
    for case in trial.cases:
        digest.update(np.ascontiguousarray(case.noisy).tobytes())
        digest.update(repr(case.told).encode())
        if name == GIVEN_MODEL:
            digest.update(b"" if case.nps is None else case.nps.tobytes())
            digest.update(_model_of(case.stabiliser))
    return digest.hexdigest()


def _model_of(stabiliser: object) -> bytes:
    """All values of a stabiliser, its maps included."""
    values = vars(stabiliser).values() if hasattr(stabiliser, "__dict__") else [repr(stabiliser)]
    parts = [value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for value in values]
    return type(stabiliser).__name__.encode() + b"".join(parts)
