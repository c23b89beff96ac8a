"""Disks that are full, folders that are closed, memory that runs out, a thousand files: with real limits."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from meddenoise.batch import Outcome, Request, run
from meddenoise.batch import workers as crew_module
from meddenoise.batch.workers import Orders
from meddenoise.io import discover
from meddenoise.pipeline.options import Options
from tests.batch.test_batch import Ears
from tests.io_samples import RNG, ct_slice, packaged, png, save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and permissions")

CT = packaged("CT_small.dcm")
QUICK = Options(method="gaussian", sigma=20.0, device="cpu")
NOBODY = 65534


def limited(what: int, amount: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (amount, amount))


def program(
    *arguments: object, limit: Callable[[], None] | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meddenoise", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} if env is None else env,
        preexec_fn=limit,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("room", [0, 20_000])
def test_a_disk_that_takes_no_more_is_told_and_nothing_half_written_stays(room: int, tmp_path: Path) -> None:
    """A limit on the size of files stops writes as a full disk does."""
    for name in "ab":
        save(ct_slice(SeriesInstanceUID=f"1.2.{ord(name)}"), tmp_path / "in" / f"{name}.dcm")
    shutil.copy(CT, tmp_path / "in" / "large.dcm")
    limit = limited(resource.RLIMIT_FSIZE, room)
    done = program("denoise", tmp_path / "in", "--method", "gaussian", "-o", tmp_path / "out", limit=limit)
    assert done.returncode == 1
    folder = tmp_path / "out"
    for path in [folder / "large.dcm"] if room else [folder / ".meddenoise-report.lock"]:
        assert f"{path} cannot be written (File too large)" in done.stderr, "the file is named"
    assert "Traceback" not in done.stderr and "does not know" not in done.stderr
    left = {path.name for path in tmp_path.glob("out/*")}
    written = {"a.dcm", "b.dcm", ".meddenoise-index", "meddenoise-report.json", "meddenoise-report.csv"}
    assert left == (written if room else set())
    # with room again the rest is written, what was finished is kept
    again = program("denoise", tmp_path / "in", "--method", "gaussian", "-o", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert ("2 kept" in again.stderr) == bool(room)


def test_a_volume_beyond_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.nii"
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((1024, 1024, 2048))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4))
    os.truncate(path, 352 + (8 << 30))  # a hole: takes no room
    done = program("info", path, limit=limited(resource.RLIMIT_AS, 4 << 30))
    assert done.returncode == 1
    assert done.stderr.startswith(f"meddenoise: {path} ") and done.stderr.count("\n") == 1
    assert "GiB" in done.stderr and "memory" in done.stderr


def test_neither_home_nor_temporary_folder_nor_locale_is_needed(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "missing"), "OMP_NUM_THREADS": "1"}
    shutil.copy(CT, tmp_path / "ct.dcm")
    done = program("denoise", tmp_path / "ct.dcm", "--method", "gaussian", env=bare)
    told = [line for line in done.stderr.splitlines() if not line.startswith("trust: ")]
    assert done.returncode == 0 and len(told) == 3
    assert told[0].startswith(f"{tmp_path / 'ct.dcm'}, ") and told[1].startswith("1 series written: 1 ")
    assert told[2] == f"report: {tmp_path / 'ct_denoised-report.html'}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "does not fit into the memory that is free"),
        (OSError(errno.EIO, "Input/output error", "b.png"), "b.png cannot be read or written (Input/output"),
        (OSError(errno.EMFILE, "Too many open files"), "a file cannot be read or written (Too many open"),
    ],
)
def test_what_the_system_refuses_for_one_series_leaves_the_others(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        png(tmp_path / f"{name}.png", RNG(1).integers(90, 99, (40, 40), np.uint8))
    read_item = crew_module.read_item

    def refuse(item):
        if item.path.name == "b.png":
            raise error
        return read_item(item)

    monkeypatch.setattr(crew_module, "read_item", refuse)
    ears = Ears()
    outcome = run(Request(inputs=(tmp_path,), output=tmp_path / "out", orders=Orders(options=QUICK)), ears)
    assert outcome == Outcome(written=2, kept=0, failed=1)
    assert str(tmp_path / "b.png") in ears.failures[0].error and words in ears.failures[0].error


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder in which permissions count for this process, root or not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in folder.rglob("*"):
            if path.is_dir():
                path.chmod(0o777)
        shutil.rmtree(folder, ignore_errors=True)


def test_what_may_not_be_read_is_named_and_the_rest_is_found(closed: Path) -> None:
    for part in ("open", "no entry", "no search"):
        save(ct_slice(), closed / part / "x.dcm")
    save(ct_slice(1), closed / "secret.dcm").chmod(0)
    (closed / "no entry").chmod(0)
    (closed / "no search").chmod(0o444)
    found = discover([closed])
    assert [item.path for item in found.items] == [closed / "open" / "x.dcm"]
    messages = sorted(str(problem.error) for problem in found.failed)
    assert [message.split(" cannot")[0] for message in messages] == [
        str(closed / part) for part in ("no entry", "no search/x.dcm", "secret.dcm")
    ]
    assert all("(Permission denied)" in message for message in messages)


def test_an_output_that_may_not_be_written_fails_and_a_read_only_input_does_not(closed: Path) -> None:
    save(ct_slice(), closed / "in" / "x.dcm")
    (closed / "shut").mkdir(mode=0o555)
    (closed / "in").chmod(0o555)
    ears = Ears()
    request = Request(inputs=(closed / "in",), output=closed / "shut", orders=Orders(options=QUICK))
    assert run(request, ears).failed == 1
    assert f"{closed / 'shut'} cannot be written (Permission denied)" in ears.failures[0].error
    assert list((closed / "shut").iterdir()) == []
    request = Request(inputs=(closed / "in",), output=closed / "fine", orders=Orders(options=QUICK))
    assert run(request, ears).written == 1


def batch(folder: Path, count: int) -> tuple[Outcome, list[tuple[int, int]], dict[str, list[object]]]:
    """`count` files, each hundredth cut short: outcome, (resident KiB, open files) along the way, report."""
    (folder / "in").mkdir()
    cut = packaged("MR_truncated.dcm").read_bytes()
    for number in range(count):
        path = folder / "in" / f"{number:04}.png"
        if number % 100 == 50:
            path.with_suffix(".dcm").write_bytes(cut)
        else:
            png(path, RNG(number).integers(90, 99, (40, 40), np.uint8))
    seen = []

    class Watch(Ears):
        def written(self, row):
            super().written(row)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((pages * resource.getpagesize() >> 10, len(os.listdir("/proc/self/fd"))))  # noqa: PTH208

    request = Request(inputs=(folder / "in",), output=folder / "out", orders=Orders(options=QUICK))
    outcome = run(request, Watch())
    return outcome, seen, json.loads((folder / "out" / "meddenoise-report.json").read_text())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_long_batch_with_bad_files_finishes_and_stays_flat(count: int, tmp_path: Path) -> None:
    bad = count // 100
    outcome, seen, report = batch(tmp_path, count)
    assert outcome == Outcome(written=count - bad, kept=0, failed=bad)
    assert len(report["series"]) == count - bad
    assert len(report["failed"]) == bad
    middle, last = seen[len(seen) // 3], seen[-1]
    assert last[0] - middle[0] < 10_000 + 10 * count
    assert max(files for _, files in seen) <= seen[0][1] + 8
