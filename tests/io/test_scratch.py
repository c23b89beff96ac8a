"""Long runs lie in a temporary file: the same values, little memory, one sentence where there is no room."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from meddenoise.io import scratch
from meddenoise.io.scratch import copy_planes, each_plane, make_planes, release
from tests.cines import run
from tests.io_samples import RNG, save

PROGRAM = """
import sys
import tempfile
from pathlib import Path
from meddenoise.io import scratch
from meddenoise.cli.main import run
scratch.IN_MEMORY = 1 << 20
try:
    run()
finally:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    print(*(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""
"""The command line with a small limit, and its peak resident memory in KiB on stdout."""

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells VmHWM")


def program(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings.pop("env", {})  # type: ignore[operator]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 1 << 20)


def resident(needle: str) -> int:
    """Bytes of this process that are resident of mappings whose line holds `needle`."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            inside = needle in line
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) << 10
    return total


@pytest.mark.usefixtures("small_limit")
def test_planes_beyond_the_limit_keep_their_values_when_they_are_released(tmp_path: Path) -> None:
    values = RNG(1).integers(0, 4096, (9, 300, 301), np.uint16)
    planes = make_planes(values.shape, values.dtype, tmp_path)
    planes[...] = values
    release(planes[2:4])
    copy = copy_planes(planes, tmp_path)
    release(planes, copy)
    planes[3] = 0
    assert type(copy) is np.ndarray and copy.flags.writeable
    assert np.array_equal(copy, values)
    assert all(np.array_equal(plane, copy[n]) for n, plane in enumerate(each_plane(copy)))


@needs_proc
@pytest.mark.usefixtures("small_limit")
def test_released_planes_take_no_memory_and_no_name_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests make files in the common one
    planes = make_planes((16, 512, 512), np.float32, tmp_path)
    planes[...] = 1
    held = resident("(deleted)")
    release(planes)
    assert held - resident("(deleted)") >= planes.nbytes
    assert list(tmp_path.iterdir()) == []
    assert planes.sum() == planes.size


def test_what_is_small_or_a_single_plane_stays_in_memory(tmp_path: Path, small_limit: None) -> None:
    assert make_planes((2, 10, 10), np.uint8, tmp_path).base is None
    assert make_planes((1, 2000, 2000), np.uint8, tmp_path).base is None


def test_the_map_of_another_is_never_released(tmp_path: Path) -> None:
    """A private map loses what was written into it when its pages are given back."""
    path = tmp_path / "pixels"
    path.write_bytes(bytes(1 << 20))
    mine = np.memmap(path, np.uint8, "c")
    mine[:] = 7
    release(mine)
    assert (mine == 7).all()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_temporary_folder_without_room_is_named_with_the_way_out(tmp_path: Path) -> None:
    """A limit on the size of files stops them as a full disk does."""
    path = save(run(np.zeros((40, 256, 256), np.uint16)), tmp_path / "run.dcm")
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    done = program(
        *("denoise", path, "--method", "median"),
        env={"TMPDIR": str(rooms)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[0]
    assert sentence.startswith(f"meddenoise: {path} needs 0.0 GiB in the temporary folder {rooms}")
    assert "set TMPDIR" in sentence and "Traceback" not in done.stderr
    assert not (tmp_path / "run_denoised.dcm").exists() and list(rooms.iterdir()) == []


def peak(folder: Path, frames: int) -> int:
    """Peak resident bytes of the command line with a run of `frames`, 512 KiB each, and its residual."""
    still = RNG(3).normal(600, 25, (4, 512, 512)).astype(np.uint16)
    dataset = run(np.concatenate([still] * (frames // 4)), PositionerMotion="STATIC")
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    path, target = save(dataset, folder / f"{frames}.dcm"), folder / f"{frames}_out.dcm"
    done = program("denoise", path, "-o", target, "--device", "cpu", "--method", "gaussian", "--residual")
    assert done.returncode == 0, done.stderr
    assert dcmread(target, stop_before_pixels=True).NumberOfFrames == frames
    return int(done.stdout) << 10


@needs_proc
@pytest.mark.slow
def test_four_times_the_frames_take_hardly_more_memory(tmp_path: Path) -> None:
    """24 MiB more of pixels are decoded, as many written, twice as many of the residual.

    What the allocator keeps differs by 20 MiB a run; on a busy machine threads meet at other moments, which
    adds to the peak of either.
    """
    assert peak(tmp_path, 64) - peak(tmp_path, 16) < 50 << 20
