"""Lesion survival of a result on the disk: its method runs again on its input with discs in it."""

from dataclasses import dataclass, replace
from pathlib import Path

from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine.device import choose_device
from meddenoise.errors import MeddenoiseError
from meddenoise.io.layout import stem
from meddenoise.io.modality import take
from meddenoise.methods import Sampling, Setup
from meddenoise.methods.choice import choose
from meddenoise.noise import Noise
from meddenoise.normalize import fit_window
from meddenoise.report import REPORT, Row, read_report
from meddenoise.series import Series
from meddenoise.trust import Values
from meddenoise.trust.advice import Tried
from meddenoise.trust.series import Run, with_lesions

LEVELS = 4
"""Folders above a result that its report is looked for in."""


@dataclass(frozen=True, slots=True)
class Lesions:
    """Discs are wanted; `method` made the result where no report beside it says which did."""

    method: str | None = None


def lesions_again(measured: Values, pair: tuple[Series, Series], noise: Noise, wanted: Lesions) -> Values:
    """The same with lesion survival, by the method, weights, mode and seed that the report tells.

    `pair` is the noisy series and the result. Strength, steps and other settings are the method's own. Where
    it cannot run, a note says why.
    """
    noisy, result = pair
    row = row_of(result)
    name = wanted.method or (row.method if row else None)
    if name is None:
        return _without(
            measured, f"no report next to {result.path} names the method that made it: give --method NAME"
        )
    try:
        run = rebuild(name, row if row is not None and row.method == name else None, noisy, noise)
        return with_lesions(measured, noisy, noise, run)
    except MeddenoiseError as error:
        return _without(measured, str(error).rstrip("."))


def rebuild(name: str, row: Row | None, noisy: Series, noise: Noise) -> Run:
    """The method as it ran before. Raises UsageError and WeightsError as `choose`."""
    seen = take(noisy).seen
    weights = row.weights["name"] if row is not None and row.weights else None
    choice = choose(name, weights, seen.modality)
    device = choose_device() if choice.method.uses_weights else choose_device("cpu", "fp32")
    sampling = Sampling("diffusion" if row is not None and row.mode == "diffusion" else None)
    setup = Setup(
        noise.middle,
        seen.modality,
        checkpoint=choice.checkpoint,
        sampling=sampling,
        window=fit_window(seen),
        planes=noise,
    )
    seed = 0 if row is None else row.seed
    return Run(Engine(choice.method, setup, EngineOptions(device, seed=seed)), noise, Tried(name))


def row_of(result: Series) -> Row | None:
    """Row of a result in the report next to it, or above its folder; None if there is no report."""
    first = (result.files or (result.path,))[0]
    for path in (
        first.with_name(f"{stem(first)}-report.json"),
        *(folder / REPORT for folder in list(first.parents)[:LEVELS]),
    ):
        report = read_report(path)
        rows = () if report is None else report.series
        mine = [row for row in rows if Path(row.output).name in (first.name, first.parent.name)]
        if len(mine) == 1:
            return mine[0]
    return None


def _without(measured: Values, why: str) -> Values:
    notes = (*measured.notes, f"lesion survival was not measured: {why}.")
    return replace(measured, values=measured.values | {"lesion_survival": None}, notes=notes)
