"""A checkpoint is found by name, path or address, and a bundled one without any network."""

import shutil
import socket
import tomllib
from pathlib import Path

import pytest
import torch

from meddenoise import weights
from meddenoise.errors import UsageError, WeightsError
from meddenoise.weights import load, locate, locate_local, manifest, pull, verify
from tests.weights.hub_server import REPO, HubServer, environment, run
from tests.weights.published import BUNDLED, REMOTE, checkpoint, publish

USE = """
import sys
from pathlib import Path
from meddenoise.weights import manifest
from meddenoise import weights
from meddenoise.errors import MeddenoiseError
folder = Path(sys.argv[1])
manifest.MANIFEST = folder / "weights_manifest.toml"
weights.CHECKPOINTS = folder / "checkpoints"
try:
    for action, spec in zip(sys.argv[2::2], sys.argv[3::2]):
        found = getattr(weights, action)(spec)
        print(found.path if found else None)
except MeddenoiseError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder with the published set; its remote files are in `shelf.remote`."""
    folder = tmp_path / "shelf"
    remote = publish(folder)
    monkeypatch.setattr(manifest, "MANIFEST", folder / "weights_manifest.toml")
    monkeypatch.setattr(weights, "CHECKPOINTS", folder / "checkpoints")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder, remote


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def test_a_bundled_name_is_loaded_without_network(shelf, no_network):
    loaded = load(BUNDLED)
    assert loaded.metadata.recipe == BUNDLED
    assert torch.equal(loaded.tensors["w"], torch.arange(300.0))
    row = weights.published()[BUNDLED]
    assert loaded.sha256 == row.sha256
    assert locate(BUNDLED) == weights.Located(shelf[0] / "checkpoints" / row.file, row.sha256, row)


def test_a_bundled_file_with_one_flipped_bit_is_refused(shelf, no_network):
    path = shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    for use in (load, verify, pull):
        with pytest.raises(WeightsError, match="is not the published file"):
            use(BUNDLED)


def test_a_sound_checkpoint_under_the_wrong_name_is_refused(shelf):
    checkpoint(shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors", "another")
    with pytest.raises(WeightsError, match="is not the published file"):
        load(BUNDLED)


def test_a_bundled_file_that_is_missing_is_said(shelf):
    (shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors").unlink()
    with pytest.raises(WeightsError, match=f"'{BUNDLED}'.*is missing: reinstall"):
        load(BUNDLED)


def test_a_path_is_loaded_as_it_is(shelf, tmp_path, monkeypatch, no_network):
    checkpoint(tmp_path / "mine.safetensors", "mine")
    assert load(str(tmp_path / "mine.safetensors")).metadata.recipe == "mine"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").symlink_to("mine.safetensors")
    assert load("mine").metadata.recipe == "mine"
    assert locate("mine").sha256 is None and locate("mine").row is None


def test_a_name_of_the_manifest_wins_over_a_file_of_that_name(shelf, tmp_path, monkeypatch):
    checkpoint(tmp_path / BUNDLED, "mine")
    monkeypatch.chdir(tmp_path)
    assert load(BUNDLED).metadata.recipe == BUNDLED
    assert load(f"./{BUNDLED}").metadata.recipe == "mine"


def test_a_name_that_does_not_exist_suggests_the_nearest(shelf):
    with pytest.raises(UsageError, match=r"no checkpoint 'cascade-tc': did you mean 'cascade-ct'\?"):
        locate("cascade-tc")


@pytest.mark.parametrize("spec", ["none/there.safetensors", "./none", "none.safetensors"])
def test_a_path_that_does_not_exist_is_said(shelf, spec):
    with pytest.raises(WeightsError, match=f"^{spec} does not exist"):
        locate(spec)


def test_a_remote_name_that_was_not_fetched_is_not_here(shelf, no_network):
    assert locate_local(REMOTE) is None
    assert verify(REMOTE) is None
    assert locate_local(f"hf://{REPO}/mr/net.safetensors") is None


@pytest.mark.network
def test_a_remote_name_is_fetched_once_checked_and_then_used_offline(shelf, tmp_path):
    folder, remote = shelf
    with HubServer(remote) as hub:
        env = environment(tmp_path, hub.endpoint)
        code, out, err = run(USE, folder, "verify", REMOTE, "locate", REMOTE, "verify", REMOTE, env=env)
        assert code == 0, err
        absent, located, verified = out.split()
        assert absent == "None" and located == verified
        assert Path(located).read_bytes() == remote["mr/net.safetensors"]
        assert len(hub.transfers()) == 1
    offline = environment(tmp_path, HF_HUB_OFFLINE="1")
    assert run(USE, folder, "locate", REMOTE, env=offline)[:2] == (0, f"{located}\n")


@pytest.mark.network
def test_a_cached_file_is_used_without_network(shelf, tmp_path):
    folder, remote = shelf
    with HubServer(remote) as hub:
        assert run(USE, folder, "pull", REMOTE, env=environment(tmp_path, hub.endpoint))[0] == 0
    code, out, err = run(
        "import socket\ndef refuse(*_, **__): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n" + USE,
        *(folder, "locate", REMOTE, "verify", REMOTE, "pull", REMOTE),
        env=environment(tmp_path),
    )
    assert code == 0, err
    assert len(set(out.split())) == 1


@pytest.mark.network
def test_a_damaged_cached_file_is_refused_and_replaced_by_a_pull(shelf, tmp_path):
    folder, remote = shelf
    with HubServer(remote) as hub:
        env = environment(tmp_path, hub.endpoint)
        path = Path(run(USE, folder, "pull", REMOTE, env=env)[1].strip())
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        code, _, err = run(USE, folder, "verify", REMOTE, env=env)
        assert code == 1 and "meddenoise weights pull" in err
        assert run(USE, folder, "pull", REMOTE, env=env) == (0, f"{path}\n", "")
        assert path.read_bytes() == remote["mr/net.safetensors"]


@pytest.mark.network
def test_an_address_is_fetched_and_its_content_checked(shelf, tmp_path):
    folder, remote = shelf
    remote["bad.safetensors"] = remote["mr/net.safetensors"][:-3] + b"bad"
    remote["pickle.safetensors"] = b"\x80\x04" + b"." * 20
    with HubServer(remote) as hub:
        env = environment(tmp_path, hub.endpoint)
        code, out, err = run(USE, folder, "locate", f"hf://{REPO}/mr/net.safetensors@v1", env=env)
        assert code == 0, err
        assert load(out.strip()).metadata.recipe == REMOTE
        for name, said in (("bad", "was changed after it was written"), ("pickle", "a Python pickle")):
            code, _, err = run(USE, folder, "pull", f"hf://{REPO}/{name}.safetensors", env=env)
            assert code == 1 and said in err


def test_an_installed_package_finds_the_manifest_inside_itself(tmp_path):
    """Laid out as pyproject tells the wheel; a file of that name beside the package is none of ours."""
    source = Path(weights.__file__).parents[1]
    build = tomllib.loads((source.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    places = build["targets"]["wheel"]["force-include"]
    shutil.copytree(source, tmp_path / "meddenoise", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(source.parent / "weights_manifest.toml", tmp_path / places["weights_manifest.toml"])
    (tmp_path / "weights_manifest.toml").write_text("not = 'ours'")
    code, out, err = run(
        "from meddenoise.weights.manifest import MANIFEST, published; print(MANIFEST, len(published()))",
        env=environment(tmp_path, PYTHONPATH=str(tmp_path)),
        cwd=tmp_path,
    )
    assert code == 0, err
    inside = tmp_path / "meddenoise" / "weights_manifest.toml"
    assert out == f"{inside} {len(weights.published())}\n"
