"""Series on a Dask cluster: real schedulers and workers, some of which are killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meddenoise.batch import Outcome, Request, cluster, run
from meddenoise.batch.cluster import ClusterChoice, open_cluster, parse_cluster
from meddenoise.batch.workers import Orders
from meddenoise.cli.display import Display
from meddenoise.errors import ClusterError, UsageError
from meddenoise.io.temporary import is_own_file, temporary_name
from meddenoise.pipeline.options import Options
from meddenoise.version import __version__
from tests import commands
from tests.batch.node.machines import wait_for
from tests.batch.test_batch import QUICK, Ears
from tests.io_samples import ct_slice, packaged, save

pytest.importorskip("distributed")
pytest.importorskip("dask_jobqueue")
SERIES = 6
Process = subprocess.Popen[bytes]
SLOW = Options(method="nlm", sigma=20.0, device="cpu")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("local", ClusterChoice("local")),
        ("local:3", ClusterChoice("local", 3)),
        ("slurm:12", ClusterChoice("slurm", 12)),
        ("tcp://10.0.0.7:8786", ClusterChoice(address="tcp://10.0.0.7:8786")),
        ("head:8786", ClusterChoice(address="head:8786")),
        ("tls://[::1]:8786", ClusterChoice(address="tls://[::1]:8786")),
    ],
)
def test_the_option_is_read(text: str, wanted: ClusterChoice) -> None:
    assert parse_cluster(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "local:", "local:0", "local:two", "slurm:-1", "head", "tcp://head", "a b:1", "http://head:8786"],
)
def test_what_is_no_cluster_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--cluster is"):
        parse_cluster(text)


def test_the_extra_is_named_where_it_is_missing(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"'distributed'.*pip install 'meddenoise\[cluster\]'"):
        denoise(study, tmp_path / "out", "local:1")
    assert not (tmp_path / "out").exists()


def test_jobs_are_of_this_machine(study: Path, tmp_path: Path) -> None:
    orders = Orders(options=QUICK, jobs=2, cluster="local:2")
    with pytest.raises(UsageError, match="--jobs is for this machine"):
        run(Request(inputs=(study,), output=tmp_path / "out", orders=orders), Ears())


@pytest.mark.parametrize(
    ("device", "visible", "count", "given"),
    [
        ("auto", None, 2, ["0", "1"]),
        ("cuda", "3,5", 2, ["3", "5"]),
        ("auto", "GPU-1f,GPU-2e,-1,GPU-3d", 2, ["GPU-1f", "GPU-2e"]),
        ("auto", "", 0, []),
        ("cpu", None, 2, []),
        ("cuda:1", None, 2, []),
    ],
)
def test_workers_get_the_gpus_that_are_visible_unless_the_user_chose_one(
    device: str, visible: str | None, count: int, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cluster._gpus(device) == given


@pytest.mark.parametrize(("workers", "given"), [(None, ["3", "5"]), (3, ["3", "5", "3"])])
def test_a_worker_on_this_machine_gets_one_gpu(
    workers: int | None, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_gpus", lambda device: ["3", "5"])
    monkeypatch.setattr("distributed.deploy.spec.SpecCluster", lambda **asked: nullcontext(asked["workers"]))
    with cluster._local(workers, "auto") as spec:
        assert [worker["options"]["env"]["CUDA_VISIBLE_DEVICES"] for worker in spec.values()] == given


def test_nothing_heavy_is_imported_without_a_cluster(study: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['meddenoise', 'denoise', *sys.argv[1:], '--method', 'gaussian', '-q']\n"
        "from meddenoise.cli.main import run\n"
        "try: run()\nexcept SystemExit as end: assert not end.code\n"
        "assert 'distributed' not in sys.modules and 'dask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, study / "s0", "-o", tmp_path / "out"], check=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six CT series of four slices, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("study")
    noise = np.random.default_rng(0)
    for series in range(SERIES):
        for number in range(4):
            dataset = ct_slice(number, SeriesInstanceUID=f"1.2.3.{series}", Rows=64, Columns=64)
            values = np.clip(noise.normal(1100 + 10 * series, 30, (64, 64)), 0, 4000)
            values[20:40, 20:40] += 200
            dataset.PixelData = values.astype(np.int16).tobytes()
            save(dataset, folder / f"s{series}" / f"{number}.dcm")
    return folder


def denoise(study: Path, output: Path, where: str | None, options: Options = QUICK) -> tuple[Outcome, Ears]:
    ears = Ears()
    request = Request(inputs=(study,), output=output, orders=Orders(options=options, cluster=where))
    return run(request, ears), ears


def images(folder: Path) -> dict[str, bytes]:
    """All that is written but for records and reports: the temporary files of killed workers would show."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != ".meddenoise-index"
        and not path.name.startswith("meddenoise-report")
    }


@pytest.fixture(scope="module")
def alone(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The images that one process gives, one series after another."""
    output = tmp_path_factory.mktemp("alone") / "out"
    outcome, _ = denoise(study, output, None, SLOW)
    assert outcome == Outcome(SERIES, 0, 0)
    return images(output)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_bits_of_one_by_one(
    workers: int, study: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    outcome, ears = denoise(study, tmp_path / "out", f"local:{workers}", SLOW)
    assert not ears.failures and outcome == Outcome(SERIES, 0, 0)
    assert images(tmp_path / "out") == alone
    assert ears.images == ears.total == 4 * SERIES, "progress as on one machine"
    assert f"{workers} worker" in ears.device and "cpu" in ears.device
    report = json.loads((tmp_path / "out" / "meddenoise-report.json").read_text())
    assert len(report["series"]) == SERIES and report["device"] == "cpu"
    assert (tmp_path / "out" / "meddenoise-report.html").read_text().count("<!--drawing") == SERIES
    again, _ = denoise(study, tmp_path / "out", None, SLOW)
    assert again == Outcome(0, SERIES, 0), "one machine keeps what a cluster finished"


@pytest.mark.slow
def test_a_network_gives_the_same_bits_and_a_bad_series_is_named(study: Path, tmp_path: Path) -> None:
    inputs = (study / "s0", study / "s1", packaged("MR_truncated.dcm"))
    outcomes, folders = [], []
    for where in (None, "local:2"):
        ears = Ears()
        orders = Orders(options=Options(method="direct", device="cpu"), cluster=where, residual=True)
        folders.append(tmp_path / str(where))
        request = Request(inputs=inputs, output=folders[-1], orders=orders)
        outcomes.append((run(request, ears), [failure.error for failure in ears.failures]))
    assert outcomes[0] == outcomes[1] and outcomes[0][0] == Outcome(2, 0, 1)
    assert images(folders[0]) == images(folders[1]) and any("residual" in name for name in images(folders[0]))


@contextmanager
def running(*command: str) -> Iterator[Process]:
    """A process of its own that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Running:
    """A scheduler and two workers, each a process."""

    def __init__(self, scheduler: Process, workers: list[Process], address: str):
        self.scheduler, self.workers, self.address = scheduler, workers, address


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Running]:
    file, scratch = tmp_path / "scheduler.json", str(tmp_path / "scratch")
    loopback = ("--host", "127.0.0.1")
    with running(
        "distributed.cli.dask_scheduler",
        *loopback,
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ) as scheduler:
        while not file.exists():
            assert scheduler.poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        worker = ("distributed.cli.dask_worker", address, *loopback, "--no-nanny", "--nthreads", "1")
        worker += ("--no-dashboard", "--local-directory", scratch)
        with running(*worker) as first, running(*worker) as second:
            yield Running(scheduler, [first, second], address)


class Acting(Ears):
    """Does something once a series is written."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act: Callable[[], None] | None = act

    def written(self, row: Any) -> None:
        super().written(row)
        act, self._act = self._act, None
        if act is not None:
            threading.Thread(target=act).start()


def busy_worker(site: Running) -> Process:
    """The process of a worker that has a series in hand."""
    from distributed import Client

    with Client(site.address, set_as_default=False) as client:
        processes = client.run(os.getpid)
        for _ in range(600):
            busy = [address for address, keys in client.processing().items() if keys]
            if busy:
                return next(worker for worker in site.workers if worker.pid == processes[busy[0]])
            time.sleep(0.05)
    raise AssertionError("no worker got anything to do")


@pytest.mark.slow
def test_workers_that_do_not_fit_are_refused_and_a_killed_one_with_a_series_in_hand_loses_nothing(
    site: Running, study: Path, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refusals(site.address, study, tmp_path, monkeypatch)
    killed: list[int] = []

    def kill() -> None:
        worker = busy_worker(site)
        worker.send_signal(signal.SIGKILL)
        killed.append(worker.pid)

    ears, output = Acting(kill), tmp_path / "out"
    request = Request(inputs=(study,), output=output, orders=Orders(options=SLOW, cluster=site.address))
    assert run(request, ears) == Outcome(SERIES, 0, 0)
    assert killed and not ears.failures
    assert images(output) == alone
    assert ears.images == ears.total
    assert not list(output.rglob("*.lock"))


def check_refusals(address: str, study: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one cluster: it is what takes long to start."""
    here = os.getpid()

    def another(name: str) -> str:
        return "0.0.1" if os.getpid() == here else __version__

    def none(name: str) -> str:
        return "0.0.1" if os.getpid() == here else version("no-such-package")

    for theirs, has in ((another, f"version {__version__}"), (none, "none")):
        monkeypatch.setattr(cluster, "version", theirs)
        with (
            pytest.raises(ClusterError, match=rf"tcp://\S+ needs meddenoise 0\.0\.1, as here, and has {has}"),
            open_cluster(ClusterChoice(address=address), "cpu"),
        ):
            pass
    monkeypatch.undo()
    first, second, new = study / "s0" / "0.dcm", study / "s0" / "1.dcm", folder / "new" / "newer"

    def sees(path: str, access: int) -> bool:
        return Path(path) not in (first, folder)

    with open_cluster(ClusterChoice(address=address), "cpu") as opened:
        opened.check_sight(first, new)
        monkeypatch.setattr(os, "access", sees)
        with pytest.raises(ClusterError, match=rf"tcp://\S+ cannot read {first}: inputs and output"):
            opened.check_sight(first, new)
        with pytest.raises(ClusterError, match=rf"tcp://\S+ cannot write to {folder}: inputs and output"):
            opened.check_sight(second, new)
    monkeypatch.undo()


@pytest.mark.slow
def test_with_the_scheduler_gone_finished_series_stay_and_the_same_command_goes_on(
    site: Running,
    study: Path,
    alone: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, show = tmp_path / "out", Display.written

    def show_and_kill(display: Display, row: Any) -> None:
        show(display, row)
        site.scheduler.kill()

    monkeypatch.setattr(Display, "written", show_and_kill)
    slow = ("--method", "nlm", "--sigma", "20", "--device", "cpu", "--cluster", site.address)
    told = commands.run("denoise", study, "-o", output, *slow, code=1).output
    assert "is gone: finished results stay; give the same command to go on." in " ".join(told.split())
    report = json.loads((output / "meddenoise-report.json").read_text())
    written = len(report["series"])
    assert 1 <= written < SERIES
    for worker in site.workers:
        worker.kill()
        worker.wait()
    again, _ = denoise(study, output, "local:1", SLOW)
    assert again.failed == 0 and again.kept >= written and again.kept + again.written == SERIES
    assert images(output) == alone


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_at_the_terminal_is_told_in_one_sentence_whatever_the_workers_are_at(
    study: Path, tmp_path: Path
) -> None:
    output, scratch = tmp_path / "out", tmp_path / "scratch"
    left = scratch / temporary_name().replace(f"-{os.getpid()}-", f"-{1 << 30}-")  # no process has it
    (left / "dask-scratch-space").mkdir(parents=True)
    command = ["denoise", str(study), "-o", str(output), "--method", "nlm", "--device", "cpu", "-q"]
    with subprocess.Popen(
        [sys.executable, "-m", "meddenoise", *command, "--cluster", "local:1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    ) as program:
        wait_for(lambda: list(output.rglob("*.dcm")), "a result")
        assert not left.exists(), "as a killed run leaves it"
        assert [is_own_file(path) for path in scratch.iterdir()] == [True]
        (first,) = worker_processes(program.pid)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: worker_processes(program.pid) - {first}, "another one")
        os.killpg(program.pid, signal.SIGINT)
        _, told = program.communicate(timeout=180)
    assert (program.returncode, told.strip()) == (130, "meddenoise: interrupted; finished results are kept.")
    assert not [*output.rglob("*.tmp"), *scratch.iterdir()]


def worker_processes(program: int) -> set[int]:
    """The workers of a program on this machine that have begun to import: Python itself is smaller."""
    psutil = pytest.importorskip("psutil")

    found = set()
    for child in psutil.Process(program).children():
        with suppress(psutil.NoSuchProcess):  # a killed one, too
            if "spawn_main" in " ".join(child.cmdline()) and child.memory_info().rss > 40 << 20:
                found.add(child.pid)
    return found


def test_a_scheduler_that_does_not_answer_is_named(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 1.0)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        denoise(study, tmp_path / "out", "tcp://127.0.0.1:9")
