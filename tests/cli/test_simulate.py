"""`meddenoise simulate`: what it refuses before anything is written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import UnsupportedError, UsageError
from meddenoise.noise.insert import insert_noise
from meddenoise.noise.profile.file import write_profile
from tests.commands import run
from tests.io_samples import RNG, ct_slice, nifti, png, save
from tests.plain import profile, series


@pytest.mark.parametrize("name", ["y.png", "y.nii.gz", "y.tif"])
def test_a_name_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    source = save(ct_slice(), tmp_path / "x.dcm")
    done = run("simulate", source, tmp_path / name, "--noise", "gaussian:5", code=2)
    assert "but dicom is written" in done.stderr
    assert list(tmp_path.iterdir()) == [source]
    run("simulate", source, tmp_path / "y.dcm", "--noise", "gaussian:5")


def test_every_suffix_of_a_format_will_do(tmp_path: Path) -> None:
    source = nifti(tmp_path / "x.nii", RNG(0).integers(0, 99, (2, 16, 16), np.int16))
    run("simulate", source, tmp_path / "y.nii.gz", "--noise", "gaussian:5")
    assert "has a name for png, but nifti" in run(
        "simulate", source, tmp_path / "y.png", "--noise", "gaussian:5", code=2
    ).stderr  # fmt: skip


def test_rician_noise_is_refused_on_hu(tmp_path: Path) -> None:
    source = save(ct_slice(), tmp_path / "x.dcm")
    done = run("simulate", source, tmp_path / "y.dcm", "--noise", "rician:5", code=1)
    assert "x.dcm is in HU: Rician noise (rician:5)" in done.stderr
    assert not (tmp_path / "y.dcm").exists()


def test_rician_noise_is_refused_on_signed_images_and_taken_on_magnitudes(tmp_path: Path) -> None:
    signed = RNG(1).normal(0, 100, (1, 32, 32)).astype(np.float32)
    with pytest.raises(UnsupportedError, match=r"has values below 0 .* never negative"):
        insert_noise(series(signed), ["rician:5"], 0)
    ringing = np.abs(signed) + 5
    ringing[0, 0, 0] = -1
    assert (insert_noise(series(ringing), ["rician:5"], 0).series.pixels != ringing).any()


@given(st.integers(0, 2**16), st.floats(0.01, 0.5))
@settings(max_examples=25, deadline=None)
def test_any_image_with_a_share_of_clearly_negative_pixels_is_refused(seed: int, share: float) -> None:
    pixels = RNG(seed).uniform(10, 100, (1, 32, 32)).astype(np.float32)
    pixels[RNG(seed + 1).uniform(size=pixels.shape) < share] *= -1
    if (pixels < 0).sum() < 2:
        return
    with pytest.raises(UnsupportedError, match="Rician"):
        insert_noise(series(pixels), ["rician:3"], 0)


def test_a_profile_of_rician_noise_or_another_modality_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    write_profile(profile(modality="MR", model="rician"), path)
    pixels = RNG(1).normal(0, 100, (1, 32, 32)).astype(np.float32)
    with pytest.raises(UnsupportedError, match="never negative"):
        insert_noise(series(pixels), [str(path)], 0)
    with pytest.raises(UsageError, match=r"p.toml is of MR, the image is XA"):
        insert_noise(replace(series(np.abs(pixels)), modality="XA"), [str(path)], 0)


def test_a_png_stays_a_png(tmp_path: Path) -> None:
    source = png(tmp_path / "x.png", RNG(2).integers(0, 255, (16, 16), np.uint8))
    run("simulate", source, tmp_path / "y.png", "--noise", "rician:5")
    assert (tmp_path / "y.png").read_bytes()[:4] == b"\x89PNG"
