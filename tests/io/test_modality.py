"""Modality of a series: its file's statement, its user's, hints in its header, its values."""

from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meddenoise.errors import UsageError
from meddenoise.io import read
from meddenoise.io.modality import CODES, check_code, likely_modality, same_kind, take
from meddenoise.phantom import Phantom, make_phantom
from meddenoise.phantom.acquire import to_series
from tests.io_samples import RNG, tiff
from tests.plain import FLAT, series


@cache
def made(kind: str) -> Phantom:
    return make_phantom(kind, size=128, planes=1)


def phantom(kind: str, noise: float = 0.0) -> np.ndarray[Any, Any]:
    """Planes of a phantom with Gaussian noise, of magnitudes for MR."""
    truth = made(kind).truth
    noisy = truth + noise * RNG(0).standard_normal(truth.shape)
    if kind == "mr":
        noisy = np.hypot(noisy, noise * RNG(1).standard_normal(truth.shape))
    return np.asarray(noisy, np.float32)


def test_what_the_file_states_wins_and_another_word_is_left_out_with_a_warning() -> None:
    taken = take(series(modality="PT"), "MR")
    assert (taken.seen.modality, taken.why) == ("PT", "stated in the file")
    assert taken.warnings == ("--modality MR is ignored: the file states PT.",)
    assert take(series(modality="PT"), "pt").warnings == ()


@pytest.mark.parametrize("stated", ["", "OT"])
def test_what_the_user_states_comes_next_and_is_written(stated: str) -> None:
    taken = take(series(modality=stated), "mr")
    assert taken.series.modality == taken.seen.modality == "MR"
    assert taken.why == "given with --modality"


def test_a_guess_is_for_the_work_and_never_written() -> None:
    taken = take(series(phantom("ct")))
    assert (taken.series.modality, taken.series.unit) == ("", "")
    assert (taken.seen.modality, taken.seen.unit) == ("CT", "HU")
    assert taken.why.startswith("guessed from its values")
    unknown = take(series())
    assert (unknown.seen.modality, unknown.why) == ("", "not known: --modality states it")


@pytest.mark.parametrize("noise", [0, 30, 100])
@pytest.mark.parametrize("offset", [0, 32768])
def test_ct_is_known_by_air_and_soft_tissue(noise: float, offset: float) -> None:
    taken = take(series(phantom("ct", noise) + np.float32(offset)))
    assert (taken.seen.modality, taken.seen.unit) == ("CT", "" if offset else "HU")


def test_padding_does_not_hide_a_ct_and_a_phase_image_is_none() -> None:
    padded = phantom("ct")
    padded[:, :20] = -3024
    assert likely_modality(series(padded)) == "CT"
    phase = RNG(2).integers(-4096, 4096, (1, 128, 128), np.int16)
    assert likely_modality(series(phase)) == ""


def test_mr_is_known_by_its_dark_border_and_projections_are_not_taken_for_it() -> None:
    assert likely_modality(series(phantom("mr", 40))) == "MR"
    for kind in ("xray", "fluoro"):
        assert likely_modality(series(phantom(kind))) == ""
    assert likely_modality(series(phantom("mr", 40), inverted=True)) == ""


def test_a_display_window_of_hu_tells_ct_where_no_air_is_seen() -> None:
    soft = RNG(3).normal(40, 30, (1, 64, 64)).astype(np.float32)
    assert likely_modality(series(soft, shown=(-160.0, 240.0))) == "CT"
    assert likely_modality(series(soft, shown=(0.0, 240.0))) == ""
    assert likely_modality(series(soft + 5000, shown=(-160.0, 240.0))) == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("TE=2.9;Time=153030.000;phase=1", "MR"),
        ("TE=0;Time=153030.000", ""),
        ("3D MPRAGE sag", "MR"),
        ("Modality: XA", "XA"),
        ("modality=RF left", "RF"),
        ("Chest X-ray, AP", "DX"),
        ("coronary angiogram 3", "XA"),
        ("PET/CT", ""),
        ("T1 map and CT", ""),
        ("sent to us by the CRUDE director", ""),
        ("Modality: ZZ", ""),
        ("", ""),
    ],
)
def test_words_of_the_header_tell_it_where_they_agree(text: str, code: str) -> None:
    assert likely_modality(series(hint=text)) == code


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_a_known_code_or_none(text: str) -> None:
    assert likely_modality(series(hint=text)) in ("", *CODES)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["u1", "i2", "f4"]))
@settings(max_examples=60, deadline=None)
def test_any_image_is_taken_for_something_or_nothing(seed: int, height: int, width: int, kind: str) -> None:
    raw = RNG(seed).integers(0, 256, height * width * np.dtype(kind).itemsize, np.uint8)
    pixels = raw.view(kind).reshape(1, height, width)
    assert likely_modality(series(pixels)) in ("", "CT", "MR")


@given(st.text(max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_code_is_one_of_the_table_or_one_sentence_with_all_of_them(text: str) -> None:
    try:
        assert check_code(text) in CODES
    except UsageError as error:
        assert str(error).startswith("there is no modality ")
        assert str(error).endswith(f"valid are {', '.join(sorted(CODES))}.")


@pytest.mark.parametrize(("text", "near"), [("MRI", "MR"), ("xray", "DX"), ("pet", "PT"), ("C T", "CT")])
def test_the_nearest_code_is_named(text: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        check_code(text)


def test_names_of_one_kind_do_not_contradict_each_other() -> None:
    assert same_kind("XA", "RF")
    assert same_kind("CR", "DX")
    assert same_kind("", "MR")
    assert not same_kind("MR", "CT")


def test_every_format_without_a_modality_gives_its_texts(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(FLAT[0][..., None], np.eye(4))
    image.header["descrip"], image.header["intent_name"] = b"TE=4.6", b"name"
    image.header["cal_min"], image.header["cal_max"] = -160, 240
    nibabel.save(image, tmp_path / "a.nii.gz")
    info = PngInfo()
    info.add_text("Description", "FLAIR axial")
    info.add_itxt("Title", "brain")
    Image.fromarray(FLAT[0].astype(np.uint8)).save(tmp_path / "b.png", pnginfo=info)
    tiff(tmp_path / "c.tif", FLAT.astype(np.uint8), description="fluoroscopy run 3")
    found = {path.suffix: read(path)[0] for path in tmp_path.iterdir()}
    assert {name: likely_modality(one) for name, one in found.items()} == {
        ".gz": "MR", ".png": "MR", ".tif": "RF",
    }  # fmt: skip
    assert found[".gz"].shown == (-160.0, 240.0)
    assert "Title: brain" in found[".png"].hint
    assert "TE=4.6" not in take(found[".png"]).why
    assert take(found[".gz"]).why == "guessed from 'TE=4.6' in its header"


def test_phantoms_as_series_state_theirs() -> None:
    assert take(to_series(made("mr"), made("mr").truth, "clean")).why == "stated in the file"
