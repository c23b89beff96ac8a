"""Views of a series on the page: planes with their reasons, regions in the patient, frames to play."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.report.page.clip import draw_clip
from meddenoise.report.page.drawing import draw_series
from meddenoise.report.page.pictures import Fineness
from meddenoise.report.page.regions import find_detail, find_patient, find_regions
from meddenoise.report.page.shown import Shown
from meddenoise.report.page.views import choose_views
from meddenoise.trust.removal import Removal
from tests.page_samples import data_of, series, shown

RNG = np.random.default_rng
SIZE = 256
Y, X = np.mgrid[:SIZE, :SIZE]
BODY = np.hypot(Y - 128, X - 128) < 80
AIR, TISSUE = -1000.0, 40.0


def body(noise: float = 20.0, seed: int = 0) -> np.ndarray:
    """A round patient in air, with noise throughout."""
    values = np.where(BODY, TISSUE, AIR) + RNG(seed).normal(0, noise, BODY.shape)
    return values.astype(np.float32)


@pytest.mark.parametrize("inverted", [False, True])
def test_the_patient_is_found_in_air_with_lungs_and_all(inverted: bool) -> None:
    plane = body()
    plane[110:150, 90:120] = AIR + 150
    found = find_patient(-plane if inverted else plane, np.ones_like(BODY), inverted=inverted)
    assert np.mean(found == BODY) > 0.97
    assert found[130, 105]


def test_an_image_that_fills_its_frame_is_patient_throughout_but_for_the_collimator() -> None:
    plane = RNG(0).normal(500, 30, BODY.shape).astype(np.float32)
    assert find_patient(plane, np.ones_like(BODY)).all()
    plane[:, :40] = 0
    found = find_patient(plane, np.ones_like(BODY))
    assert not found[:, :40].any() and found[:, 40:].mean() > 0.99


@pytest.mark.parametrize("negative", [False, True])
def test_air_beside_a_chest_that_touches_the_border_is_no_patient(negative: bool) -> None:
    neck = np.abs(X - 128) < 40
    chest = (np.abs(X - 128) < 100) & (Y > 60) | neck
    shade = 3000.0 + 2000 * np.cos((X - 128) / 50) + 8 * Y
    plane = np.where(chest, shade, 200) + RNG(0).normal(0, 30, chest.shape)
    plane[10:30, 215:225] = 4000  # a letter of lead
    values = (-plane if negative else plane).astype(np.float32)
    found = find_patient(values, np.ones_like(chest))
    assert np.mean(found == chest) > 0.97
    assert not found[10:30, 215:225].any() and found[250, 60:190].all()


def test_a_frame_with_a_shaded_dark_end_and_a_bright_one_is_patient_throughout() -> None:
    plane = 2000 - 7.0 * np.hypot(Y, X) + RNG(0).normal(0, 30, BODY.shape)
    assert find_patient(plane.astype(np.float32), np.ones_like(BODY)).all()


def test_regions_lie_in_the_patient_though_the_air_holds_more_structure() -> None:
    residual = RNG(1).normal(0, 20, BODY.shape).astype(np.float32)
    residual[10:60, 10:14] += 200
    residual[120:150, 130:133] += 60
    patient = find_patient(body(), np.ones_like(BODY))
    found = find_regions(residual, patient, 0)
    assert found
    for one in found:
        assert BODY[one.top : one.top + one.side, one.left : one.left + one.side].mean() >= 0.7
    best = found[0]
    assert best.top < 150 and best.top + best.side > 120 and best.left <= 131 < best.left + best.side


def test_the_region_of_most_detail_is_where_the_image_is_fine() -> None:
    plane = body(2.0)
    plane[100:140, 100:140] += 60.0 * (X[100:140, 100:140] % 4 < 2)
    patient = find_patient(plane, np.ones_like(BODY))
    (one,) = find_detail(plane, patient, 3, [])
    assert one.plane == 3 and one.why == "most detail in the image"
    assert abs(one.top + one.side / 2 - 120) < 32 and abs(one.left + one.side / 2 - 120) < 32
    assert find_detail(np.zeros_like(plane), patient, 0, []) == []


def test_the_plane_with_most_noise_left_and_the_first_frame_of_a_cine_are_shown() -> None:
    pairs = tuple((20.0, 9.0 if n == 6 else 2.0) for n in range(8))
    sample = replace(shown(), removal=Removal(by_plane=pairs))
    planes = dict(choose_views(sample).planes)
    assert planes[4].startswith("the middle") and "most noise left" in planes[6]
    assert "the first" not in planes.get(0, "")
    cine = {"modality": "XA", "frame_time_ms": 40.0}
    sample = replace(shown(**cine), removal=Removal(by_plane=pairs))
    assert dict(choose_views(sample).planes)[0].startswith("the first")


def test_a_cine_is_played_from_its_first_frame_and_slices_are_not() -> None:
    sample = shown(modality="XA", frame_time_ms=40.0)
    about, pictures = draw_clip(sample, Fineness(0.0, 1.0))
    assert about == {"ms": 40.0, "count": 8, "frames": 8}
    assert [one["index"] for one in pictures] == list(range(8)) and pictures[0]["label"] == "Frame 1 of 8"
    assert all({"before", "after"} <= set(one) for one in pictures)
    assert draw_clip(shown(), Fineness(0.0, 1.0)) == (None, [])


def test_where_many_series_share_the_page_each_has_its_planes_and_a_cine_plays() -> None:
    pairs = tuple((20.0, 9.0 if n == 6 else 2.0) for n in range(8))
    cine = {"modality": "XA", "frame_time_ms": 40.0}
    sample = replace(shown(**cine), removal=Removal(by_plane=pairs), brief=True)
    assert {0, 4, 6} <= dict(choose_views(sample).planes).keys()
    large = series(np.zeros((40, 512, 512)), **cine)
    drawn = data_of(draw_series(Shown(large, large, brief=True)))
    listed = [one for one in drawn["pictures"] if "why" in one and "region" not in one]
    assert [(one["index"], one["w"]) for one in listed][:2] == [(20, 512), (0, 256)]
    assert drawn["clip"] == {"ms": 40.0, "count": 24, "frames": 40}
    assert max(one["w"] for one in drawn["pictures"] if one.get("clip")) <= 192


def test_a_long_cine_of_large_frames_is_played_in_part_and_smaller() -> None:
    large = series(np.zeros((40, 1024, 1024)), modality="XA", frame_time_ms=0.0)
    about, pictures = draw_clip(Shown(large, large), Fineness(0.0, 1.0))
    assert about == {"ms": round(1000 / 15, 2), "count": 24, "frames": 40}
    assert (pictures[0]["w"], pictures[0]["h"], pictures[0]["factor"]) == (512, 512, 2)
