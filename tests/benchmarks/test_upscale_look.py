"""The comparison of `upscale` with bicubic, by eye."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.upscale_look import UpscaleSample, compare, load_samples, psnr


def test_the_sheet_compares_four_planes_of_one_size_of_which_bicubic_beats_nearest() -> None:
    y, x = np.mgrid[:96, :100]
    truth = (100 * np.sin(x / 9) * np.cos(y / 11)).astype(np.float32)
    planes = compare(UpscaleSample("waves", "DX", truth), 4)
    assert {plane.shape for plane in planes.values()} == {(96, 100)}
    assert (planes["image"] == truth).all()
    assert psnr(planes["bicubic"], truth) > psnr(planes["reduced"], truth)
    assert psnr(planes["upscale"], truth) > psnr(planes["reduced"], truth)


def test_samples_are_the_phantoms_or_the_images_named(tmp_path: Path) -> None:
    assert [sample.name for sample in load_samples([])] == ["ct", "mr", "xray"]
    Image.fromarray(np.full((40, 50), 7, np.uint8)).save(tmp_path / "a.png")
    (sample,) = load_samples([tmp_path / "a.png"])
    assert sample.plane.shape == (40, 50) and sample.plane.mean() == pytest.approx(7)
