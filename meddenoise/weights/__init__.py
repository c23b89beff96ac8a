"""Checkpoints by name, path or address: where the file of each lies (bundled, cached, on the Hub)."""

import os
from dataclasses import dataclass
from pathlib import Path

from meddenoise.errors import WeightsError, unknown_name
from meddenoise.weights.checkpoint import Checkpoint, load_checkpoint, read_metadata
from meddenoise.weights.hub import SCHEME, HubFile, fetch, find_cached, forget
from meddenoise.weights.manifest import OTHER, WeightsRow, best_for, choose, choose_any, published

__all__ = [
    "OTHER",
    "Located",
    "WeightsRow",
    "best_for",
    "choose",
    "choose_any",
    "load",
    "locate",
    "locate_local",
    "published",
    "pull",
    "verify",
]

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


@dataclass(frozen=True, slots=True)
class Located:
    """A checkpoint's file on this machine, the SHA-256 it must have (None: unknown) and its row, if any."""

    path: Path
    sha256: str | None
    row: WeightsRow | None


def locate(spec: str) -> Located:
    """Place of the checkpoint NAME, PATH or hf://OWNER/REPO/FILE[@REV], fetched from the Hub if need be.

    A name of the manifest wins over a file of that name (write ./NAME for the file). The file is not read.
    Raises UsageError for a name that does not exist, WeightsError where the file cannot be had.
    """
    return locate_local(spec) or Located(*_fetch(spec))


def locate_local(spec: str) -> Located | None:
    """`locate` without touching the network: None where the file would have to be fetched."""
    if spec.startswith(SCHEME):
        cached = find_cached(HubFile.parse(spec))
        return Located(cached, None, None) if cached else None
    row = published().get(spec)
    if row is None:
        return Located(_existing_path(spec), None, None)
    bundled = CHECKPOINTS / row.file
    if row.source == "bundled" and not bundled.is_file():
        raise WeightsError(
            f"the file of checkpoint {row.name!r} ({row.file}) is missing: reinstall meddenoise."
        )
    if bundled.is_file():
        return Located(bundled, row.sha256, row)
    cached = find_cached(row.source) if isinstance(row.source, HubFile) else None
    return Located(cached, row.sha256, row) if cached else None


def load(spec: str) -> Checkpoint:
    """The checkpoint NAME, PATH or hf://OWNER/REPO/FILE[@REV], every byte of it checked.

    Raises as `locate` and `load_checkpoint`.
    """
    found = locate(spec)
    return load_checkpoint(found.path, sha256=found.sha256)


def verify(spec: str) -> Located | None:
    """The file on this machine after a full check of its bytes; None where it was not fetched yet.

    Raises UsageError and WeightsError as `locate` and `load_checkpoint`.
    """
    found = locate_local(spec)
    if found is not None:
        read_metadata(found.path, sha256=found.sha256)
    return found


def pull(spec: str) -> Located:
    """The checkpoint on this machine, checked; a damaged cached file is replaced, an hf:// one updated.

    Raises UsageError and WeightsError as `locate` and `load_checkpoint`.
    """
    try:
        found = None if spec.startswith(SCHEME) else verify(spec)
    except WeightsError:
        source = _source(spec)
        cached = find_cached(source) if source else None
        if cached is None:
            raise
        forget(cached)
        found = None
    if found is None:
        found = Located(*_fetch(spec))
        read_metadata(found.path, sha256=found.sha256)
    return found


def _existing_path(spec: str) -> Path:
    path = Path(spec)
    if path.exists():
        return path
    if {"/", os.sep} & set(spec) or path.suffix == ".safetensors":
        raise WeightsError(f"{spec} does not exist: give the path of a .safetensors checkpoint.")
    raise unknown_name("checkpoint", spec, published())


def _source(spec: str) -> HubFile | None:
    """Address of `spec` on the Hub; None for bundled checkpoints and paths."""
    if spec.startswith(SCHEME):
        return HubFile.parse(spec)
    row = published().get(spec)
    return row.source if row and isinstance(row.source, HubFile) else None


def _fetch(spec: str) -> tuple[Path, str | None, WeightsRow | None]:
    row = published().get(spec)
    sha256 = row.sha256 if row else None
    source = _source(spec)
    assert source is not None  # bundled files and paths are found locally or refused there
    return fetch(source, sha256), sha256, row
