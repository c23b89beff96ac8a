"""Choice of method and checkpoint for a series, from the options and its modality."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from meddenoise import methods, weights
from meddenoise.errors import UsageError, WeightsError, unknown_name
from meddenoise.weights.checkpoint import Checkpoint

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """A method and the checkpoint it runs with, None for methods that learn nothing."""

    method: methods.Method
    weights: str | None = None
    checkpoint: Checkpoint | None = None
    warnings: tuple[str, ...] = ()


def choose(method: str, weights_spec: str | None, modality: str, is_cine: bool = False) -> Choice:
    """The method of that name and its checkpoint for a DICOM `modality` ("" where unknown).

    `auto` takes what the checkpoint asks for, or without one the best of the manifest for the modality, of
    methods that know more than white noise, and in a cine alone of those that live by neighbouring frames.

    Raises UsageError for names that do not exist or do not belong together, WeightsError for a checkpoint
    that is missing, damaged or refused.
    """
    if method == AUTO:
        rows = methods.rows().items()
        general = [name for name, row in rows if not row.white_only and (is_cine or not row.temporal)]
        spec = weights_spec or weights.best_for(modality, general).name
        checkpoint = _load(spec)
        return Choice(
            methods.get(checkpoint.metadata.method), spec, checkpoint, _foreign(checkpoint, spec, modality)
        )
    chosen = methods.get(method)
    if not chosen.uses_weights:
        if weights_spec is not None:
            raise UsageError(f"the method {method!r} uses no weights: leave out --weights.")
        return Choice(chosen)
    return choose_weights(chosen, weights_spec, modality, methods.rows()[method].shares)


def choose_weights(
    chosen: methods.Method, weights_spec: str | None, modality: str, shares: tuple[str, ...] = ()
) -> Choice:
    """`chosen` with the checkpoint of that name, or the best of its own, or of the methods in `shares`.

    One that was not trained for the modality is better than none, and comes with a warning.
    Raises as `choose`.
    """
    spec = weights_spec or _best_row(chosen.name, modality, shares).name
    checkpoint = _load(spec)
    if checkpoint.metadata.method not in (chosen.name, *shares):
        raise UsageError(
            f"the checkpoint {spec} is for the method {checkpoint.metadata.method!r}, not {chosen.name!r}: "
            "leave out --weights, or choose others."
        )
    return Choice(chosen, spec, checkpoint, _foreign(checkpoint, spec, modality))


def _best_row(method: str, modality: str, shares: tuple[str, ...]) -> weights.WeightsRow:
    try:
        return weights.choose(method, modality, shares)
    except WeightsError:
        return weights.choose_any(method, shares)


def check_names(method: str, weights_spec: str | None) -> None:
    """Raises UsageError for a method or a checkpoint that does not exist, WeightsError for a damaged one.

    Neither is loaded, and nothing is fetched.
    """
    table = methods.rows()
    if method != AUTO and method not in table:
        raise unknown_name("method", method, [AUTO, *table])
    # a filter refuses all weights, sound or not
    if weights_spec is not None and (method == AUTO or table[method].family != "classical"):
        weights.verify(weights_spec)


def _load(spec: str) -> Checkpoint:
    """The checkpoint, read and checked once for all series of a run; again when its file changes."""
    path = Path(spec)
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else (0, 0)
    return _load_once(spec, stamp)


@lru_cache(maxsize=4)
def _load_once(spec: str, stamp: tuple[int, int]) -> Checkpoint:
    return weights.load(spec)


def _foreign(checkpoint: Checkpoint, spec: str, modality: str) -> tuple[str, ...]:
    """A warning where the checkpoint was not trained for the modality, or nobody knows whether it was."""
    trained = checkpoint.metadata.modalities
    if not trained or modality in trained or weights.OTHER in trained:
        return ()
    instead = f"not on {modality}" if modality else "and the modality of this image is not known"
    return (
        f"the checkpoint {spec} was trained on {', '.join(trained)}, {instead}: "
        "look at the result before you rely on it.",
    )
