"""The child that decodes with GDCM: nothing of a patient stays in the temporary folder, however it ends."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from meddenoise.io import temporary
from meddenoise.io.dicom import gdcm
from meddenoise.io.dicom.gdcm import Gdcm
from tests.io_samples import packaged

FRAME = packaged("MR_small_jpeg_ls_lossless.dcm").read_bytes()

KILLED = """
import os, signal, sys
from meddenoise.io.dicom import gdcm
from meddenoise.io.dicom.gdcm import Gdcm
gdcm.IN_MEMORY = sys.argv[2] == "memory"
with Gdcm() as child:
    child.decode(open(sys.argv[1], "rb").read())
    print(child._child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="ends processes by signals")


@pytest.fixture(params=["memory", "disk"])
def scratch(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder, with frames kept in memory or as systems without that keep them."""
    if request.param == "memory" and sys.platform != "linux":
        pytest.skip("no files in memory")
    monkeypatch.setattr(gdcm, "IN_MEMORY", request.param == "memory")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_swept", set())
    return tmp_path


def test_nothing_stays_after_decoding(scratch: Path) -> None:
    with Gdcm() as child:
        assert child.decode(FRAME).shape == (64, 64)
    assert list(scratch.iterdir()) == []


def test_nothing_stays_after_an_error_in_between(scratch: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Gdcm() as child:
        child.decode(FRAME)
        raise KeyboardInterrupt
    assert list(scratch.iterdir()) == []


def test_nothing_stays_where_the_child_is_killed(scratch: Path) -> None:
    with Gdcm() as child:
        child.decode(FRAME)
        assert child._child is not None
        child._child.kill()
        child._child.wait()
        with pytest.raises(ValueError, match="does not decode"):
            child.decode(FRAME)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("kept", ["memory", "disk"])
def test_nothing_stays_where_the_parent_is_killed(kept: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(packaged("MR_small_jpeg_ls_lossless.dcm")), kept]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL
    _await_end(int(done.stdout))
    assert list(tmp_path.iterdir()) == []


def test_the_next_start_sweeps_what_was_left(scratch: Path) -> None:
    if gdcm.IN_MEMORY:
        pytest.skip("nothing is on the disk")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = temporary.temporary_name().replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    alive = temporary.temporary_name().replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    for name in (stale, alive, "other.tmp"):
        (scratch / name).touch()
    with Gdcm() as child:
        child.decode(FRAME)
    assert {path.name for path in scratch.iterdir()} == {alive, "other.tmp"}


def test_a_larger_frame_leaves_nothing_in_a_smaller_one(scratch: Path) -> None:
    large = packaged("693_J2KI.dcm").read_bytes()
    with Gdcm() as child:
        first = child.decode(FRAME)
        child.decode(large)
        assert np.array_equal(child.decode(FRAME), first)


def _await_end(process: int) -> None:
    """Wait for a process that is not a child of this one."""
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        signal.sigtimedwait([], 0.05)
    raise AssertionError("the child lives on")
