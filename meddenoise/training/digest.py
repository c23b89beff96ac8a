"""The text that names all that changes a result of training: compared where a run is gone on with."""

import hashlib
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import TrainingError

OF_IMAGES = ("images", "content", "radii", "like", "device")
"""Values that other images change: their number and content, and what is measured in them."""


class Named(Protocol):
    """An image that says where it came from."""

    @property
    def plane(self) -> NDArray[np.float32]:
        """Pixels to train on."""

    @property
    def source(self) -> str:
        """The data row it belongs to."""

    @property
    def group(self) -> str:
        """Its file, below the data folder."""

    @property
    def content(self) -> int:
        """The `checksum` of what is stored there."""


def checksum(*stored: NDArray[Any]) -> int:
    """A number that other values than those change."""
    number = 0
    for values in stored:
        number = zlib.crc32(np.ascontiguousarray(values).data, number)
    return number


def name_images(images: Sequence[Named]) -> dict[str, object]:
    """The number and the content of images, for a digest: the same wherever their folder lies."""
    parts = (f"{image.source} {image.group} {image.plane.shape} {image.content}" for image in images)
    named = hashlib.sha256("\n".join(parts).encode(errors="surrogateescape"))
    return {"images": len(images), "content": named.hexdigest()[:16]}


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
    old, new = _values(before), _values(now)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    unknown = "content" in new and "content" not in old
    if unknown or ("content" in changed and set(changed) <= set(OF_IMAGES)):
        older = ", or one of an older version, which did not note its images" if unknown else ""
        raise TrainingError(
            f"{path}: the folder given with -o holds a training on other images{older}: give another folder, "
            "or remove that one to start again."
        )
    both = [f"{old[name]!r} became {new[name]!r}" for name in changed if name in old and name in new]
    difference = "; ".join(both[:3]) or "lines were added or removed"
    raise TrainingError(
        f"{path} was trained with another recipe ({difference}): "
        "give the same recipe, another output folder, or --no-resume."
    )


def _values(digest: str) -> dict[str, str]:
    """The parts of a digest text by name; a value may have several lines."""
    parts = re.split(r"^(?=\w+ = )", digest, flags=re.MULTILINE)
    return {part.partition(" = ")[0]: part.rstrip("\n") for part in parts if part}
