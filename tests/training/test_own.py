"""The noise of references themselves: never more than the finest wavelet band allows, limits by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meddenoise.training.own import finest_level, own_noise
from meddenoise.training.recipe import DataRow
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.spectra import directional_bands, white_spectrum


def smooth(seed: int = 0, size: int = 192) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((size, size)), 12)
    return (120 + 40 * field / field.std()).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_white_noise_on_smooth_anatomy_is_measured(sigma):
    noisy = smooth() + np.random.default_rng(1).normal(0, sigma, (192, 192)).astype(np.float32)
    assert own_noise(noisy, "DX").sigma == pytest.approx(sigma, rel=0.15)
    assert finest_level(noisy) == pytest.approx(sigma, rel=0.1)


def test_texture_without_fine_detail_is_not_believed_to_be_noise():
    texture = gaussian_filter(np.random.default_rng(2).standard_normal((192, 192)), 2.0)
    plane = (smooth() + 8 * texture / texture.std()).astype(np.float32)
    assert own_noise(plane, "DX").sigma < 2


def test_a_limit_by_hand_holds():
    noisy = smooth() + np.random.default_rng(1).normal(0, 5, (192, 192)).astype(np.float32)
    assert own_noise(noisy, "DX", most=1.5).sigma == 1.5


def test_the_first_pattern_of_the_recipe_that_fits_a_file_counts():
    row = DataRow(limits=(("mr/special*", 0.5), ("mr/*", 4.0)))
    assert [row.most_own(name) for name in ("mr/special.nii", "mr/other.nii", "ct/a")] == [0.5, 4.0, np.inf]
    shipped = read_recipe("direct").data[-1]
    assert shipped.most_own("mr/nifti/colin27_ch2_T1_average.nii.gz") == 0.5


def test_a_directional_spectrum_tells_x_from_y():
    assert directional_bands(white_spectrum((64, 64))) == pytest.approx([1.0] * 16)
    fx = np.fft.rfftfreq(64)[None]
    along_x = np.broadcast_to(np.exp(-20 * fx**2), (64, 33)).astype(np.float32)
    bands = np.array(directional_bands(along_x)).reshape(8, 2)
    assert np.all(bands[4:, 0] < bands[4:, 1]), "noise smoothed along x is weak at high |fx|"
