"""Guarantees for every result, end to end: symmetries, independence of planes, structures, privacy."""

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from typer.testing import CliRunner

from meddenoise import methods
from meddenoise.cli.main import app
from meddenoise.engine.tiling import plan_tiles
from meddenoise.networks import build
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Series
from meddenoise.weights import published
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint
from tests.io_samples import ct_slice, save
from tests.pipeline.test_denoise import make_series

OPTIONS = {"channels": (8, 12), "blocks": (1, 1), "unshuffle": 2}
SHIPPED = [name for name, row in published().items() if row.method in methods.rows()]
WINDOWED = [name for name in SHIPPED if published()[name].method == "vpsde"]
"""Checkpoints whose network attends to a tile as a whole: another tile is another result."""
TILED_HU = {"medcdiff": 0.5 * 20, "befoi": 0.8 * 20}
"""For networks that see farther than tiles overlap: under a sigma, and no step, as tiles are blended. `befoi`
does so in some tens of pixels at edges of 50 sigmas, which a cine seldom has; its frames go through whole."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of `direct` with random weights: what it does is senseless, and must be symmetric."""
    torch.manual_seed(0)
    network = build("noise-unet", OPTIONS)
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.08)
    metadata = CheckpointMetadata(
        method="direct", network="noise-unet", network_options=OPTIONS, normalisation={"name": "none"},
        sigma_range=(0.0, 75.0), modalities=("CT", "DX"), training_data=("none",), licence="Apache-2.0",
        recipe="none",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_checkpoint(path, network.state_dict(), metadata)
    return str(path)


def denoise(series: Series, weights: str, **more: object) -> np.ndarray:
    options = Options(weights=weights, device="cpu", precision="fp32", **more)
    return denoise_series(series, options).series.values(0, len(series))


@pytest.mark.parametrize(("scale", "offset"), [(2.5, 0.0), (1.0, 1000.0), (1e-3, -3.0), (1e3, 1e5)])
def test_unit_and_zero_point_make_no_difference(scale: float, offset: float, weights: str) -> None:
    """Level, spectrum and dependence are estimated anew: the whole way is equivariant."""
    plain = make_series(dtype=np.float32)
    moved = replace(plain, pixels=(plain.pixels * scale + offset).astype(np.float32), intercept=np.zeros(3))
    before, after = denoise(plain, weights), denoise(moved, weights)
    assert np.abs(before - plain.values(0, 3)).max() > 1  # these weights do change the image
    back = (after - offset) / scale - 1024
    assert np.abs(back - before).max() < 0.02 + 1e-6 * abs(offset) / scale


def test_a_rescale_makes_no_difference_to_stored_values(weights: str) -> None:
    plain = make_series()
    scaled = replace(plain, slope=np.full(3, 0.037), intercept=np.full(3, -7.5))
    results = [
        denoise_series(series, Options(weights=weights, device="cpu", precision="fp32")).series.pixels
        for series in (plain, scaled)
    ]
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1


@pytest.mark.parametrize("modality", ["DX", "CT"])
def test_what_is_shown_alike_is_denoised_alike(modality: str, weights: str) -> None:
    """MONOCHROME1 with turned values shows the same picture as MONOCHROME2."""
    upright = make_series(
        dtype=np.uint16, modality=modality, stored_range=(0.0, 4095.0), intercept=np.zeros(3)
    )
    turned = replace(upright, pixels=(4095 - upright.pixels).astype(np.uint16), inverted=True)
    assert np.abs(denoise(upright, weights) - (4095 - denoise(turned, weights))).max() <= 1


def test_planes_do_not_depend_on_each_other_or_on_their_order(weights: str) -> None:
    series = make_series(count=5)
    turned = replace(series, pixels=series.pixels[::-1].copy())
    assert np.array_equal(denoise(turned, weights), denoise(series, weights)[::-1])


@pytest.mark.parametrize("more", [{"batch_size": 3}, {"batch_size": 7, "tile": 128, "overlap": 32}])
def test_batches_change_nothing(more: dict[str, int], weights: str) -> None:
    series = make_series(count=4)
    series = replace(series, pixels=np.tile(series.pixels, (1, 2, 2)))
    one = denoise(series, weights, **(more | {"batch_size": 1}))
    assert np.abs(denoise(series, weights, **more) - one).max() <= 1  # the order of sums, rounded


def test_no_socket_is_opened_and_nothing_tells_who_the_patient_is(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = {
        "PatientName": "Doe^Jane", "PatientID": "QX-4711", "PatientBirthDate": "19610203",
        "AccessionNumber": "ACC-99", "InstitutionName": "St. Elsewhere", "ReferringPhysicianName": "House^G",
    }  # fmt: skip
    for number in range(3):
        save(ct_slice(number, **private), tmp_path / "in" / f"{number}.dcm")
    (tmp_path / "in" / "bad.dcm").write_bytes((tmp_path / "in" / "0.dcm").read_bytes()[:-40])

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    names = []
    rename = Path.replace

    def note(source: Path, target: Path) -> Path:
        names.append(source.name)
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", note)
    done = CliRunner().invoke(
        app,
        [
            "denoise",
            str(tmp_path / "in"),
            "--weights",
            weights,
            "--sigma",
            "20",
            "--residual",
            "--json",
            "-v",
        ],
    )
    assert done.exit_code == 1  # the bad one
    told = [done.stdout, done.stderr, *names]
    told += [path.name for path in tmp_path.rglob("*")]
    results = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "in"]
    told += [path.read_bytes().decode("latin-1") for path in results if path.suffix != ".dcm"]
    assert len(results) == 8 and len(names) >= 6
    for value in ("Doe", "Jane", "4711", "19610203", "ACC-99", "Elsewhere", "House"):
        assert not [text for text in told if value in text], value
    kept = pydicom.dcmread(tmp_path / "in_denoised" / "1.dcm")
    assert kept.PatientName == "Doe^Jane" and kept.ImageType[0] == "DERIVED"
    assert "Not for diagnostic use" in kept.DerivationDescription


Y, X = np.indices((256, 256)) - 128
BODY = np.hypot(X, Y) < 110


def shipped_series(name: str, contrast: float, count: int = 4) -> tuple[Series, np.ndarray]:
    """Planes of a round body with a faint disc of 8 pixels radius and a bright rod; and the disc."""
    disc = np.hypot(X - 30, Y + 20) < 8
    truth = np.where(BODY, 40.0, -900.0) + contrast * disc + 1500 * (np.hypot(X + 50, Y) < 5)
    noise = np.random.default_rng(3).normal(0, 20.0, (count, *X.shape))
    stored = np.rint(truth + noise + 1024).astype(np.int16)
    modality = published()[name].modality[0]
    plain = make_series(count=count)
    return replace(plain, pixels=stored, modality=modality if modality != "other" else ""), disc


@pytest.mark.parametrize("name", SHIPPED)
def test_a_faint_disc_survives_every_shipped_checkpoint(name: str) -> None:
    count = 1 if name in WINDOWED else 2  # slow ones
    series, disc = shipped_series(name, contrast=20.0, count=count)
    flat, _ = shipped_series(name, contrast=0.0, count=count)
    seen, unseen = (denoise(each, name).mean(axis=0) for each in (series, flat))
    inside = np.hypot(X - 30, Y + 20) < 6
    assert (seen - unseen)[inside].mean() > 0.6 * 20
    around = BODY & ~disc & (np.hypot(X - 30, Y + 20) < 30)
    assert abs(unseen[around].mean() - 40) < 0.1 * 20
    rod = np.hypot(X + 50, Y) < 3
    assert abs(seen[rod].mean() - 1540) < 20


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_checkpoint_leaves_a_constant(name: str) -> None:
    series, _ = shipped_series(name, contrast=20.0, count=1)
    level = replace(series, pixels=np.full_like(series.pixels, 2064))
    change = np.abs(denoise(level, name, sigma=20.0) - 1040)
    if name in WINDOWED:  # its windows at the border of the image have no neighbours to be blended with
        assert change.max() <= 0.5 * 20
        change = change[:, 28:-28, 28:-28]
    assert change.max() <= 0.2 * 20


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in WINDOWED])
def test_tiles_make_no_difference_to_a_shipped_checkpoint(name: str) -> None:
    series, _ = shipped_series(name, contrast=20.0, count=1)
    whole, tiled = denoise(series, name), denoise(series, name, tile=128)
    assert np.abs(whole - tiled).max() <= TILED_HU.get(published()[name].method, 1e-3 * 4095)


def test_windows_leave_no_seams() -> None:
    """Steps between neighbouring columns are no larger where windows begin and end than elsewhere."""
    name = WINDOWED[0]
    series, _ = shipped_series(name, contrast=20.0, count=2)

    def seams(tile: int, overlap: int) -> float:
        plan = plan_tiles((256, 256), tile, overlap)
        even = denoise(series, name, tile=tile, overlap=overlap)[:, 150:200]
        steps = np.abs(np.diff(even)).mean(axis=(0, 1))
        edges = sorted({x + end for _, x in plan.corners for end in (-1, tile - 1) if 70 <= x + end < 190})
        others = [x for x in range(70, 190) if x not in edges]
        return float(steps[edges].mean() / steps[others].mean())

    assert seams(28, overlap=14) < 1.1
    assert seams(32, overlap=0) > 1.5, "what there would be without blending"
