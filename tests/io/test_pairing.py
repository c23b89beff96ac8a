"""Results find their references by name, whatever was done to them, and planes theirs by their place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import InputError, UsageError
from meddenoise.io import discover, write
from meddenoise.io.own import MARKS
from meddenoise.io.pairing import align_planes, align_series, follow, pair_items
from meddenoise.series import Geometry, Series
from tests.plain import series

PLAIN = Geometry((2.5, 0.5, 0.5))


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


AXES = {
    "axial": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "sagittal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "oblique": ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0)),
}
shapes = settings(max_examples=40, deadline=None)


def stack(count: int, geometry: Geometry = PLAIN, **facts: Any) -> Series:
    """Planes whose pixels are their index."""
    pixels = np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, 4, 6), np.float32)
    return series(pixels, geometry=geometry, slope=2 + np.arange(float(count)), **facts)


def moved(geometry: Geometry, *steps: float) -> Geometry:
    """A geometry whose first voxel is so many millimetres along planes, rows and columns."""
    way = sum(step * np.array(axis) for step, axis in zip(steps, geometry.axes, strict=True))
    x, y, z = np.array(geometry.origin_mm) + way
    return replace(geometry, origin_mm=(x, y, z))


@shapes
@given(
    st.sampled_from(sorted(AXES)), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.booleans(),
    st.floats(-0.049, 0.049),
)  # fmt: skip
def test_planes_go_by_their_place_in_the_patient(
    axes: str, count: int, below: int, above: int, turned: bool, off: float
) -> None:
    whole = Geometry((2.5, 0.7, 0.5), (-3.0, 8.0, 40.0), AXES[axes])
    other = stack(below + count + above, whole)
    # the pixel is 0.5 mm wide at its narrowest: a twentieth of that is the same place
    part = moved(whole, 2.5 * below + off * 0.35, 0.0, off * 0.35)
    wanted = below + np.arange(count)
    if turned:
        part = moved(part, 2.5 * (count - 1), 0, 0)
        back = tuple(-value for value in part.axes[0])
        part = replace(part, axes=(back, *part.axes[1:]))
        wanted = wanted[::-1]
    result = stack(count, part)
    assert align_planes(result, other).tolist() == wanted.tolist()
    followed = follow(result, other)
    assert followed.pixels[:, 0, 0].tolist() == wanted.tolist()
    assert followed.slope.tolist() == (2 + wanted).tolist() and followed.exposures == ()
    aligned = align_series(result, other)
    assert np.array_equal(aligned.values[:, 1, 1], wanted * (2.0 + wanted)) and aligned.valid.all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modality": "MR"}, r"differ in modality \(CT and MR\)"),
        ({"unit": ""}, ""),
        ({"modality": ""}, ""),
        ({"unit": "counts"}, r"differ in unit \(HU and counts\)"),
        ({"geometry": Geometry((2.5, 0.5, 0.5011))}, "differ in pixel spacing"),
        ({"geometry": Geometry((2.5, 0.5, 0.5004))}, ""),
        ({"geometry": replace(PLAIN, axes=((0, 0, 1), (0, -1, 0), (1, 0, 0)))}, "differ in orientation"),
        ({"geometry": replace(PLAIN, axes=((0, 0, 1), (-1, 0, 0), (0, 1, 0)))}, "differ in orientation"),
        (
            {"geometry": replace(PLAIN, origin_mm=(0, 0, 0.03))},
            r"differ in place: .* at \(0\.00, 0\.00, 0\.00\) mm, where plane 1",
        ),
        ({"geometry": Geometry((2.4, 0.5, 0.5))}, "where plane 2 of the first"),
        ({"geometry": Geometry((2.4, 0.6, 0.5), known=False)}, ""),
        ({"channels": 3}, "colour channels"),
        ({"pixels": np.zeros((3, 4, 5), np.float32)}, r"differ in matrix \(4 x 6 and 4 x 5\)"),
    ],
)  # fmt: skip
def test_images_of_other_kinds_and_places_are_refused_naming_how(change: dict[str, Any], words: str) -> None:
    facts = {"geometry": Geometry((2.5, 0.5, 0.5)), "modality": "CT", "unit": "HU"}
    result, other = stack(3, **facts), replace(stack(3, **facts), **change)
    if not words:
        assert align_planes(result, other).tolist() == [0, 1, 2]
        return
    with pytest.raises(InputError, match=words):
        align_planes(result, other)


def test_frames_of_a_cine_go_by_order_and_files_by_name_where_there_are_more() -> None:
    far = moved(PLAIN, 50, 0, 0)
    cine = stack(4, frame_time_ms=40.0)
    for one, other in ((cine, cine), (cine, stack(4)), (stack(4), cine)):
        assert align_planes(one, replace(other, geometry=far)).tolist() == [0, 1, 2, 3]
    colour = stack(6, channels=3)
    assert align_planes(colour, replace(colour, geometry=far)).tolist() == list(range(6))
    with pytest.raises(InputError, match="have 4 and 3 planes"):
        align_planes(cine, stack(3, frame_time_ms=40.0))
    names = [Path(f"{name}.png") for name in "abcde"]
    unplaced = Geometry(known=False)
    other = stack(5, unplaced, files=tuple(names))
    result = stack(3, unplaced, files=(Path("x/d_denoised.png"), Path("x/a.png"), Path("x/c.png")))
    assert align_planes(result, other).tolist() == [3, 0, 2]
    for wrong in (result.files[:2], (Path("f.png"), *result.files[1:])):
        with pytest.raises(InputError, match="have 3 and 5 planes"):
            align_planes(replace(result, files=wrong), other)


def test_a_result_without_a_partner_and_two_that_nothing_tells_apart_are_wrong_usage(tmp_path: Path) -> None:
    for name in ("results/a", "results/b", "references/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / f"{name}.png")
    results, references = (discover([tmp_path / part]).items for part in ("results", "references"))
    with pytest.raises(UsageError, match=r"b\.png has no partner under --noisy"):
        pair_items(results, references, "--noisy")
    assert pair_items(results[1:], references, "--noisy") == list(references), "the only one left"
