"""`meddenoise.denoise` on arrays, tensors, SimpleITK and nibabel images: the same kind comes back."""

import subprocess
import sys
import warnings
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch

import meddenoise
from meddenoise import DenoisingWarning, InputError, Options, UnsupportedError, UsageError
from meddenoise.engine.estimator import load_estimator
from meddenoise.methods.recovered import _basis, _parts
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.series import Series

FAST = Options(method="gaussian")
pytestmark = pytest.mark.filterwarnings("ignore::meddenoise.DenoisingWarning")


def noisy(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """A disc of 300 on 100 with noise of 20."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    disc = np.hypot(y - shape[-2] / 2, x - shape[-1] / 2) < shape[-1] / 4
    return (100 + 200 * disc + np.random.default_rng(7).normal(0, 20, shape)).astype(dtype)


def air(values: np.ndarray[Any, Any]) -> float:
    return float(np.asarray(values, np.float64)[..., :10, :10].std())


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((96, 80), dtype) for dtype in ("u1", "i2", "u2", "i4", "i8", "f2", "f4", "f8", ">i2", ">f4")]
    + [((3, 96, 80), "i2"), ((2, 3, 96, 80), "f4")],
)
def test_an_array_comes_back_with_its_shape_and_dtype_and_less_noise(
    shape: tuple[int, ...], dtype: str
) -> None:
    image = noisy(*shape).clip(0, 255).astype(dtype)
    before = image.copy()
    clean = meddenoise.denoise(image, FAST, sigma=20, modality="MR", spacing_mm=0.8)
    assert type(clean) is np.ndarray
    assert (clean.shape, clean.dtype) == (shape, np.dtype(dtype))
    assert air(clean) < 0.6 * air(image)
    assert image.tobytes() == before.tobytes()


def test_planes_of_an_array_are_those_of_its_series() -> None:
    volume = noisy(2, 3, 96, 80)
    series = meddenoise.as_series(volume, modality="MR", spacing_mm=(4, 0.5, 0.25))
    assert series.pixels.tobytes() == volume.tobytes()
    assert (len(series), series.is_cine, series.geometry.spacing_mm) == (6, False, (4.0, 0.5, 0.25))
    by_series = denoise_series(series, Options(method="gaussian", sigma=20.0)).series.pixels
    by_array = meddenoise.denoise(volume, FAST, sigma=20, modality="MR", spacing_mm=(4, 0.5, 0.25))
    assert by_array.tobytes() == by_series.tobytes()


def test_views_and_not_contiguous_arrays_give_what_their_copies_give() -> None:
    image = noisy(80, 96).T[::-1]
    clean = meddenoise.denoise(image, FAST, sigma=20, modality="MR")
    np.testing.assert_array_equal(clean, meddenoise.denoise(image.copy(), FAST, sigma=20, modality="MR"))


@pytest.mark.parametrize(
    ("shape", "modality", "cine"),
    [
        ((4, 16, 16), "XA", True),
        ((4, 16, 16), "RF", True),
        ((4, 16, 16), "CT", False),
        ((4, 1, 16, 16), "MR", True),
    ],
)
def test_frames_are_told_from_slices(shape: tuple[int, ...], modality: str, cine: bool) -> None:
    assert meddenoise.as_series(noisy(*shape), modality=modality).is_cine == cine


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int16])
def test_a_tensor_comes_back_as_a_tensor(dtype: torch.dtype) -> None:
    image = torch.from_numpy(noisy(2, 96, 80)).to(dtype)
    clean = meddenoise.denoise(image, FAST, sigma=20, modality="MR")
    assert isinstance(clean, torch.Tensor)
    assert (clean.dtype, clean.shape, clean.device.type) == (dtype, image.shape, "cpu")
    assert air(clean.float().numpy()) < 0.6 * air(image.float().numpy())


def test_a_tensor_that_wants_a_gradient_is_taken_without_it() -> None:
    clean = meddenoise.denoise(torch.from_numpy(noisy(96, 80)).requires_grad_(), FAST, sigma=20)
    assert not clean.requires_grad


def sitk(*shape: int) -> Any:
    image = SimpleITK.GetImageFromArray(noisy(*shape, dtype=np.int16), isVector=False)
    image.SetSpacing((0.5, 0.75, 2.0, 1.0)[: len(shape)])
    image.SetOrigin((3.0, -4.0, 5.0, 0.0)[: len(shape)])
    image.SetMetaData("0008|103e", "T1 brain")
    if len(shape) == 3:
        image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    return image


@pytest.mark.parametrize("shape", [(96, 80), (3, 96, 80), (2, 3, 96, 80)])
def test_a_simpleitk_image_comes_back_in_its_place(shape: tuple[int, ...]) -> None:
    image = sitk(*shape)
    clean = meddenoise.denoise(image, FAST, sigma=20)
    assert isinstance(clean, SimpleITK.Image)
    assert clean.IsSameImageGeometryAs(image)
    assert clean.GetPixelID() == image.GetPixelID()
    assert clean.GetMetaData("0008|103e") == "T1 brain"
    assert "Noise reduced by meddenoise" in clean.GetMetaData("meddenoise")
    assert air(SimpleITK.GetArrayFromImage(clean)) < 0.6 * air(noisy(*shape))


def test_the_geometry_of_a_simpleitk_image_is_that_of_its_file(tmp_path: Any) -> None:
    SimpleITK.WriteImage(sitk(3, 96, 80), str(tmp_path / "v.nii"))
    there, here = (
        meddenoise.read(tmp_path / "v.nii")[0].geometry,
        meddenoise.as_series(sitk(3, 96, 80)).geometry,
    )
    np.testing.assert_allclose(here.spacing_mm, there.spacing_mm, atol=1e-6)
    np.testing.assert_allclose(here.origin_mm, there.origin_mm, atol=1e-6)
    np.testing.assert_allclose(here.axes, there.axes, atol=1e-6)


AFFINE = np.array([[0, -0.5, 0, 3], [0.75, 0, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("shape", [(80, 96, 3), (80, 96, 3, 1), (80, 96, 3, 2)])
@pytest.mark.parametrize(
    "kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.MGHImage, nibabel.spatialimages.SpatialImage]
)
def test_a_nibabel_image_comes_back_in_its_place(shape: tuple[int, ...], kind: Any) -> None:
    image = kind(noisy(*shape[::-1], dtype=np.int16).T, AFFINE)
    clean = meddenoise.denoise(image, FAST, sigma=20)
    assert type(clean) is kind
    assert clean.shape == shape
    assert clean.get_data_dtype() == image.get_data_dtype()
    np.testing.assert_array_equal(clean.affine, image.affine)
    assert np.asarray(clean.dataobj)[:10, :10].std() < 0.6 * np.asarray(image.dataobj)[:10, :10].std()
    if isinstance(clean, nibabel.Nifti1Image):
        assert clean.header["descrip"].item().startswith(b"meddenoise gaussian")


def test_a_nibabel_image_from_a_file_with_a_scale_keeps_its_values(tmp_path: Any) -> None:
    image = nibabel.Nifti1Image(noisy(3, 96, 80).T, AFFINE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "scaled.nii")
    loaded = nibabel.load(tmp_path / "scaled.nii")
    clean = meddenoise.denoise(loaded, FAST, sigma=20)
    assert abs(clean.get_fdata().mean() - loaded.get_fdata().mean()) < 1
    by_file = meddenoise.denoise(meddenoise.read(tmp_path / "scaled.nii")[0], FAST, sigma=20).series
    np.testing.assert_allclose(clean.get_fdata().T, by_file.values(0, 3), atol=0.05)


def test_what_is_no_number_stays_and_zero_strength_gives_the_input() -> None:
    image = noisy(96, 80)
    image[5:9, 5:9] = np.nan
    clean = meddenoise.denoise(image, FAST, sigma=20, modality="MR")
    np.testing.assert_array_equal(np.isnan(clean), np.isnan(image))
    same = meddenoise.denoise(image, Options(method="gaussian", strength=0), sigma=20, modality="MR")
    assert same.tobytes() == image.tobytes()


def test_a_series_gives_a_result_as_it_always_did() -> None:
    series = meddenoise.as_series(noisy(96, 80), modality="MR")
    ticks: list[int] = []
    result = meddenoise.denoise(series, Options(method="gaussian", sigma=20.0), ticks.append)
    assert isinstance(result.series, Series)
    assert result.noise.sigma == 20
    assert sum(ticks) == 1
    by_name = meddenoise.denoise(series, FAST, sigma=20)
    assert by_name.series.pixels.tobytes() == result.series.pixels.tobytes()


def test_progress_counts_every_plane_and_stops_the_run() -> None:
    ticks: list[int] = []
    meddenoise.denoise(noisy(5, 32, 32), FAST, progress=ticks.append, sigma=20)
    assert sum(ticks) == 5

    def stop(planes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meddenoise.denoise(noisy(5, 32, 32), FAST, progress=stop, sigma=20)


@pytest.mark.filterwarnings("default::meddenoise.DenoisingWarning")
def test_fallbacks_and_verdicts_are_warned_of_at_the_caller() -> None:
    with pytest.warns(DenoisingWarning, match="no noise to remove") as caught:
        meddenoise.denoise(np.full((32, 32), 7.0), FAST, sigma=0)
    assert caught[0].filename == __file__
    with pytest.warns(DenoisingWarning, match="verdict (no effect|look|reject): "):
        meddenoise.denoise(noisy(96, 96), Options(method="gaussian", strength=0.05), modality="MR")


def test_a_good_result_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meddenoise.denoise(noisy(96, 96), sigma=20, modality="MR")


def skewed_sitk() -> Any:
    image = sitk(3, 16, 16)
    image.SetDirection((1.0, 0.3, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return image


def skewed_nibabel() -> Any:
    return nibabel.Nifti1Image(noisy(16, 16, 3), AFFINE + np.eye(4, k=2) * 0.4)


BAD_IMAGES = {
    "a list": (lambda: [[1.0, 2.0]], InputError, "type list is not an image"),
    "a path": (lambda: "scan.dcm", InputError, r"scan.dcm is a path: give meddenoise.read"),
    "nothing": (lambda: None, InputError, "type NoneType is not an image"),
    "a row": (lambda: np.zeros(9), InputError, "array has 1 dimensions"),
    "a number": (lambda: np.array(3.0), InputError, "array has 0 dimensions"),
    "5-D": (lambda: np.zeros((1, 1, 1, 4, 4)), InputError, "array has 5 dimensions"),
    "empty": (lambda: np.zeros((0, 4, 4)), InputError, "is empty"),
    "colour": (lambda: np.zeros((16, 16, 3), np.uint8), UnsupportedError, "looks like colour"),
    "objects": (lambda: np.full((4, 4), None), UnsupportedError, "holds Python objects"),
    "bool": (lambda: np.zeros((4, 4), bool), UnsupportedError, "holds bool"),
    "complex": (lambda: np.zeros((4, 4), complex), UnsupportedError, "holds complex128"),
    "text": (lambda: np.full((4, 4), "a"), UnsupportedError, "holds <U1"),
    "long double": (lambda: np.zeros((4, 4), np.longdouble), UnsupportedError, "holds (float128|longdouble)"),
    "masked": (lambda: np.ma.zeros((4, 4)), UnsupportedError, "is masked"),
    "elsewhere": (
        lambda: torch.zeros(4, 4, device="meta"),
        UnsupportedError,
        "tensor is on meta: give tensor.cpu",
    ),
    "sparse": (lambda: torch.zeros(4, 4).to_sparse(), UnsupportedError, "sparse or quantized"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.zeros(4, 4)]),
        UnsupportedError,
        "tensor is nested: give one of tensor.unbind",
    ),
    "8 bits": (lambda: torch.zeros(4, 4).to(torch.float8_e5m2), UnsupportedError, "give tensor.float"),
    "a complex tensor": (lambda: torch.zeros(4, 4, dtype=torch.cfloat), UnsupportedError, "holds complex64"),
    "skewed": (skewed_sitk, UnsupportedError, "SimpleITK image has directions that are not orthogonal"),
    "skewed affine": (
        skewed_nibabel,
        UnsupportedError,
        "nibabel image has directions that are not orthogonal",
    ),
    "vectors": (
        lambda: SimpleITK.Image([4, 4], SimpleITK.sitkVectorUInt8, 3),
        UnsupportedError,
        "3 values a pixel",
    ),
    "labels": (lambda: SimpleITK.Image([4, 4], SimpleITK.sitkLabelUInt8), UnsupportedError, "is a label map"),
    "a flat affine": (
        lambda: nibabel.spatialimages.SpatialImage(noisy(4, 4, 4), np.diag([1.0, 0, 1, 1])),
        InputError,
        "affine without an inverse",
    ),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_what_is_no_image_is_refused_in_one_sentence(name: str) -> None:
    make, kind, sentence = BAD_IMAGES[name]
    with pytest.raises(kind, match=sentence) as caught:
        meddenoise.denoise(make(), FAST, sigma=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"spacing_mm": -1}, "spacing_mm is -1: give a positive number"),
        ({"spacing_mm": (1, 0)}, "spacing_mm is"),
        ({"spacing_mm": float("nan")}, "spacing_mm is nan"),
        ({"spacing_mm": (1, 2, 3)}, "spacing_mm is"),
        ({"spacing_mm": "fine"}, "spacing_mm is 'fine'"),
        ({"spacing_mm": [[1, 1]]}, "spacing_mm is"),
        ({"sigma": -2}, "sigma is -2"),
        ({"sigma": "auto"}, "sigma is 'auto'"),
        ({"sigma": float("inf")}, "sigma is inf"),
        ({"modality": "MRI"}, "did you mean 'MR'"),
        ({"modality": 3}, "modality is 3"),
        ({"options": 12.0}, "options is 12.0: give meddenoise.Options"),
        ({"options": Options(strength="x")}, "strength of Options is 'x': give a number"),
        ({"options": Options(seed="x")}, "seed of Options is 'x': give a whole number"),
        ({"options": Options(seed=None)}, "seed of Options is None: give a whole number"),
        ({"options": Options(method=None)}, "method of Options is None: give text"),
        ({"options": Options(modality=3)}, "modality of Options is 3: give text"),
        ({"options": Options(method="nlmm")}, "did you mean 'nlm'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        meddenoise.denoise(noisy(16, 16), **given)


def test_no_progress_is_none() -> None:
    image = noisy(16, 16)
    assert np.array_equal(meddenoise.denoise(image, FAST, None), meddenoise.denoise(image, FAST))


def test_images_that_state_their_spacing_are_given_none() -> None:
    for image in (sitk(3, 16, 16), nibabel.Nifti1Image(noisy(8, 8, 3), AFFINE)):
        with pytest.raises(UsageError, match="states its own spacing"):
            meddenoise.denoise(image, FAST, spacing_mm=1.0)


def test_an_array_needs_neither_torch_nor_simpleitk_to_become_a_series() -> None:
    code = (
        "import sys, numpy, meddenoise; meddenoise.as_series(numpy.zeros((4, 4)))\n"
        "assert not {'torch', 'SimpleITK', 'nibabel'}.intersection(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "options",
    [Options(method=name) for name in ("direct", "blindspot", "diffdenoise", "vpsde", "medcdiff", "befoi")]
    + [Options(method=name, steps=2) for name in ("diffdenoise", "vpsde", "medcdiff")],
    ids=lambda options: f"{options.method}-{options.steps}",
)
def test_the_default_dtype_of_torch_changes_nothing(options: Options) -> None:
    image = noisy(48, 64)
    expected = meddenoise.denoise(image, options, modality="MR")
    for cache in (load_estimator, _basis, _parts):
        cache.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        result = meddenoise.denoise(image, options, modality="MR")
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("name", ["direct", "diffdenoise"])
def test_the_random_state_of_torch_stays(name: str) -> None:
    load_estimator.cache_clear()
    before = torch.random.get_rng_state()
    meddenoise.denoise(noisy(48, 64), Options(method=name), modality="MR")
    assert torch.equal(torch.random.get_rng_state(), before)
