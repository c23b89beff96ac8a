"""Noisy images from folders: what is read, what is known of their noise, what is left out and said."""

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

import meddenoise
from meddenoise.errors import NothingReadableError, TrainingError
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.spectrum import coloured_noise, gaussian_amplitude
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise
from meddenoise.phantom.study import write_study
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import load_images
from meddenoise.training.data.noisy import NoisyImage, NoisyReading, NoisySet, NoisySource, load_noisy
from meddenoise.training.recipe import DataRow, Simulated
from meddenoise.training.split import Split
from tests.io_samples import ct_slice, nifti, packaged, png, save

READING = NoisyReading(patch=32, radii=(0, 2, 4))
SIGMA = 12.0


def load(folder: Path, reading: NoisyReading = READING, *rows: DataRow) -> NoisySet:
    return load_noisy(TrainingSet(folder), rows or (DataRow(),), reading, lambda done, total: None)


def everything(found: NoisySet) -> list[NoisyImage]:
    return found.training + found.validation


def scene(seed: int, size: tuple[int, int] = (96, 112)) -> np.ndarray:
    """A smooth picture, 60 to 180."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    fast, slow = rng.uniform(15, 30, 2)
    return 120 + 40 * np.sin(x / fast + seed) * np.cos(y / slow) + 20 * (x > size[1] // 2)


def noisy(
    seed: int, size: tuple[int, int] = (96, 112), sigma: float = SIGMA, kernel: float = 0.0
) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    return scene(seed, size) + sigma * coloured_noise(size, gaussian_amplitude(kernel), rng)


def grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight 8-bit pictures of as many patients, two of them for validation."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["file,split"]
    for number in range(8):
        png(folder / f"p{number}.png", grey(noisy(number)))
        lines.append(f"p{number}.png,{'val' if number > 5 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def test_pictures_come_with_their_noise_and_split_as_listed(pictures: Path) -> None:
    found = load(pictures)
    assert (len(found.training), len(found.validation)) == (6, 2)
    assert {image.group for image in found.validation} == {"p6.png", "p7.png"}
    for image in everything(found):
        brightest = np.percentile(noisy(int(image.group[1])), 99.9)
        assert image.plane.dtype == np.float32 and image.plane.shape == (96, 112)
        assert image.noise.sigma == pytest.approx(SIGMA * 255 / brightest, rel=0.25)
        assert image.sigma().shape == (96, 112)
        assert float(np.sqrt(np.mean(image.sigma() ** 2))) == pytest.approx(image.noise.sigma, rel=1e-3)
        assert image.rho == 0
    assert found.modalities() == ("other",)
    assert found.notes == ["only 6 training images: expect a weak result; add more."]


def test_a_file_with_clean_partners_beside_it_is_never_opened(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = tmp_path / "clean"
    shutil.copytree(pictures, clean)
    opened: list[Path] = []
    real = Path.open

    def watched(self: Path, *arguments: object, **options: object) -> object:
        opened.append(self)
        return real(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", watched)
    load(pictures)
    assert any(path.is_relative_to(pictures) for path in opened)
    assert not any(path.is_relative_to(clean) for path in opened)


def test_one_patient_gives_every_tenth_image_for_validation_and_says_so(tmp_path: Path) -> None:
    volume = np.stack([noisy(n) for n in range(25)]).astype(np.int16)
    nifti(tmp_path / "scan.nii.gz", volume)
    found = load(tmp_path)
    assert (len(found.training), len(found.validation)) == (22, 3)
    assert len(found.notes) == 1 and "one patient" in found.notes[0] and "--val" in found.notes[0]


def test_dicom_brings_its_modality_and_its_field_of_noise(tmp_path: Path) -> None:
    phantom = make_phantom("ct", size=96, planes=4, seed=2)
    study = write_study(phantom, dose_noise(phantom, 0.1), tmp_path / "study", seed=2)
    found = load(study.files["noisy"][0].parent)
    assert found.modalities() == ("CT",)
    assert len(everything(found)) == 4
    error = phantom.truth[0].std() * 255 / 2000
    for image in everything(found):
        assert 0.8 < image.noise.sigma < error  # 1.1 is true
        assert image.plane.min() < 20, "air is near 0"
        assert image.rho > 0, "reconstructed noise is correlated"


def test_rician_noise_is_met_behind_its_transform(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = make_phantom("mr", size=192, planes=3, seed=1).truth
    sigma = 60.0
    real, imaginary = sigma * rng.standard_normal((2, *truth.shape))
    nifti(tmp_path / "mr.nii.gz", np.hypot(truth + real, imaginary).astype(np.float32))
    found = load(tmp_path)
    assert everything(found)
    for image in everything(found):
        assert image.noise.model == "gaussian" and image.noise.sigma == 1
        assert image.noise.variance is None and image.noise.field is None
        corner = image.plane[:12, :12]  # background: pure noise, one sigma high behind the transform
        assert float(corner.std()) == pytest.approx(1, abs=0.25)


def test_images_without_anything_to_learn_from_are_left_out_and_counted(pictures: Path) -> None:
    lines = (pictures / "SPLITS.csv").read_text()
    for name, values in {
        "constant": np.full((96, 112), 70.0),
        "black": np.zeros((96, 112)),
        "small": noisy(3, (20, 90)),
    }.items():
        png(pictures / f"{name}.png", grey(values))
        lines += f"\n{name}.png,train"
    nifti(pictures / "clean.nii", scene(3)[None].astype(np.float32))
    (pictures / "SPLITS.csv").write_text(f"{lines}\nclean.nii,train")
    found = load(pictures)
    assert {image.group for image in everything(found)} == {f"p{n}.png" for n in range(8)}
    assert any(note.startswith(str(pictures)) and "and 3 more left out" in note for note in found.notes)


def test_missing_values_are_filled(tmp_path: Path) -> None:
    volume = np.stack([noisy(n) for n in range(4)]).astype(np.float32)
    whole = load_volume(tmp_path / "whole", volume)
    volume[1, 20:30, 40:50] = np.nan
    volume[2, 5, 5] = np.inf
    found = load_volume(tmp_path / "holes", volume)
    assert len(everything(found)) == 4
    for image, before in zip(everything(found), everything(whole), strict=True):
        assert bool(np.isfinite(image.plane).all())
        assert image.noise.sigma == pytest.approx(before.noise.sigma, rel=0.1)


def load_volume(folder: Path, volume: np.ndarray) -> NoisySet:
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(volume.T, np.eye(4)), folder / "v.nii")
    return load(folder)


def test_several_modalities_are_told(pictures: Path) -> None:
    shutil.copy(packaged("CT_small.dcm"), pictures / "ct.dcm")
    with (pictures / "SPLITS.csv").open("a") as handle:
        handle.write("\nct.dcm,train")
    found = load(pictures)
    assert found.modalities() == ("CT", "other")
    assert any("several modalities (CT, unknown)" in note for note in found.notes)


def test_lossy_images_are_told_once_for_all(tmp_path: Path) -> None:
    for number in range(3):
        dataset = dcmread(packaged("CT_small.dcm"))
        dataset.SeriesInstanceUID = f"1.2.{number + 1}"
        dataset.LossyImageCompression = "01" if number else "00"
        dataset.save_as(tmp_path / f"{number}.dcm")
    notes = [note for note in load(tmp_path).notes if "lossy" in note]
    assert len(notes) == 1
    assert notes[0].startswith(f"{tmp_path}") and " and 1 more: lossy compressed" in notes[0]


@pytest.mark.parametrize(("kernel", "told"), [(1.5, True), (0.0, False)])
def test_smoothed_images_are_told(kernel: float, told: bool, tmp_path: Path) -> None:
    for number in range(3):
        png(tmp_path / f"{number}.png", grey(noisy(number, kernel=kernel)))
    assert any("smoothed or interpolated" in note for note in load(tmp_path).notes) == told


def study(folder: Path, *patients: str) -> list[str]:
    """Two noisy CT series of three planes of each patient; the patient of every one."""
    for number, patient in enumerate(patients * 2):
        pixels = {"Rows": 96, "Columns": 112, "PatientID": patient, "SeriesInstanceUID": f"1.2.{number + 1}"}
        for plane in range(3):
            stored = (noisy(10 * number + plane)).astype(np.int16).tobytes()
            dataset = ct_slice(plane, **pixels, PixelData=stored)
            save(dataset, folder / f"{number}-{plane}.dcm")
    return [*patients * 2]


@pytest.mark.parametrize("read", ["noisy", "clean"])
def test_no_patient_is_on_both_sides_where_the_split_by_share_leaves_one_empty(
    read: str, tmp_path: Path
) -> None:
    """All series in one folder, as scanners export them."""
    whose = study(tmp_path, "ann", "bob", "eve")
    assert not any(Split().holds_out(series, tmp_path) for series in meddenoise.read(tmp_path))
    if read == "noisy":
        found = load(tmp_path)
        sides = [{image.group for image in side} for side in (found.training, found.validation)]
        assert not any("one patient" in note for note in found.notes)
    else:
        images = load_images(TrainingSet(tmp_path), (DataRow(),), 32, lambda done, total: None)
        sides = [{image.group for image in side} for side in images]
    trained, held = ({whose[int(group.split("-")[0])] for group in side} for side in sides)
    assert (len(trained), len(held)) == (2, 1) and not trained & held


def test_of_one_patient_every_tenth_image_is_held_out(tmp_path: Path) -> None:
    study(tmp_path, "ann")
    found = load(tmp_path)
    assert (len(found.training), len(found.validation)) == (5, 1)
    assert any("all images seem to be of one patient: every tenth" in note for note in found.notes)


def test_a_single_image_is_refused(tmp_path: Path) -> None:
    png(tmp_path / "0.png", grey(noisy(0)))
    with pytest.raises(TrainingError, match="gives 1 usable noisy image"):
        load(tmp_path)


def test_a_folder_without_an_image_is_refused_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(NothingReadableError, match=f"{tmp_path} holds no image that can be read: give DICOM"):
        load(tmp_path)


def test_images_smaller_than_a_patch_are_refused_with_its_size(pictures: Path) -> None:
    with pytest.raises(TrainingError, match=r"gives 0 usable .* at least 100 x 100 pixels"):
        load(pictures, replace(READING, patch=100))


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere")


def test_images_of_several_sizes_train_together(tmp_path: Path) -> None:
    sizes = [(96, 112), (64, 70), (40, 150)]
    for number, size in enumerate(sizes):
        png(tmp_path / f"{number}.png", grey(noisy(number, size)))
    found = load(tmp_path)
    assert sorted(image.plane.shape for image in everything(found)) == sorted(sizes)
    source = NoisySource(everything(found), {".": 1.0}, 32, seed=0)
    assert source.batch(0, 8).noisy.shape == (8, 1, 32, 32)


def test_inverted_images_are_learned_from_as_they_are_shown(tmp_path: Path) -> None:
    for number in range(3):
        dataset = dcmread(packaged("CT_small.dcm"))
        dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME1"
        dataset.SeriesInstanceUID = f"1.2.{number + 1}"
        dataset.RescaleIntercept, dataset.PixelRepresentation = 0, 0
        pixels = grey(255 - noisy(number, (96, 112))).astype(np.uint16)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.save_as(tmp_path / f"{number}.dcm")
    for image in everything(load(tmp_path)):
        assert 4 < image.noise.sigma < 30
        assert image.plane.min() > -1 and image.plane.max() < 300
        shown = grey(noisy(int(image.group[0]), (96, 112))).astype(np.float32)
        assert np.corrcoef(image.plane.ravel(), shown.ravel())[0, 1] > 0.999


SIMULATED = Simulated(sigma_min=10.0, sigma_max=40.0, kernels=(0.0, 1.2), shares=(0.5, 0.5))


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    folder = tmp_path / "clean"
    folder.mkdir()
    for number in range(12):
        nifti(folder / f"c{number}.nii", scene(number, (128, 128))[None].astype(np.float32))
    return folder


def test_the_simulated_realisation_of_an_image_is_always_the_same(clean: Path) -> None:
    reading = replace(READING, simulated=SIMULATED)
    first, again = load(clean, reading), load(clean, reading)
    other = load(clean, replace(reading, seed=1))
    for before, after, changed in zip(*map(everything, (first, again, other)), strict=True):
        assert np.array_equal(before.plane, after.plane) and before.noise == after.noise
        assert not np.array_equal(before.plane, changed.plane)


def test_simulated_noise_has_the_level_and_the_kernel_it_is_told_to_have(clean: Path) -> None:
    found = load(clean, replace(READING, simulated=SIMULATED), DataRow(modality="DX", range=255.0))
    white = smooth = 0
    for image in everything(found):
        noise = image.plane - scene(int(image.group[1:-4]), (128, 128))
        assert 10 <= image.noise.sigma <= 40
        assert float(noise.std()) == pytest.approx(image.noise.sigma, rel=0.1)
        neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
        if image.rho == 0:
            white += 1
            assert abs(neighbours) < 0.05 and image.noise.bands == pytest.approx(WHITE, abs=0.02)
        else:
            smooth += 1
            assert image.rho == 4 and neighbours == pytest.approx(np.exp(-1 / (4 * 1.2**2)), abs=0.05)
    assert white and smooth


def test_large_simulated_images_bring_a_halved_copy_for_training_alone(tmp_path: Path) -> None:
    lines = ["file,split"]
    for number in range(4):
        nifti(tmp_path / f"c{number}.nii", scene(number, (256, 260))[None].astype(np.float32))
        lines.append(f"c{number}.nii,{'train' if number < 3 else 'val'}")
    (tmp_path / "SPLITS.csv").write_text("\n".join(lines))
    found = load(tmp_path, replace(READING, simulated=SIMULATED))
    assert sorted(image.plane.shape for image in found.training) == [(128, 130)] * 3 + [(256, 260)] * 3
    assert [image.plane.shape for image in found.validation] == [(256, 260)]


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_a_blind_radius_that_is_given_is_taken(radius: int, pictures: Path) -> None:
    found = load(pictures, replace(READING, blind_radius=radius))
    assert {image.rho for image in everything(found)} == {radius}


def test_a_radius_that_the_network_lacks_becomes_the_next_larger(pictures: Path) -> None:
    found = load(pictures, replace(READING, radii=(2, 4)))
    assert {image.rho for image in everything(found)} == {2}


def image_of(value: float, rho: int, group: str, source: str = ".") -> NoisyImage:
    """A plane of noise about `value`, which tells where a patch is from."""
    plane = (value + np.random.default_rng(int(value)).normal(0, 3, (48, 40))).astype(np.float32)
    return NoisyImage(plane, NoiseEstimate(3.0, (1.2, 1.0, 0.9, 0.8)), "CT", source, group, rho)


def test_a_batch_is_of_the_step_alone_and_of_one_radius() -> None:
    images = [image_of(100.0 * n, rho, str(n)) for n, rho in enumerate((0, 0, 2, 4))]
    source, again = (NoisySource(images, {".": 1.0}, 24, seed=5) for _ in range(2))
    radii = []
    for step in range(40):
        batch, same = source.batch(step, 6), again.batch(step, 6)
        assert all(np.array_equal(getattr(batch, n), getattr(same, n)) for n in ("noisy", "sigma", "bands"))
        values = {round(float(patch.mean()) / 100) for patch in batch.noisy}
        assert values <= {0: {0, 1}, 2: {2}, 4: {3}}[batch.rho]
        radii.append(batch.rho)
    assert set(radii) == {0, 2, 4}
    assert not np.array_equal(source.batch(0, 6).noisy, source.batch(40, 6).noisy)


def test_what_is_told_of_a_patch_scatters_around_the_truth() -> None:
    source = NoisySource([image_of(100.0, 0, "a")], {".": 1.0}, 24, seed=5)
    batches = [source.batch(step, 8) for step in range(30)]
    told = np.concatenate([batch.sigma.mean(dim=(1, 2, 3)) for batch in batches])
    assert float(np.exp(np.log(told).mean())) == pytest.approx(3.0, rel=0.05)
    assert float(np.log(told).std()) == pytest.approx(0.1, rel=0.2)
    bands = np.concatenate([batch.bands for batch in batches])
    assert np.exp(np.log(bands).mean(axis=0)) == pytest.approx((1.2, 1.0, 0.9, 0.8), rel=0.05)


def test_sources_share_the_draws_by_their_weight() -> None:
    images = [image_of(100.0, 0, "a", "few"), *(image_of(500.0, 0, str(n), "many") for n in range(9))]
    source = NoisySource(images, {"few": 0.75, "many": 0.25}, 24, seed=0)
    means = np.concatenate([source.batch(step, 16).noisy.mean(dim=(1, 2, 3)) for step in range(40)])
    assert float(np.mean(means < 300)) == pytest.approx(0.75, abs=0.06)


def test_a_source_without_an_image_of_the_patch_is_refused() -> None:
    with pytest.raises(TrainingError, match="64 x 64"):
        NoisySource([image_of(100.0, 0, "a")], {".": 1.0}, 64, seed=0)
