"""`meddenoise weights`: stdout carries what a pipeline reads, failures are errors of their own kind."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from meddenoise import weights
from meddenoise.cli.weights import register
from meddenoise.errors import UsageError, WeightsError
from meddenoise.weights import manifest
from tests.weights.hub_server import REPO, HubServer, environment, run, start
from tests.weights.published import BUNDLED, REMOTE, publish

PROGRAM = """
import sys
from pathlib import Path
import typer
from meddenoise.weights import manifest
from meddenoise import weights
from meddenoise.cli.weights import register
folder = Path(sys.argv.pop(1))
manifest.MANIFEST = folder / "weights_manifest.toml"
weights.CHECKPOINTS = folder / "checkpoints"
app = typer.Typer(pretty_exceptions_enable=False)
register(app)
app.callback()(lambda: None)
app()
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """The published set as the manifest of this process; its files a Hub serves are `shelf[1]`."""
    folder = tmp_path / "shelf"
    remote = publish(folder)
    monkeypatch.setattr(manifest, "MANIFEST", folder / "weights_manifest.toml")
    monkeypatch.setattr(weights, "CHECKPOINTS", folder / "checkpoints")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder, remote


def call(*arguments):
    """(stdout, error raised or None) of `weights ARGUMENTS`."""
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return result.stdout, result.exception
    return result.stdout, None if result.exit_code == 0 else result.exit_code


def test_list_prints_one_row_a_line(shelf):
    size = f"{weights.published()[BUNDLED].bytes / 2**20:.1f}"
    assert call("list") == (
        f"{BUNDLED}\tcascade\tCT\tbundled\t{size}\tApache-2.0\t\t\n"
        f"{REMOTE}\tcascade\tMR\tremote\t{size}\tApache-2.0\t\t\n",
        None,
    )


def test_list_as_json_holds_every_field(shelf):
    out, error = call("list", "--json")
    assert error is None
    first, second = json.loads(out)
    assert first["place"] == "bundled" and Path(first["path"]).is_file() and first["source"] == "bundled"
    assert second["place"] == "remote" and second["path"] is None
    assert second["source"] == {"repo": REPO, "file": "mr/net.safetensors", "revision": "v1"}
    assert first["sha256"] == weights.published()[BUNDLED].sha256


def test_list_survives_a_bundled_file_that_is_missing(shelf):
    (shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors").unlink()
    out, error = call("list")
    assert error is None and "\tmissing\t" in out.splitlines()[0]


def test_list_of_the_shipped_manifest_works():
    out, error = call("list", "--json")
    assert error is None
    assert [row["name"] for row in json.loads(out)] == list(weights.published())


def test_every_shipped_checkpoint_says_what_it_is_for_and_its_cost():
    rows = {row["name"]: row for row in json.loads(call("list", "--json")[0])}
    assert all(row["purpose"] for row in rows.values())
    assert rows["direct"]["cost"] == 1 and rows["direct-fast"]["cost"] < 1
    assert rows["noise-estimator"]["cost"] is None
    lines = [line.split("\t") for line in call("list")[0].splitlines()]
    assert ["--quality fast" in line[6] for line in lines if line[0] == "direct-fast"] == [True]


def test_at_80_columns_nothing_is_cut_off_and_no_word_broken(tmp_path):
    _, terminal = pty.openpty()
    words = [sys.executable, "-m", "meddenoise", "weights", "list"]
    env = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(words, stdout=terminal, stderr=subprocess.PIPE, text=True, env=env, timeout=60)
    assert "…" not in done.stderr and max(map(len, done.stderr.splitlines())) <= 80
    assert all(name in done.stderr for name in weights.published())
    assert {"fluoroscopy:", "conditional", "self-supervised"} <= set(done.stderr.split())


def test_show_tells_a_row_and_a_file(shelf):
    out, error = call("show", BUNDLED)
    assert error is None
    facts = dict(line.split("\t") for line in out.splitlines())
    assert facts["licence"] == "Apache-2.0" and facts["training_data"] == '["Phantoms [generated]"]'
    file = shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors"
    out, error = call("show", file, "--json")
    assert error is None
    told = json.loads(out)
    assert (told["network"], told["recipe"]) == ("noise-unet", BUNDLED)
    assert told["sha256"] == weights.published()[BUNDLED].sha256


def test_show_refuses_a_damaged_file(shelf):
    file = shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    out, error = call("show", file)
    assert out == "" and isinstance(error, WeightsError) and "cut short" in str(error)


def test_path_prints_where_the_file_lies(shelf):
    file = shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors"
    assert call("path", BUNDLED) == (f"{file}\n", None)
    assert call("path", file) == (f"{file}\n", None)


def test_path_of_what_is_not_here_names_the_pull(shelf):
    for spec in (REMOTE, f"hf://{REPO}/x.safetensors"):
        out, error = call("path", spec)
        assert out == "" and isinstance(error, WeightsError)
        assert f"`meddenoise weights pull {spec}`" in str(error)


@pytest.mark.parametrize("command", ["show", "path", "pull", "verify"])
def test_a_name_that_does_not_exist_is_wrong_usage_and_the_nearest_is_named(shelf, command):
    _, error = call(command, "cascade-tc")
    assert isinstance(error, UsageError) and "did you mean 'cascade-ct'" in str(error)


def test_verify_without_names_checks_all_that_is_here(shelf):
    assert call("verify") == (f"{BUNDLED}\tok\n{REMOTE}\tabsent\n", None)
    out, _ = call("verify", "--json")
    assert json.loads(out) == {BUNDLED: "ok", REMOTE: "absent"}


def test_verify_of_a_name_that_is_not_here_fails(shelf):
    out, error = call("verify", REMOTE)
    assert out == f"{REMOTE}\tabsent\n" and isinstance(error, WeightsError)


def test_verify_tells_every_damaged_file_and_fails(shelf):
    file = shelf[0] / "checkpoints" / f"{BUNDLED}.safetensors"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 4
    file.write_bytes(raw)
    out, error = call("verify", BUNDLED, REMOTE, "cascade-tc")
    assert out == f"{BUNDLED}\tdamaged\n{REMOTE}\tabsent\ncascade-tc\tunknown\n"
    assert isinstance(error, WeightsError)
    assert str(error).startswith("3 of 3 checkpoints could not be verified")
    assert "is not the published file" in str(error) and "did you mean" in str(error)


def test_every_command_has_help_with_an_example_and_needs_no_heavy_import(shelf):
    for command in ("list", "show", "pull", "verify", "path"):
        out, error = call(command, "--help")
        assert error is None and f"meddenoise weights {command}" in out
    code = (
        "from meddenoise.cli import weights; import sys; print([m for m in ('torch', 'safetensors', 'numpy',"
    )
    code += " 'huggingface_hub', 'meddenoise.weights') if m in sys.modules])"
    assert run(code, env=environment(shelf[0]))[1] == "[]\n"


def test_a_person_gets_a_table_on_stderr_and_stdout_stays_empty(shelf, tmp_path):
    reader, terminal = pty.openpty()
    process = start(PROGRAM, shelf[0], "weights", "list", env=environment(tmp_path, COLUMNS="120"))
    piped, _ = process.communicate(timeout=60)
    assert piped.count("\n") == 2
    run_there = subprocess.run(
        [sys.executable, "-c", PROGRAM, shelf[0], "weights", "list"],
        env=environment(tmp_path, COLUMNS="120"),
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert run_there.returncode == 0
    table = run_there.stderr.splitlines()
    assert table[0].split() == ["dB", "over"]
    names = [line.split()[0] for line in table[1:] if line.strip()]
    assert [name for name in names if name in (BUNDLED, REMOTE)] == [BUNDLED, REMOTE]
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(terminal)
    os.close(reader)


@pytest.mark.network
def test_pull_prints_the_paths_and_fetches_what_is_remote(shelf, tmp_path):
    folder, remote = shelf
    with HubServer(remote) as hub:
        env = environment(tmp_path, hub.endpoint)
        code, out, err = run(PROGRAM, folder, "weights", "pull", BUNDLED, REMOTE, env=env)
        assert (code, err) == (0, "")
        bundled, cached = map(Path, out.splitlines())
        assert bundled.parent == folder / "checkpoints"
        assert cached.read_bytes() == remote["mr/net.safetensors"]
        again = run(PROGRAM, folder, "weights", "pull", REMOTE, env=env)
        assert again == (0, f"{cached}\n", "")
        assert len(hub.transfers()) == 1
    assert "\tcached\t" in call("list")[0]
    assert call("path", REMOTE) == (f"{cached}\n", None)
    assert call("verify") == (f"{BUNDLED}\tok\n{REMOTE}\tok\n", None)


@pytest.mark.network
def test_a_pull_that_fails_for_one_still_does_the_others(shelf, tmp_path):
    folder, remote = shelf
    remote["mr/net.safetensors"] = b"something else entirely"
    with HubServer(remote) as hub:
        env = environment(tmp_path, hub.endpoint)
        code, out, err = run(PROGRAM, folder, "weights", "pull", REMOTE, BUNDLED, env=env)
    assert code == 1
    assert out == f"{folder / 'checkpoints' / BUNDLED}.safetensors\n"
    assert "WeightsError: 1 of 2 checkpoints could not be pulled" in err
    assert "\\n" not in err
    assert "and was deleted" in err
    assert "\tremote\t" in call("list")[0]
