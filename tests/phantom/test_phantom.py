"""Phantoms are exact, repeatable, of the right physics, and valid originals in DICOM."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from meddenoise.errors import OutputError
from meddenoise.io import read
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.phantom.study import check_folder, write_study
from meddenoise.phantom.xray import attenuation, blur, exposure

SIZE = 96


@pytest.fixture(scope="module")
def phantoms():
    """One small phantom of each kind."""
    return {name: make_phantom(name, size=SIZE, planes=3) for name in PHANTOMS}


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_same_seed_draws_the_same_phantom_and_another_seed_another(name, phantoms):
    again = make_phantom(name, size=SIZE, planes=3)
    other = make_phantom(name, size=SIZE, planes=3, seed=1)
    assert np.array_equal(phantoms[name].truth, again.truth)
    assert np.abs(phantoms[name].truth - other.truth).mean() > 1


@pytest.mark.parametrize("name", PHANTOMS)
def test_truth_is_float32_finite_and_fits_its_pixel_format(name, phantoms):
    phantom = phantoms[name]
    low, high = phantom.kind.stored_range
    assert phantom.truth.shape == (3, SIZE, SIZE)
    assert phantom.truth.dtype == np.float32
    assert np.isfinite(phantom.truth).all()
    assert low <= phantom.truth.min() < phantom.truth.max() <= high
    clean = to_series(phantom, phantom.truth, "clean")
    assert np.abs(clean.values(0, 3) - phantom.truth).max() <= 0.501


@pytest.mark.parametrize("name", PHANTOMS)
def test_size_changes_the_pixels_and_not_the_patient(name):
    coarse = make_phantom(name, size=64, planes=1).truth[0]
    fine = make_phantom(name, size=128, planes=1).truth[0].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.985


def test_ct_holds_air_lung_fat_soft_tissue_contrast_bone_and_metal():
    truth = make_phantom("ct", size=192, planes=9).truth
    for low, high in ((-1001, -990), (-900, -700), (-120, -80), (40, 80), (100, 125), (290, 330), (600, 950)):
        assert np.mean((truth > low) & (truth < high)) > 2e-3, (low, high)
    assert truth.max() > 2000
    assert (truth[:, :4] == -1000).all()


def test_ct_neighbouring_slices_fit_each_other():
    truth = make_phantom("ct", size=SIZE, planes=9).truth
    near = np.abs(truth[4] - truth[5]).mean()
    far = np.abs(truth[0] - truth[8]).mean()
    assert 0 < near < 0.5 * far


def test_mr_has_air_skull_fluid_grey_and_white_matter_in_order():
    truth = make_phantom("mr", size=192, planes=1).truth[0]
    middle = truth[60:132, 60:132]
    assert truth[:4].max() < 15
    assert np.mean(truth < 120) > 0.2
    assert np.percentile(middle, 75) > 800
    assert middle.min() < 330


def test_the_radiograph_and_its_exposure_are_inverse_and_bone_is_white(phantoms):
    truth = phantoms["xray"].truth
    assert attenuation(exposure(truth)) == pytest.approx(truth, abs=0.05)
    spine, lung = truth[0, 50:70, 46:50].mean(), truth[0, 40:50, 26:32].mean()
    bare = truth[0, :6, :6].mean()
    assert bare < lung < spine
    assert bare == pytest.approx(500, abs=15)


def test_the_scintillator_spreads_light_and_loses_none():
    point = np.zeros((64, 64), np.float32)
    point[32, 32] = 1000
    spread = blur(point)
    assert spread.sum() == pytest.approx(1000, rel=1e-3)
    assert spread.max() < 500
    assert blur(np.full((1, 40, 40), 7.0, np.float32)) == pytest.approx(7.0)


def test_the_bare_detector_has_the_exposure_1_and_what_is_darker_than_the_log_shows_is_cut():
    assert exposure(np.array([500.0, 2500.0])) == pytest.approx([1.0, np.exp(-1)])
    assert attenuation(np.array([1.0, 1e-5, 1e-9, 0.0])) == pytest.approx(
        [500] + [500 - 2000 * np.log(1e-5)] * 3
    )


def test_the_cine_moves_and_fills_with_contrast(monkeypatch):
    truth = make_phantom("fluoro", size=128, planes=16).truth
    assert np.abs(np.diff(truth, axis=0)).mean(axis=(1, 2)).min() > 0.3
    monkeypatch.setattr("meddenoise.phantom.fluoro._MU_IODINE", 0.0)
    empty = make_phantom("fluoro", size=128, planes=16).truth
    vessels = np.mean(truth < 0.97 * empty, axis=(1, 2))
    assert vessels[-1] > 2 * vessels[0] > 0
    # nothing gets brighter, but for the faint ringing of a transfer function that ends at Nyquist
    assert (truth - empty).max() < 0.005 * (empty - truth).max()


def test_fields_of_view_and_frame_times_are_stated(phantoms):
    for name, phantom in phantoms.items():
        spacing = phantom.geometry.spacing_mm
        assert spacing[1] == spacing[2] == pytest.approx(phantom.kind.field_mm / SIZE)
        series = to_series(phantom, phantom.truth, "clean")
        assert (series.frame_time_ms is not None) == (name == "fluoro")


@pytest.mark.parametrize("name", PHANTOMS)
def test_noise_is_repeatable_and_of_the_stated_level(name, phantoms):
    phantom = phantoms[name]
    noises = dose_noise(phantom)
    noisy, infos = acquire(phantom, noises, seed=4)
    again, _ = acquire(phantom, noises, seed=4)
    other, _ = acquire(phantom, noises, seed=5)
    assert np.array_equal(noisy, again)
    assert not np.array_equal(noisy, other)
    assert infos[0].seed == 4
    error = noisy - phantom.truth
    if name == "xray":
        error = exposure(noisy) - exposure(phantom.truth)
    if name == "mr":
        strong = phantom.truth > 600
        error, sigma = error[strong], infos[0].sigma[strong]
    else:
        sigma = infos[0].sigma
    assert np.sqrt(np.mean(error**2)) == pytest.approx(np.sqrt(np.mean(sigma**2)), rel=0.05)


@pytest.mark.parametrize("name", ["ct", "xray", "fluoro"])
def test_four_times_the_dose_at_least_halves_the_noise(name, phantoms):
    phantom = phantoms[name]
    inside = (slice(None), slice(30, 66), slice(30, 66))
    errors = []
    for dose in (0.5, 2.0):
        noisy, _ = acquire(phantom, dose_noise(phantom, dose), seed=0)
        errors.append(np.std((noisy - phantom.truth)[inside]))
    # the electronic noise of fluoroscopy does not fall with the dose: relative to the signal it falls faster
    assert 1.85 < errors[0] / errors[1] < 2.6


def dicom_checker() -> str:
    found = shutil.which("dciodvfy")
    if found is None:
        pytest.skip("dciodvfy is not installed")
    return found


@pytest.mark.parametrize("name", PHANTOMS)
def test_dicom_studies_pass_dciodvfy(name, phantoms, tmp_path):
    checker = dicom_checker()
    study = write_study(phantoms[name], dose_noise(phantoms[name]), tmp_path, seed=0)
    for file in (study.files["noisy"][-1], study.files["clean"][0]):
        done = subprocess.run([checker, str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stdout + done.stderr
        assert "Warning" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_dicom_study_reads_back_as_it_was_made(name, phantoms, tmp_path):
    phantom = phantoms[name]
    write_study(phantom, dose_noise(phantom), tmp_path, seed=0)
    noisy, clean = read(tmp_path / "noisy"), read(tmp_path / "clean")
    # radiographs are files of their own, yet of one series
    assert len(noisy) == len(clean)
    for one, truth in zip(noisy, clean, strict=True):
        assert one.geometry == truth.geometry
        assert one.modality == phantom.kind.modality
        assert one.geometry.spacing_mm[1] == pytest.approx(phantom.geometry.spacing_mm[1])
        assert one.frame_time_ms == pytest.approx(phantom.kind.frame_ms)
        assert one.unit == phantom.kind.unit
    values = np.concatenate([series.values(0, len(series)) for series in clean])
    assert np.abs(values - phantom.truth).max() <= 0.501
    if name in ("ct", "mr"):
        assert clean[0].geometry.spacing_mm[0] == pytest.approx(3.0)
        assert clean[0].geometry.origin_mm == pytest.approx(phantom.geometry.origin_mm)


def test_another_dose_is_another_series(phantoms, tmp_path):
    phantom = phantoms["ct"]
    first, again = (write_study(phantom, dose_noise(phantom), tmp_path / name, seed=0) for name in "ab")
    other = write_study(phantom, dose_noise(phantom, 0.5), tmp_path / "c", seed=0)
    noisy, clean = (pydicom.dcmread(first.files[part][0]) for part in ("noisy", "clean"))
    assert noisy.StudyInstanceUID == clean.StudyInstanceUID
    assert first.files["noisy"][0].read_bytes() == again.files["noisy"][0].read_bytes()
    assert pydicom.dcmread(other.files["noisy"][0]).SeriesInstanceUID != noisy.SeriesInstanceUID


def test_an_unfinished_study_leaves_no_half_written_file(phantoms, tmp_path, monkeypatch):
    import meddenoise.phantom.dicom as module

    calls = []

    def fail_on_second(stream, dataset, **options):
        calls.append(dataset)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        stream.write(b"x")

    monkeypatch.setattr(module, "dcmwrite", fail_on_second)
    with pytest.raises(OutputError, match="No space left"):
        write_study(phantoms["ct"], dose_noise(phantoms["ct"]), tmp_path / "study", seed=0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_an_earlier_study_is_replaced(phantoms, tmp_path):
    out = tmp_path / "study"
    check_folder(out, overwrite=False)
    write_study(phantoms["ct"], dose_noise(phantoms["ct"]), out, seed=0)
    with pytest.raises(OutputError, match="is not empty"):
        check_folder(out, overwrite=False)
    check_folder(out, overwrite=True)
    single = make_phantom("ct", size=SIZE, planes=1)
    write_study(single, dose_noise(single), out, seed=0)
    assert len(list((out / "noisy").iterdir())) == 1
    foreign = tmp_path / "foreign"
    (foreign / "clean").mkdir(parents=True)
    with pytest.raises(OutputError, match="not a phantom study"):
        check_folder(foreign, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_folder(tmp_path / "file", overwrite=True)
