"""Files come whole from the Hub into the cache, or one sentence says why not; spoken to over real HTTP."""

import hashlib
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from meddenoise.errors import UsageError
from meddenoise.io.temporary import temporary_name
from meddenoise.weights.hub import HubFile, forget
from tests.weights.hub_server import COMMIT, REPO, HubServer, environment, run, start

pytestmark = pytest.mark.network

CONTENT = bytes(range(256)) * 800
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "net.safetensors"
SPEC = f"hf://{REPO}/{NAME}"

FETCH = """
import sys
from meddenoise.errors import MeddenoiseError
from meddenoise.weights.hub import HubFile, fetch
try:
    print(fetch(HubFile.parse(sys.argv[1]), sys.argv[2] or None))
except MeddenoiseError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
FIND = """
import sys
from meddenoise.weights.hub import HubFile, find_cached
print(find_cached(HubFile.parse(sys.argv[1])))
"""


@pytest.fixture
def hub():
    with HubServer({NAME: CONTENT, "deep/er/net.safetensors": CONTENT[::-1]}) as server:
        yield server


def fetched(folder, hub, spec=SPEC, sha256=SHA256, **more):
    """The path a fetch prints, its content checked."""
    code, out, err = run(FETCH, spec, sha256, env=environment(folder, hub.endpoint, **more))
    assert code == 0, err
    return Path(out.strip())


def refused(folder, endpoint, spec=SPEC, sha256=SHA256, **more):
    """The last line a failing fetch leaves on stderr: the sentence of a WeightsError."""
    code, out, err = run(FETCH, spec, sha256, env=environment(folder, endpoint, **more))
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    sentence = err.strip().splitlines()[-1]
    assert sentence.startswith(f"WeightsError: {spec} ") and sentence.endswith(".")
    return sentence


def cached_bytes(folder):
    """Files in the cache folder, locks and notes left out."""
    return [path for path in (folder / "cache").rglob("*") if path.is_file() and "blobs" in path.parts]


# --- addresses ---


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hf://a/b/c.safetensors", HubFile("a/b", "c.safetensors", "main")),
        ("hf://a-1/b.c/d/e.safetensors@v1.0", HubFile("a-1/b.c", "d/e.safetensors", "v1.0")),
        ("hf://a/b/c.safetensors@refs/pr/3", HubFile("a/b", "c.safetensors", "refs/pr/3")),
    ],
)
def test_an_address_is_read_and_written_alike(spec, expected):
    assert HubFile.parse(spec) == expected
    assert str(expected) == spec


@pytest.mark.parametrize(
    "spec",
    ["hf://", "hf://a/b", "hf://a/b/", "hf://a/b/../c", "hf://a/b//c", "hf://a/b/c@", "hf://a b/c/d",
     "hf:/a/b/c", "https://a/b/c", "hf://a/b/c\\d", "hf://../b/c", "hf://a/../c", "hf://a/b/c@../x", "hf://a/b/c\n"],
)  # fmt: skip
def test_what_is_no_address_is_wrong_usage(spec):
    with pytest.raises(UsageError, match=r"write hf://OWNER/REPO/FILE"):
        HubFile.parse(spec)


# --- what works ---


def test_a_file_is_fetched_once_and_then_found_without_the_hub(tmp_path, hub):
    path = fetched(tmp_path, hub)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache" / "meddenoise")
    before = len(hub.log)
    code, out, err = run(FIND, SPEC, env=environment(tmp_path, hub.endpoint))
    assert (code, out, err) == (0, f"{path}\n", "")
    assert len(hub.log) == before
    assert fetched(tmp_path, hub) == path
    assert len(hub.transfers()) == 1


def test_nothing_is_written_beside_the_path_on_a_pipe(tmp_path, hub):
    code, out, err = run(FETCH, SPEC, SHA256, env=environment(tmp_path, hub.endpoint))
    assert (code, out.count("\n"), err) == (0, 1, "")


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_folders_and_revisions_are_honoured(tmp_path, hub, revision):
    path = fetched(tmp_path, hub, f"hf://{REPO}/deep/er/net.safetensors@{revision}", "")
    assert path.read_bytes() == CONTENT[::-1]
    assert ("HEAD", f"/{REPO}/resolve/{revision}/deep/er/net.safetensors", "") in hub.log


def test_a_revision_that_moved_is_fetched_anew(tmp_path, hub):
    first = fetched(tmp_path, hub)
    hub.revisions["main"] = "d" * 40
    hub.files[NAME] = b"new" * 100
    second = fetched(tmp_path, hub, sha256="")
    assert second.read_bytes() == b"new" * 100
    assert first.read_bytes() == CONTENT


def test_an_interrupted_transfer_goes_on_where_it_broke_off(tmp_path, hub):
    """The library keeps whole pieces of 10 MiB."""
    piece = 10 << 20
    hub.files[NAME] = os.urandom(1 << 10) * (25 << 10)
    hub.cuts = [piece + 5_000, piece + 5_000]
    assert fetched(tmp_path, hub, sha256="").read_bytes() == hub.files[NAME]
    assert hub.transfers() == ["", f"bytes={piece}-", f"bytes={2 * piece}-"]


def test_a_transfer_given_up_leaves_nothing_and_a_later_one_succeeds(tmp_path, hub):
    hub.cuts = [70_000, 0, 0, 0, 0, 0, 0]
    assert "try again" in refused(tmp_path, hub.endpoint)
    assert cached_bytes(tmp_path) == []
    hub.cuts = []
    assert fetched(tmp_path, hub).read_bytes() == CONTENT


def test_a_killed_fetch_is_made_good_by_the_next(tmp_path, hub):
    hub.chunk_delay_s = 0.05
    process = start(FETCH, SPEC, SHA256, env=environment(tmp_path, hub.endpoint))
    while not hub.transfers():
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.communicate()
    code, out, _ = run(FIND, SPEC, env=environment(tmp_path))
    assert (code, out) == (0, "None\n")
    hub.chunk_delay_s = 0.0
    assert fetched(tmp_path, hub).read_bytes() == CONTENT


def test_two_processes_that_fetch_at_once_both_get_the_whole_file(tmp_path, hub):
    hub.chunk_delay_s = 0.01
    env = environment(tmp_path, hub.endpoint)
    processes = [start(FETCH, SPEC, SHA256, env=env) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    (first, _), (second, _) = results
    assert first == second
    assert Path(first.strip()).read_bytes() == CONTENT
    assert [path.read_bytes() for path in cached_bytes(tmp_path)] == [CONTENT]


# --- what does not, and how it is said ---


def test_a_file_with_the_wrong_hash_is_deleted(tmp_path, hub):
    hub.files[NAME] = CONTENT[:-1] + b"x"
    assert "is not the published file" in refused(tmp_path, hub.endpoint)
    assert cached_bytes(tmp_path) == []
    assert run(FIND, SPEC, env=environment(tmp_path))[1] == "None\n"
    hub.files[NAME] = CONTENT
    assert fetched(tmp_path, hub).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ((401, ""), "the Hub asks who you are (401)"),
        ((401, "RepoNotFound"), "in no repository you can see"),
        ((403, ""), "the Hub refuses access (403)"),
        ((403, "GatedRepo"), "gated repository: accept its terms"),
        ((404, ""), "the Hub does not know it (404)"),
        ((404, "RevisionNotFound"), "names the revision 'main'"),
        ((404, "EntryNotFound"), "names a file the repository does not have"),
        ((429, ""), "fewer requests (429)"),
        ((418, ""), "HTTP status 418"),
        ((503, ""), "HTTP status 503"),
    ],
)
def test_each_answer_of_the_hub_has_its_own_sentence(tmp_path, hub, error, said):
    hub.error = error
    assert said in refused(tmp_path, hub.endpoint)


def test_names_the_hub_does_not_have_are_told_apart(tmp_path, hub):
    assert "no repository" in refused(tmp_path, hub.endpoint, "hf://loopback/other/net.safetensors")
    assert "revision 'v9'" in refused(tmp_path, hub.endpoint, f"{SPEC}@v9")
    assert "file the repository does not have" in refused(
        tmp_path, hub.endpoint, f"hf://{REPO}/none.safetensors"
    )


def test_no_network_is_said_at_once(tmp_path):
    with HubServer({}) as gone:
        endpoint = gone.endpoint
    began = time.monotonic()
    assert "no connection to the Hub" in refused(tmp_path, endpoint)
    assert time.monotonic() - began < 5


def test_a_hub_that_does_not_answer_is_said_after_the_timeout(tmp_path, hub):
    hub.delay_s = 4
    sentence = refused(tmp_path, hub.endpoint, HF_HUB_ETAG_TIMEOUT="1")
    assert "did not answer in time" in sentence


def test_a_server_that_is_no_hub_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = start(FETCH, SPEC, SHA256, env=environment(tmp_path, endpoint))
        while process.poll() is None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
        _, err = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in err and f"WeightsError: {SPEC} cannot be fetched" in err


def test_offline_mode_serves_the_cache_and_nothing_else(tmp_path, hub):
    assert "HF_HUB_OFFLINE" in refused(tmp_path, hub.endpoint, HF_HUB_OFFLINE="1")
    assert hub.log == []
    path = fetched(tmp_path, hub)
    before = len(hub.log)
    code, out, _ = run(FIND, SPEC, env=environment(tmp_path, hub.endpoint, HF_HUB_OFFLINE="1"))
    assert (code, out) == (0, f"{path}\n")
    assert len(hub.log) == before


def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing(tmp_path, hub):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    process = start(FETCH, SPEC, SHA256, env=environment(tmp_path, hub.endpoint), preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be written (File too large)" in err and "Traceback" not in err
    assert cached_bytes(tmp_path) == []


def test_a_cache_that_cannot_be_made_is_replaced_for_this_run_with_a_warning(tmp_path, hub):
    (tmp_path / "file").write_text("no folder")
    env = environment(tmp_path, hub.endpoint, XDG_CACHE_HOME=str(tmp_path / "file" / "cache"))
    env["TMPDIR"] = str(tmp_path)
    left = tmp_path / temporary_name().replace(f"-{os.getpid()}-", f"-{1 << 30}-")  # no process has it
    (left / "models").mkdir(parents=True)
    keep = FETCH.replace("print(fetch(", "path = (fetch(") + "print(len(path.read_bytes()))"
    code, out, err = run(keep, SPEC, SHA256, env=env)
    assert (code, out) == (0, f"{len(CONTENT)}\n"), err
    assert "cannot be used (Not a directory)" in err
    assert not left.exists(), "as a killed run leaves it"
    assert [path.name for path in tmp_path.iterdir() if "meddenoise-" in path.name] == []
    assert run(FIND, SPEC, env=env)[:2] == (0, "None\n")


def test_a_read_only_cache_still_gives_what_it_holds_and_stops_no_fetch(tmp_path, hub):
    path = fetched(tmp_path, hub)
    folders = [tmp_path / "cache", *(folder for folder in (tmp_path / "cache").rglob("*") if folder.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    if os.access(tmp_path / "cache", os.W_OK):
        pytest.skip("permissions do not bind this user (root)")
    try:
        assert run(FIND, SPEC, env=environment(tmp_path))[1] == f"{path}\n"
        other = f"hf://{REPO}/deep/er/net.safetensors"
        code, _, err = run(FETCH, other, "", env=environment(tmp_path, hub.endpoint))
        assert code == 0 and "cannot be used (Permission denied)" in err
    finally:
        for folder in folders:
            folder.chmod(0o700)


NO_PASSWORD_ENTRY = """
import pwd
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
"""


def test_a_user_without_home_and_password_entry_can_look_up_and_fetch(tmp_path, hub):
    """As in a container that runs under a random user number."""
    env = environment(tmp_path, hub.endpoint)
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME"):
        del env[name]
    code, out, err = run(NO_PASSWORD_ENTRY + FIND, SPEC, env=env, cwd=tmp_path)
    assert (code, out) == (0, "None\n"), err
    code, out, err = run(NO_PASSWORD_ENTRY + FETCH, SPEC, SHA256, env=env, cwd=tmp_path)
    assert code == 0 and "there is no home folder" in err
    assert not (tmp_path / "~").exists()


def test_forgetting_a_file_removes_what_its_links_lead_to(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots").mkdir()
    blob, link, kept = tmp_path / "blobs" / "b", tmp_path / "snapshots" / "f", tmp_path / "kept"
    blob.write_text("x")
    kept.write_text("y")
    link.symlink_to(Path("..") / "blobs" / "b")
    forget(link)
    assert not blob.exists() and not link.is_symlink() and kept.exists()
