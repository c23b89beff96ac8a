"""Results find their references by name, whatever was done to them."""

from pathlib import Path

import numpy as np
import pytest

from meddenoise.io import discover, write
from meddenoise.io.own import MARKS
from meddenoise.io.pairing import pair_items
from meddenoise.series import Geometry, Series


def save(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (1, 16, 16), np.uint8)
    one = (np.ones(1), np.zeros(1))
    write(Series(pixels, *one, (0.0, 255.0), Geometry(known=False), "png", path, ()), path, format="png")


@pytest.mark.parametrize("mark", MARKS.values())
def test_a_result_belongs_to_the_file_of_its_name_without_the_mark(mark: str, tmp_path: Path) -> None:
    names = ("knee", "hip", "shoulder")
    for name in names:
        save(tmp_path / "results" / f"{name}{mark}.png")
        save(tmp_path / "references" / f"{name}.png")
    results, references = (discover([tmp_path / part]).items for part in ("results", "references"))
    # the other way round: what is left to order alone would be wrong
    partners = pair_items(results, references[::-1], "--ref")
    assert [item.path.stem for item in partners] == [item.path.stem.removesuffix(mark) for item in results]
    assert sorted(item.path.stem for item in partners) == sorted(names)
