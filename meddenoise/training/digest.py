"""The text that names all that changes a result of training: compared where a run is gone on with."""

import re
from pathlib import Path

from meddenoise.errors import TrainingError


def describe(**values: object) -> str:
    """A digest text, one line a value."""
    return "\n".join(f"{name} = {value}" for name, value in values.items())


def precision_of(digest: str) -> str | None:
    """The precision a digest text names; None for one that leaves the choice to the device, or has none."""
    found = re.search(r"^precision = (bf16|fp32)$", digest, re.MULTILINE)
    return found and found[1]


def with_precision(digest: str, precision: str) -> str:
    """A digest text with `precision` where it leaves the choice to the device."""
    return re.sub(r"^precision = auto$", f"precision = {precision}", digest, flags=re.MULTILINE)


def refuse_change(path: Path, before: str, now: str) -> None:
    """Raises TrainingError, naming the difference, where a digest is not the one of the run in `path`."""
    if before == now:
        return
    old, new = before.splitlines(), now.splitlines()
    changed = [f"{a!r} became {b!r}" for a, b in zip(old, new, strict=False) if a != b]
    difference = "; ".join(changed[:3]) or "lines were added or removed"
    raise TrainingError(
        f"{path} was trained with another recipe ({difference}): "
        "give the same recipe, another output folder, or --no-resume."
    )
