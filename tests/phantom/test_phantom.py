"""Phantoms are exact, repeatable, of the right physics, and valid originals in DICOM."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from meddenoise.errors import OutputError, UsageError
from meddenoise.io import read
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, named_noise, to_series
from meddenoise.phantom.shapes import Plane, Waves, capsule, chord, coverage, ellipsoid, paint, smooth_union
from meddenoise.phantom.study import check_folder, write_study
from meddenoise.phantom.vessels import Branching, cut, grow, thickness
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "ctt"}, "did you mean 'ct'"),
        ({"size": 8}, "32 to 4096"),
        ({"planes": 0}, "1 to"),
        ({"planes": 10**9}, "1 to"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, said):
    arguments = {"name": "ct", **changes}
    with pytest.raises(UsageError, match=said):
        make_phantom(arguments.pop("name"), **arguments)


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


def test_doses_that_make_no_sense_are_refused(phantoms):
    with pytest.raises(UsageError, match="has no dose"):
        dose_noise(phantoms["mr"], 0.5)
    with pytest.raises(UsageError, match=r"0\.001 to 100"):
        dose_noise(phantoms["ct"], 0)


def test_noise_in_words_is_added_in_order(phantoms):
    phantom = phantoms["xray"]
    noises = named_noise(phantom, ["xray:100", "gaussian:20"])
    _, infos = acquire(phantom, noises, seed=0)
    assert [info.applied[0]["noise"] for info in infos] == ["xray", "gaussian"]
    assert noises[0].gain == pytest.approx(float(exposure(phantom.truth).mean()) / 100)


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


def test_identifiers_are_of_one_study_and_the_same_every_time(phantoms, tmp_path):
    phantom = phantoms["ct"]
    noises = dose_noise(phantom)
    first = write_study(phantom, noises, tmp_path / "a", seed=0)
    again = write_study(phantom, noises, tmp_path / "b", seed=0)
    other = write_study(phantom, dose_noise(phantom, 0.5), tmp_path / "c", seed=0)
    noisy, clean = (pydicom.dcmread(first.files[part][0]) for part in ("noisy", "clean"))
    assert noisy.StudyInstanceUID == clean.StudyInstanceUID
    assert noisy.FrameOfReferenceUID == clean.FrameOfReferenceUID
    assert noisy.SeriesInstanceUID != clean.SeriesInstanceUID
    assert noisy.SOPInstanceUID != clean.SOPInstanceUID
    assert first.files["noisy"][0].read_bytes() == again.files["noisy"][0].read_bytes()
    assert pydicom.dcmread(other.files["noisy"][0]).SeriesInstanceUID != noisy.SeriesInstanceUID
    uids = {pydicom.dcmread(file).SOPInstanceUID for part in first.files.values() for file in part}
    assert len(uids) == 6


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


def test_an_edge_covers_its_pixels_by_area():
    plane = Plane(40, 0.5)
    disk = coverage(ellipsoid(*plane.grid(), (0.3, -0.2), (6.0, 6.0)), plane.pixel_mm)
    assert disk.sum() * plane.pixel_mm**2 == pytest.approx(np.pi * 36, rel=0.005)
    oval = coverage(ellipsoid(*plane.grid(), (0, 0), (8.0, 4.0), 30), plane.pixel_mm)
    assert oval.sum() * plane.pixel_mm**2 == pytest.approx(np.pi * 32, rel=0.01)


def test_an_ellipsoid_is_cut_by_the_plane_at_its_height():
    plane = Plane(60, 0.5)
    at_top = ellipsoid(*plane.grid(), (0, 0, 8.0), (10.0, 10.0, 10.0))
    area = coverage(at_top, plane.pixel_mm).sum() * plane.pixel_mm**2
    assert area == pytest.approx(np.pi * 36, rel=0.03)


def test_the_chord_of_a_ball_integrates_to_its_volume():
    plane = Plane(100, 0.25)
    depth = chord(*plane.grid(), (1.0, 0.5), (8.0, 8.0, 8.0))
    assert depth.sum() * plane.pixel_mm**2 == pytest.approx(4 / 3 * np.pi * 512, rel=0.005)


def test_shapes_unite_and_are_painted():
    plane = Plane(40, 0.5)
    x, y = plane.grid()
    rod = capsule(x, y, (-5, 0), (5, 0), 2.0)
    assert coverage(rod, 0.5).sum() * 0.25 == pytest.approx(40 + 4 * np.pi, rel=0.01)
    both = smooth_union(rod, ellipsoid(x, y, (0, 4), (3.0, 3.0)), 1.0)
    assert np.all(both <= np.minimum(rod, ellipsoid(x, y, (0, 4), (3.0, 3.0))) + 1e-5)
    image = np.zeros((40, 40), np.float32)
    paint(image, coverage(rod, 0.5), 7.0)
    assert image[20, 20] == 7.0
    assert image[0, 0] == 0.0


def test_waves_are_smooth_of_variance_one_and_continue_between_planes():
    waves = Waves(12.0, 200, np.random.default_rng(0))
    field = waves.on(Plane(200, 1.0))
    assert field.std() == pytest.approx(1.0, abs=0.15)
    near = waves.on(Plane(200, 1.0, z=0.5))
    assert np.abs(near - field).mean() < 0.4
    crossing = np.abs(np.diff(np.sign(field), axis=1)) > 0
    assert waves.distance(Plane(200, 1.0))[:, 1:][crossing].mean() < 1.0


def test_trees_obey_murray_and_are_seen_in_cut_and_projection():
    branching = Branching(generations=3, step_mm=5, steps=3)
    tree = grow((0, -25, 0), (0, 1, 0), 3.0, branching, np.random.default_rng(0))
    assert tree.radius.max() == 3.0
    assert tree.radius.min() < 2.3
    assert np.allclose(np.linalg.norm(tree.end - tree.start, axis=1), 5)
    plane = Plane(128, 0.5)
    depth = thickness(tree, plane)
    assert 5.0 < depth.max() <= 6.0
    section = cut(tree, plane, 1.0)
    assert section.max() == pytest.approx(1.0)
    assert not cut(tree, Plane(128, 0.5, z=200.0), 1.0).any()
    # what the middle plane cuts is also seen in projection
    assert np.all(depth[section > 0.9] > 0)
